"""Wakes the waiting hosts for which something changed, and no others.

Every write to the store rings the alarm, and a hundred hosts wait. So one task per process reads for
all of them which topics have changed, and each host waits for its own. When the store begins another
epoch, all of them are woken: what they have read may have been lost.
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
PAUSE_S = 0.005  # Changes within this time wake a host once.


class Hub:
    """One per process. Its task starts with the first host that waits."""

    def __init__(self, database: Database, alarm: Alarm) -> None:
        self._database = database
        self._alarm = alarm
        self._seen: Position | None = None  # None until the feed was read once.
        self._newest: dict[str, int] = {}
        self._waiting: dict[str, asyncio.Event] = {}
        self._task: asyncio.Task[None] | None = None

    async def wait(self, topic: str, since: Position, timeout_s: float) -> bool:
        """Wait until the topic has a change after `since`, or `since` is of an earlier epoch; False
        when the time is up first.
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
                now, changed = await asyncio.to_thread(self._changes)
            except Exception as error:  # noqa: BLE001 - a loop's outermost place, as engine/loop.py
                log.failure("host_hub.failed", error)
                await asyncio.sleep(1)
                continue
            self._wake(now, changed)
            await self._alarm.wait(INTERVAL_S, after=seen)
            await asyncio.sleep(PAUSE_S)

    def _changes(self) -> tuple[Position, dict[str, int]]:
        with self._database.read() as connection:
            now = feed.position(connection)
            continues = self._seen is not None and now.continues(self._seen)
            since = self._seen.revision if self._seen is not None and continues else 0
            return now, feed.topics(connection, PREFIX, since=since)

    def _wake(self, now: Position, changed: dict[str, int]) -> None:
        """Note the changes, and wake the hosts that wait for them."""
        continues = self._seen is not None and now.continues(self._seen)
        self._newest = {**self._newest, **changed} if continues else changed
        self._seen = now
        wakes_all = EVERY_HOST in changed or not continues
        for topic in list(self._waiting) if wakes_all else changed:
            event = self._waiting.pop(topic, None)
            if event is not None:
                event.set()
