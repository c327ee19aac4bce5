"""Runs a reconciler round by round: after a hint, and at its interval without one.

A reconciler takes no input. It runs in a thread, one round at a time in this process, and under a
lease so that one process of several runs it. A round that fails is logged and tried again after a
growing pause.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass, field

from kumoi.base import log
from kumoi.base.backoff import Backoff
from kumoi.base.errors import StoreLost, Transient
from kumoi.engine import holder, lease
from kumoi.engine.db import Database
from kumoi.engine.wake import Alarm
from kumoi.engine.write_watch import DOING

BACKOFF = Backoff(first_s=1.0, most_s=30.0)
LEASE_TTL_S = 10.0


class Poke:
    """A function that any thread calls to hint that there is work for a loop."""

    def __init__(self) -> None:
        self._ring: Callable[[], object] = lambda: None

    def __call__(self) -> None:
        self._ring()

    def bind(self, alarm: Alarm) -> None:
        """Called by the loop when it starts. After the loop has ended a poke does nothing."""
        event_loop = asyncio.get_running_loop()

        def ring() -> None:
            with contextlib.suppress(RuntimeError):  # The event loop is closed.
                event_loop.call_soon_threadsafe(alarm.ring)

        self._ring = ring


@dataclass(frozen=True, slots=True)
class Loop:
    """`round_` does all the work there is and returns; `interval_s` is how long to wait for a hint,
    which is a write to the store or a `poke`. `token` is what it has its lease by.
    """

    name: str
    round_: Callable[[], None]
    interval_s: float
    poke: Poke = field(default_factory=Poke)
    token: str = field(default_factory=holder.new_token)


async def run(loop: Loop, database: Database) -> None:
    """Run rounds until cancelled."""
    DOING.set(loop.name)
    token = loop.token
    alarm = Alarm(database.listen)
    loop.poke.bind(alarm)
    failures = 0
    try:
        while True:
            count = alarm.count
            try:
                held = await asyncio.to_thread(_claim, loop, database, token)
                if held:
                    await asyncio.to_thread(loop.round_)
                failures = 0
            except Exception as error:  # noqa: BLE001 - the engine's loop: the outermost place
                failures += 1
                asked_s = error.retry_after_s if isinstance(error, Transient) else None
                pause_s = BACKOFF.after(failures, asked_s=asked_s)
                log.failure("loop.failed", error, loop=loop.name, pause_s=pause_s)
                if isinstance(error, StoreLost):  # The alarm rings when the store is back.
                    await alarm.wait(pause_s, after=count)
                else:
                    await asyncio.sleep(pause_s)
                continue
            await alarm.wait(loop.interval_s, after=count)
    finally:
        await alarm.close()
        with contextlib.suppress(Transient):  # Then the lease expires by itself.
            await asyncio.to_thread(_release, loop, database, token)


def _claim(loop: Loop, database: Database, token: str) -> bool:
    """Writes only when half of the lease is over, so that an idle loop does not write, and neither does one
    that another process runs.
    """
    with database.read() as connection:
        if lease.is_held(connection, loop.name, token=token, margin_s=LEASE_TTL_S / 2):
            return True
        if not lease.is_free(connection, loop.name, token=token):
            return False
    with database.write(wakes=False) as connection:
        return lease.claim(connection, loop.name, token=token, ttl_s=LEASE_TTL_S)


def _release(loop: Loop, database: Database, token: str) -> None:
    with database.write(wakes=False) as connection:
        lease.release(connection, loop.name, token=token)
