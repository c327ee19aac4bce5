"""Whose turn it is on a host, for work that one project can make as much of as it likes: images to be unpacked,
snapshots to be written.

Of those that wait, the next is one whose project had no turn for longest. So nobody waits for all that another project
has asked for before.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Hashable, Iterable
from dataclasses import dataclass
from typing import TypeVar

Waiting = TypeVar("Waiting")


class TurnOrder:
    """`_last` has the number of each project's last turn."""

    def __init__(self) -> None:
        self._last: dict[str, int] = {}
        self._count = 0

    def choose(self, waiting: Iterable[Waiting], owner_of: Callable[[Waiting], str]) -> Waiting:
        """Of one owner's, the first."""
        chosen = min(waiting, key=lambda each: self._last.get(owner_of(each), 0))
        self._count += 1
        self._last[owner_of(chosen)] = self._count
        return chosen


@dataclass(eq=False, slots=True)
class _Waiter:
    work: Hashable
    owner: str
    called: asyncio.Future[None]


class Turns:
    """`places` is how much goes on at once, an owner's one at a time. The same `work` is done by one at a time; once it succeeded, all others that
    wait for it go on at once, as nothing is left for them to do.
    """

    def __init__(self, places: int) -> None:
        self._places = places
        self._waiting: list[_Waiter] = []
        self._working: list[_Waiter] = []
        self._order = TurnOrder()

    @contextlib.asynccontextmanager
    async def turn(self, work: Hashable, owner: str) -> AsyncIterator[None]:
        waiter = _Waiter(work, owner, asyncio.get_running_loop().create_future())
        self._waiting.append(waiter)
        self._call_next()
        try:
            await waiter.called
            yield
            self._let_through(work)
        finally:
            for known in (self._waiting, self._working):
                if waiter in known:
                    known.remove(waiter)
            self._call_next()

    def _call_next(self) -> None:
        while len(self._working) < self._places:
            able = [waiter for waiter in self._waiting if self._may_begin(waiter)]
            if not able:
                return
            chosen = self._order.choose(able, lambda waiter: waiter.owner)
            self._waiting.remove(chosen)
            self._working.append(chosen)
            chosen.called.set_result(None)

    def _may_begin(self, waiter: _Waiter) -> bool:
        """A future that is done is of one that was cancelled while it waited."""
        return not waiter.called.done() and all(
            waiter.work != other.work and waiter.owner != other.owner for other in self._working
        )

    def _let_through(self, work: Hashable) -> None:
        for waiter in [waiter for waiter in self._waiting if waiter.work == work]:
            self._waiting.remove(waiter)
            if not waiter.called.done():
                waiter.called.set_result(None)
