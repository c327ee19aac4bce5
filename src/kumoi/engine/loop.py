"""Runs a reconciler round by round: after a hint, and at its interval without one.

A reconciler takes no input. It runs in a thread, one round at a time in this process, and under a
lease (loop_leases.py) so that one process of several runs it. A round that fails is logged and tried again after a
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
from kumoi.engine import holder, loop_leases
from kumoi.engine.db import Database
from kumoi.engine.loop_leases import LoopLeases
from kumoi.engine.wake import Alarm
from kumoi.engine.write_watch import DOING

BACKOFF = Backoff(first_s=1.0, most_s=30.0)


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


async def run(loop: Loop, database: Database, leases: LoopLeases | None = None) -> None:
    """Run rounds until cancelled. `leases` are those of all loops of this process that share the database."""
    DOING.set(loop.name)
    leases = leases or LoopLeases(database)
    alarm = Alarm(database.listen)
    loop.poke.bind(alarm)
    failures = 0
    try:
        while True:
            count = alarm.count
            try:
                is_ours = await asyncio.to_thread(_run_round, loop, leases)
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
            wait_s = loop.interval_s
            if not is_ours:
                wait_s = min(wait_s, loop_leases.LOOK_EVERY_S)
            await alarm.wait(wait_s, after=count)
    finally:
        await alarm.close()
        with contextlib.suppress(Transient):  # Then the lease expires by itself.
            await asyncio.to_thread(leases.release, loop.name)


def _run_round(loop: Loop, leases: LoopLeases) -> bool:
    """Unless it is another process's turn."""
    if not leases.begin(loop.name, loop.token):
        return False
    try:
        loop.round_()
    finally:
        leases.end(loop.name)
    return True
