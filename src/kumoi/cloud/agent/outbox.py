"""Reports on their way to the control plane: sent at once, in batches, until it has received them.

Of each thing only the latest report is sent. Once a minute all latest reports are sent again, in case
the control plane's store was restored to an earlier state.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from kumoi.base import log
from kumoi.base.errors import KumoiError
from kumoi.cloud.hostapi.client import RETRY, Upstream
from kumoi.cloud.hostapi.things import ThingKey, ThingReport

RESEND_ALL_S = 60.0
BATCH_MAX = 500


class Outbox:
    """Used inside the event loop only."""

    def __init__(self, upstream: Upstream) -> None:
        self._upstream = upstream
        self._latest: dict[ThingKey, ThingReport] = {}
        self._waiting: dict[ThingKey, ThingReport] = {}
        self._filled = asyncio.Event()

    def put(self, report: ThingReport) -> None:
        self._waiting[report.key] = report
        self._latest[report.key] = report
        self._filled.set()

    def is_latest(self, report: ThingReport) -> bool:
        """Whether this is what was last reported of its thing, sent or about to be."""
        return self._latest.get(report.key) == report

    def forget(self, key: ThingKey) -> None:
        self._latest.pop(key, None)
        self._waiting.pop(key, None)

    async def run(self, delivered: Callable[[Sequence[ThingReport]], None]) -> None:
        """Until cancelled. `delivered` is called with the reports that the control plane received."""
        failures = 0
        while True:
            try:
                async with asyncio.timeout(RESEND_ALL_S):
                    await self._filled.wait()
            except TimeoutError:
                self._waiting = dict(self._latest)
            try:
                delivered(await self._send())
                failures = 0
            except KumoiError as error:
                if not failures:
                    log.failure("reports.not_sent", error)
                failures += 1
            await asyncio.sleep(RETRY.after(failures))

    async def _send(self) -> Sequence[ThingReport]:
        """One batch; what was put meanwhile waits for the next."""
        batch = list(self._waiting.values())[:BATCH_MAX]
        if batch:
            await self._upstream.report(batch)
        for report in batch:
            if self._waiting.get(report.key) is report:
                del self._waiting[report.key]
        if not self._waiting:
            self._filled.clear()
        return batch
