"""Runs a handler in a thread, or in the event loop where it is a short read of SQLite.

To pass a request to a thread and its answer back costs more than most reads of SQLite. So a GET
whose last run took at most QUICK_S runs in the event loop, where it delays other requests no longer
than any callback does. One that took longer runs in a thread until it has been short again. With
PostgreSQL, where a read waits for the network, all run in threads. Called by app.App.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from kumoi.base.errors import StoreLost
from kumoi.engine.http.request import Reply, Request
from kumoi.engine.http.routing import Route
from kumoi.engine.http.turns import LoopTurns, ThreadTurns

QUICK_S = 0.005  # What a request may cost all others.
EACH = 2  # Threads of a pool that one client has: the store has one writer, and Python one lock.
READING = frozenset({"GET", "HEAD", "OPTIONS"})

Answer = TypeVar("Answer")


class HandlerRunner:
    """`threads` are the sizes of the pools by name. `is_local`: reads wait for no network. Of each
    client, see turns.py, one request runs in the event loop at a time, and few in threads. `commits` are
    those of the thread that asks.
    """

    def __init__(
        self,
        threads: Mapping[str, int],
        *,
        is_local: bool,
        commits: Callable[[], int] = lambda: 0,
    ) -> None:
        self._threads = threads
        self._commits = commits
        self._is_local = is_local
        self._turns = LoopTurns()
        self._pools: dict[str, ThreadTurns] = {}
        self._spent_s: dict[int, float] = {}  # By the id of a route, of which there are few.

    async def run(self, route: Route, request: Request[Any, Any], client: str) -> Reply:
        if self._is_local and not route.pool and request.http.method in READING:
            if self._spent_s.get(id(route), QUICK_S + 1) <= QUICK_S:
                await self._turns.wait(client)
                return self._timed(route, request)
            return await self.in_thread(route.pool, client, lambda: self._timed(route, request))
        return await self.in_thread(route.pool, client, lambda: self._waited(route, request))

    async def in_thread(self, pool: str, client: str, act: Callable[[], Answer]) -> Answer:
        turns = self._pools.get(pool)
        if turns is None:  # Made inside the running loop.
            size = self._threads[pool]
            turns = self._pools[pool] = ThreadTurns(size, min(EACH, max(1, size // 2)))
        return await turns.run(client, act)

    def _waited(self, route: Route, request: Request[Any, Any]) -> Reply:
        """Once more where the store was lost in the middle, before anything was changed: the next
        transaction waits until it is back.
        """
        before = self._commits()
        reply: Reply
        try:
            reply = route.handler(request)
        except StoreLost:
            if self._commits() != before:
                raise
        else:
            return reply
        if request.record is not None:
            request.record.written = False  # It went with its transaction.
        reply = route.handler(request)
        return reply

    def _timed(self, route: Route, request: Request[Any, Any]) -> Reply:
        began = time.perf_counter()
        try:
            reply: Reply = route.handler(request)
        finally:
            self._spent_s[id(route)] = time.perf_counter() - began
        return reply
