"""Reports on their way to the control plane: at once, all that wait together, until it has them.

Of each server the latest counts. Once a minute everything is told again, in case the control plane
was put back to an earlier state.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from kumoi.base import log
from kumoi.base.errors import KumoiError
from kumoi.cloud.agent.upstream import Upstream
from kumoi.cloud.hostapi.messages import Report, Reports

TELL_ALL_S = 60.0
BATCH_MAX = 500
PAUSE_MIN_S = 0.2
PAUSE_MAX_S = 5.0


class Outbox:
    """Used inside the event loop only. `taken` hears of reports that have arrived."""

    def __init__(self, upstream: Upstream, taken: Callable[[Sequence[Report]], None]) -> None:
        self._upstream = upstream
        self._taken = taken
        self._latest: dict[str, Report] = {}
        self._waiting: dict[str, Report] = {}
        self._filled = asyncio.Event()

    def put(self, report: Report) -> None:
        self._waiting[report.server_id] = report
        self._latest[report.server_id] = report
        self._filled.set()

    def has_told(self, report: Report) -> bool:
        """Whether this is what was told, or is about to be."""
        return self._latest.get(report.server_id) == report

    def forget(self, server_id: str) -> None:
        self._latest.pop(server_id, None)
        self._waiting.pop(server_id, None)

    async def run(self) -> None:
        """Until cancelled."""
        pause_s = 0.0
        while True:
            try:
                async with asyncio.timeout(TELL_ALL_S):
                    await self._filled.wait()
            except TimeoutError:
                self._waiting = dict(self._latest)
            try:
                await self._send()
                pause_s = 0.0
            except KumoiError as error:
                if not pause_s:
                    log.failure("reports.not_sent", error)
                pause_s = min(max(PAUSE_MIN_S, pause_s * 2), PAUSE_MAX_S)
            await asyncio.sleep(pause_s)

    async def _send(self) -> None:
        batch = list(self._waiting.values())[:BATCH_MAX]
        if batch:
            await self._upstream.report(Reports(reports=batch))
            self._taken(batch)
        for report in batch:
            if self._waiting.get(report.server_id) is report:
                del self._waiting[report.server_id]
        if not self._waiting:
            self._filled.clear()
