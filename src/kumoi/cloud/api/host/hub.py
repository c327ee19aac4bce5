"""Wakes exactly those hosts for which something changed.

Every write of the cloud rings the alarm, and a hundred hosts wait. So one task per process looks
once for all of them which topics are newer, and each host waits for its own. When the store begins
another epoch, all of them are woken: what they know may be what was never written.
"""

from __future__ import annotations

import asyncio
import contextlib

from kumoi.base import log
from kumoi.cloud.store.host.host import EVERY_HOST
from kumoi.engine import feed
from kumoi.engine.db import Database
from kumoi.engine.position import Position
from kumoi.engine.wake import Alarm

PREFIX = "host:"
INTERVAL_S = 5.0
PAUSE_S = 0.005  # Changes that come together are told together.


class Hub:
    """One per process. Runs while anybody waits."""

    def __init__(self, database: Database, alarm: Alarm) -> None:
        self._database = database
        self._alarm = alarm
        self._seen: Position | None = None  # None before the first look.
        self._newest: dict[str, int] = {}
        self._waiting: dict[str, asyncio.Event] = {}
        self._task: asyncio.Task[None] | None = None

    async def wait(self, topic: str, since: Position, timeout_s: float) -> bool:
        """Until something in the topic is newer than `since`, or `since` is of an epoch that is over;
        False when the time is up.
        """
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._watch(), name="host-hub")
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                while not self._has_news(topic, since):
                    event = self._waiting.setdefault(topic, asyncio.Event())
                    await event.wait()
        return self._has_news(topic, since)

    def _has_news(self, topic: str, since: Position) -> bool:
        if self._seen is None:
            return False
        newest = max(self._newest.get(topic, 0), self._newest.get(EVERY_HOST, 0))
        return newest > since.revision or since.epoch != self._seen.epoch

    async def _watch(self) -> None:
        while True:
            seen = self._alarm.count
            try:
                now, changed = await asyncio.to_thread(self._look)
            except Exception as error:  # noqa: BLE001 - a loop's outermost place, as engine/loop.py
                log.failure("host_hub.failed", error)
                await asyncio.sleep(1)
                continue
            self._take(now, changed)
            await self._alarm.wait(INTERVAL_S, after=seen)
            await asyncio.sleep(PAUSE_S)

    def _look(self) -> tuple[Position, dict[str, int]]:
        with self._database.read() as connection:
            now = feed.position(connection)
            goes_on = self._seen is not None and now.continues(self._seen)
            since = self._seen.revision if self._seen is not None and goes_on else 0
            return now, feed.topics(connection, PREFIX, since=since)

    def _take(self, now: Position, changed: dict[str, int]) -> None:
        """Remember what was seen, and wake whom it concerns."""
        goes_on = self._seen is not None and now.continues(self._seen)
        self._newest = {**self._newest, **changed} if goes_on else changed
        self._seen = now
        everybody = EVERY_HOST in changed or not goes_on
        for topic in list(self._waiting) if everybody else changed:
            event = self._waiting.pop(topic, None)
            if event is not None:
                event.set()
