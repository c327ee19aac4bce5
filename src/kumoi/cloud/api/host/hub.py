"""Wakes exactly those hosts for which something changed.

Every write of the cloud rings the alarm, and a hundred hosts wait. So one task per process looks
once for all of them which topics are newer, and each host waits for its own.
"""

from __future__ import annotations

import asyncio
import contextlib

from kumoi.base import log
from kumoi.cloud.store.host.host import EVERY_HOST
from kumoi.engine import feed
from kumoi.engine.db import Database
from kumoi.engine.wake import Alarm

PREFIX = "host:"
INTERVAL_S = 5.0
PAUSE_S = 0.005  # Changes that come together are told together.


class Hub:
    """One per process. Runs while anybody waits."""

    def __init__(self, database: Database, alarm: Alarm) -> None:
        self._database = database
        self._alarm = alarm
        self._revision = 0
        self._newest: dict[str, int] = {}
        self._waiting: dict[str, asyncio.Event] = {}
        self._task: asyncio.Task[None] | None = None

    async def wait(self, topic: str, since: int, timeout_s: float) -> bool:
        """Until something in the topic is newer than `since`; False when the time is up."""
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._watch(), name="host-hub")
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                while self._newest_for(topic) <= since:
                    event = self._waiting.setdefault(topic, asyncio.Event())
                    await event.wait()
        return self._newest_for(topic) > since

    def _newest_for(self, topic: str) -> int:
        return max(self._newest.get(topic, 0), self._newest.get(EVERY_HOST, 0))

    async def _watch(self) -> None:
        while True:
            seen = self._alarm.count
            try:
                changed = await asyncio.to_thread(self._look)
            except Exception as error:  # noqa: BLE001 - a loop's outermost place, as engine/loop.py
                log.failure("host_hub.failed", error)
                await asyncio.sleep(1)
                continue
            for topic, revision in changed.items():
                self._newest[topic] = revision
                self._revision = max(self._revision, revision)
                for woken in list(self._waiting) if topic == EVERY_HOST else [topic]:
                    event = self._waiting.pop(woken, None)
                    if event is not None:
                        event.set()
            await self._alarm.wait(INTERVAL_S, after=seen)
            await asyncio.sleep(PAUSE_S)

    def _look(self) -> dict[str, int]:
        with self._database.read() as connection:
            return feed.topics(connection, PREFIX, since=self._revision)
