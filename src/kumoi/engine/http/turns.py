"""Whose turn is next: what many requests of one client cost is waited for by that client alone.

A client is the caller's project; where there is none, the user or host; and an address as long as no
caller is known. Called by running.py and app.py, in the event loop's thread only.
"""

from __future__ import annotations

import asyncio
import collections
import contextlib
from collections.abc import Callable
from typing import TypeVar

import anyio.to_thread
from anyio import CapacityLimiter

from kumoi.base.errors import RateLimited

RETRY_AFTER_S = 1.0
BUSY = "Too many requests at once; try again later."

Answer = TypeVar("Answer")
Waiting = collections.deque[asyncio.Future[None]]


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
    """Of handlers that run in the event loop. Each client has one turn between two looks at the
    network, at which the others' requests arrive.
    """

    def __init__(self) -> None:
        self._had: set[str] = set()
        self._waiting: dict[str, Waiting] = {}

    async def wait(self, client: str) -> None:
        """Until it is this client's turn."""
        if client in self._had or client in self._waiting:
            turn = asyncio.get_running_loop().create_future()
            self._waiting.setdefault(client, collections.deque()).append(turn)
            await turn
        else:
            self._begin_round()
            self._had.add(client)

    def _begin_round(self) -> None:
        if not self._had:
            asyncio.get_running_loop().call_soon(self._next_round)

    def _next_round(self) -> None:
        self._had.clear()
        for client in list(self._waiting):
            if _grant(self._waiting, client):
                self._begin_round()
                self._had.add(client)


class ThreadTurns:
    """Of handlers that run in threads. A client has at most `each` of `size` at a time, and those that
    wait have one after the other.
    """

    def __init__(self, size: int, each: int) -> None:
        self._size = size
        self._each = each
        self._limiter = CapacityLimiter(size)
        self._running: collections.Counter[str] = collections.Counter()
        self._waiting: dict[str, Waiting] = {}

    async def run(self, client: str, act: Callable[[], Answer]) -> Answer:
        with contextlib.ExitStack() as ends:
            await self._enter(client, ends)
            return await anyio.to_thread.run_sync(act, limiter=self._limiter)

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
        return self._running.total() < self._size and self._running[client] < self._each

    def _leave(self, client: str) -> None:
        self._running[client] -= 1
        if not self._running[client]:
            del self._running[client]
        for other in list(self._waiting):
            if self._is_free_for(other) and _grant(self._waiting, other):
                self._running[other] += 1
                if other in self._waiting:  # Behind all others.
                    self._waiting[other] = self._waiting.pop(other)


def _grant(waiting: dict[str, Waiting], client: str) -> bool:
    """Let the client's first request go on that still waits; False where there is none."""
    turns = waiting[client]
    granted = False
    while turns and not granted:
        turn = turns.popleft()
        if not turn.done():
            turn.set_result(None)
            granted = True
    if not turns:
        del waiting[client]
    return granted
