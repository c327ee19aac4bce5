"""Reports on their way to the control plane: at once, all that wait together, until it has them.

Of each thing the latest counts. Once a minute everything is told again, in case the control plane
was put back to an earlier state.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from kumoi.base import log
from kumoi.base.backoff import Backoff
from kumoi.base.errors import KumoiError
from kumoi.cloud.hostapi.client import Upstream
from kumoi.cloud.hostapi.things import ThingKey, ThingReport

TELL_ALL_S = 60.0
BATCH_MAX = 500
UNREACHED = Backoff(first_s=0.2, most_s=5.0)


class Outbox:
    """Used inside the event loop only. `taken` hears of reports that have arrived."""

    def __init__(self, upstream: Upstream, taken: Callable[[Sequence[ThingReport]], None]) -> None:
        self._upstream = upstream
        self._taken = taken
        self._latest: dict[ThingKey, ThingReport] = {}
        self._waiting: dict[ThingKey, ThingReport] = {}
        self._filled = asyncio.Event()

    def put(self, report: ThingReport) -> None:
        self._waiting[report.key] = report
        self._latest[report.key] = report
        self._filled.set()

    def has_told(self, report: ThingReport) -> bool:
        """Whether this is what was told, or is about to be."""
        return self._latest.get(report.key) == report

    def forget(self, key: ThingKey) -> None:
        self._latest.pop(key, None)
        self._waiting.pop(key, None)

    async def run(self) -> None:
        """Until cancelled."""
        failures = 0
        while True:
            try:
                async with asyncio.timeout(TELL_ALL_S):
                    await self._filled.wait()
            except TimeoutError:
                self._waiting = dict(self._latest)
            try:
                await self._send()
                failures = 0
            except KumoiError as error:
                if not failures:
                    log.failure("reports.not_sent", error)
                failures += 1
            await asyncio.sleep(UNREACHED.after(failures))

    async def _send(self) -> None:
        batch = list(self._waiting.values())[:BATCH_MAX]
        if batch:
            await self._upstream.report(batch)
            self._taken(batch)
        for report in batch:
            if self._waiting.get(report.key) is report:
                del self._waiting[report.key]
        if not self._waiting:
            self._filled.clear()
