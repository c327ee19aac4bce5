"""Whose turn is next: what many requests of one client cost is waited for by that client alone.

A client is the caller's project; where there is none, the user or host; and an address as long as no
caller is known. Called by running.py and app.py, and by the pipeline for git, in the event loop's thread only.
"""

from __future__ import annotations

import asyncio
import collections
import contextlib
from collections.abc import Awaitable, Callable
from typing import TypeVar

import anyio.to_thread
from anyio import CapacityLimiter

from kumoi.base.errors import RateLimited

RETRY_AFTER_S = 1.0
COMPANY_S = 0.05  # So long after a turn of another client this one is not alone.
GAP = 3  # Looks at the network without a turn of a client that has company.
PACE_S = 0.001  # Between two turns of a client that gives way to another's thread.
REST, REST_MAX_S = 2, 0.1  # Times what a request of a crowded client took, before its next one.
FEW = 4  # Requests that wait, of a client to whose thread others give way.
BUSY = "Too many requests at once; try again later."

Answer = TypeVar("Answer")
Waiting = collections.deque[asyncio.Future[None]]


async def at_once(_client: str) -> None:
    """What a client begins here costs the event loop nothing."""


class InFlight:
    """Counts the requests that a client has begun and that are not answered; `most` are each one's."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._begun: collections.Counter[str] = collections.Counter()

    def begin(self, client: str) -> None:
        """Raises RateLimited."""
        if self._begun[client] >= self._most:
            raise RateLimited(BUSY, retry_after_s=RETRY_AFTER_S)
        self._begun[client] += 1

    def end(self, client: str) -> None:
        self._begun[client] -= 1
        if not self._begun[client]:
            del self._begun[client]


class LoopTurns:
    """Of what a client costs the event loop: handlers that run there, the way to a thread, the parts of
    a body, and where its requests wait for each other, the reading of the next one.

    Each client has one turn between two looks at the network, at which the others' requests arrive;
    where there are others, it has none in GAP more. One that `gives_way` has its next turn PACE_S later.
    """

    def __init__(self, gives_way: Callable[[str], bool]) -> None:
        self._gives_way = gives_way
        self._waiting: dict[str, Waiting] = {}  # Of each client that has just had a turn.
        self._newest: str | None = None
        self._company_until_s = 0.0  # In the loop's time.

    async def wait(self, client: str) -> None:
        """Until it is this client's turn."""
        loop = asyncio.get_running_loop()
        if self._newest not in (None, client):
            self._company_until_s = loop.time() + COMPANY_S
        self._newest = client
        if client in self._waiting:
            turn = loop.create_future()
            self._waiting[client].append(turn)
            await turn
        else:
            self._waiting[client] = collections.deque()
            loop.call_soon(self._look, client, 1)

    def is_crowded(self, client: str) -> bool:
        """Whether it has company, and requests of its own wait for each other."""
        return bool(self._waiting.get(client)) and self.have_company()

    def have_company(self) -> bool:
        return asyncio.get_running_loop().time() < self._company_until_s

    def _look(self, client: str, looks: int) -> None:
        loop = asyncio.get_running_loop()
        if not self._waiting[client]:
            del self._waiting[client]
        elif self._gives_way(client):
            loop.call_later(PACE_S, self._give, client)
        elif looks <= GAP and self.have_company():
            loop.call_soon(self._look, client, looks + 1)
        else:
            self._give(client)

    def _give(self, client: str) -> None:
        _grant(self._waiting[client])
        asyncio.get_running_loop().call_soon(self._look, client, 1)


class ThreadTurns:
    """Of handlers that run in threads. A client has at most `each` of `size` at a time, and those that
    wait have one after the other. Each begins in its client's `turn` of the event loop. Where they compute
    and `have_company` is true, a client whose requests wait for each other rests after each of them: what computes
    takes the interpreter's lock from the others' requests in the loop.
    """

    def __init__(
        self,
        size: int,
        each: int,
        turn: Callable[[str], Awaitable[None]] = at_once,
        *,
        have_company: Callable[[], bool] = lambda: False,
    ) -> None:
        self._have_company = have_company
        self._resting: set[str] = set()
        self._size = size
        self._each = each
        self._turn = turn
        self._limiter = CapacityLimiter(size)
        self._running: collections.Counter[str] = collections.Counter()
        self._waiting: dict[str, Waiting] = {}

    def serve_another(self, client: str) -> bool:
        """Whether a request of another client runs that has less than FEW more. It waits for the
        interpreter's lock at each statement, and a busy event loop hardly ever leaves it one.
        """
        return any(
            other != client and len(self._waiting.get(other, ())) < FEW for other in self._running
        )

    async def run(self, client: str, act: Callable[[], Answer]) -> Answer:
        with contextlib.ExitStack() as ends:
            await self._enter(client, ends)
            await self._turn(client)
            began_s = asyncio.get_running_loop().time()
            try:
                return await anyio.to_thread.run_sync(act, limiter=self._limiter)
            finally:
                self._rest(client, began_s)

    def _rest(self, client: str, began_s: float) -> None:
        loop = asyncio.get_running_loop()
        if client in self._waiting and client not in self._resting and self._have_company():
            self._resting.add(client)
            loop.call_later(min(REST * (loop.time() - began_s), REST_MAX_S), self._go_on, client)

    def _go_on(self, client: str) -> None:
        self._resting.remove(client)
        self._grant_to_all()

    async def _enter(self, client: str, ends: contextlib.ExitStack) -> None:
        if self._is_free_for(client) and client not in self._waiting:
            self._running[client] += 1
            ends.callback(self._leave, client)
            return
        turn = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(client, collections.deque()).append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self._leave(client)
            raise
        ends.callback(self._leave, client)

    def _is_free_for(self, client: str) -> bool:
        return (
            client not in self._resting
            and self._running.total() < self._size
            and self._running[client] < self._each
        )

    def _leave(self, client: str) -> None:
        self._running[client] -= 1
        if not self._running[client]:
            del self._running[client]
        self._grant_to_all()

    def _grant_to_all(self) -> None:
        for other in list(self._waiting):
            if self._is_free_for(other) and self._grant_to(other):
                self._running[other] += 1

    def _grant_to(self, client: str) -> bool:
        """Its next one is behind those of all others."""
        turns = self._waiting.pop(client)
        granted = _grant(turns)
        if turns:
            self._waiting[client] = turns
        return granted


def _grant(turns: Waiting) -> bool:
    """Let the first request go on that still waits; False where there is none."""
    while turns:
        turn = turns.popleft()
        if not turn.done():
            turn.set_result(None)
            return True
    return False
