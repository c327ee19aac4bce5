"""Writes the reports of hosts, all that wait in one transaction.

A hundred hosts that report at once would queue for the only writer and pay for a commit each. Here
one task per process writes all that came meanwhile, and each host is answered once its own reports
are written.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

from kumoi.base.clock import Clock
from kumoi.cloud.domain.host import report as domain
from kumoi.cloud.domain.host.thing import Kinds
from kumoi.cloud.hostapi.things import ThingReport
from kumoi.engine.db import Database

BATCH_MAX = 500


@dataclass(slots=True)
class _Delivery:
    host_id: str
    reports: Sequence[ThingReport]
    done: asyncio.Future[None] = field(default_factory=asyncio.Future)


class Intake:
    """One per process."""

    def __init__(self, database: Database, clock: Clock, kinds: Kinds) -> None:
        self._kinds = kinds
        self._database = database
        self._clock = clock
        self._waiting: list[_Delivery] = []
        self._task: asyncio.Task[None] | None = None

    async def take(self, host_id: str, reports: Sequence[ThingReport]) -> None:
        """Returns once the reports are written. Raises what writing them raised."""
        delivery = _Delivery(host_id, reports)
        self._waiting.append(delivery)
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._drain(), name="host-intake")
        await delivery.done

    async def _drain(self) -> None:
        """Write until nothing waits. Where a batch fails, each delivery is written by itself: the
        report of one host must not hold up those of others.
        """
        while self._waiting:
            batch, self._waiting = self._waiting[:BATCH_MAX], self._waiting[BATCH_MAX:]
            failed = await self._try(batch)
            if failed is None or len(batch) == 1:
                _answer(batch, failed)
                continue
            for delivery in batch:
                _answer([delivery], await self._try([delivery]))

    async def _try(self, batch: Sequence[_Delivery]) -> BaseException | None:
        """Gives what writing the batch raised, or None."""
        writing = asyncio.to_thread(self._write, batch)
        (outcome,) = await asyncio.gather(writing, return_exceptions=True)
        return outcome

    def _write(self, batch: Sequence[_Delivery]) -> None:
        """Write the reports with news; no write transaction where there are none."""
        with self._database.read() as connection:
            news = [
                (delivery.host_id, report)
                for delivery in batch
                for report in delivery.reports
                if domain.says_news(connection, delivery.host_id, report, self._kinds)
            ]
        if not news:
            return
        now = self._clock.now()
        with self._database.write() as connection:
            for host_id, report in news:
                domain.take(connection, host_id, report, now, self._kinds)


def _answer(batch: Sequence[_Delivery], failed: BaseException | None) -> None:
    """Answer the hosts that still wait."""
    for delivery in batch:
        if delivery.done.done():
            continue
        if failed is None:
            delivery.done.set_result(None)
        else:
            delivery.done.set_exception(failed)
