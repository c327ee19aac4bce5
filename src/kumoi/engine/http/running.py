"""Where a handler runs: in a thread, or, when it is a short look at a local file, in the event loop.

To hand a request to a thread and its answer back costs more than what most of them ask of SQLite.
So a GET whose last run took at most QUICK_S runs where its request is: that keeps
the others waiting no longer than any other callback does. One that took longer runs in a thread
until it has been short again. Where looking waits for a network (PostgreSQL), all run in threads.
Called by app.App.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import anyio.to_thread
from anyio import CapacityLimiter

from kumoi.engine.http.request import Reply, Request
from kumoi.engine.http.routing import Route

QUICK_S = 0.005  # As long as a thread of Python keeps the others waiting anyway.
READING = frozenset({"GET", "HEAD", "OPTIONS"})

Answer = TypeVar("Answer")


class HandlerRunner:
    """`threads` are the sizes of the pools by name. `is_local`: a look waits for nobody."""

    def __init__(self, threads: Mapping[str, int], *, is_local: bool) -> None:
        self._threads = threads
        self._is_local = is_local
        self._limiters: dict[str, CapacityLimiter] = {}
        self._spent_s: dict[int, float] = {}  # By the id of a route, of which there are few.

    async def run(self, route: Route, request: Request[Any, Any]) -> Reply:
        if self._is_local and not route.pool and request.http.method in READING:
            if self._spent_s.get(id(route), QUICK_S + 1) <= QUICK_S:
                return self._timed(route, request)
            return await self.in_thread(route.pool, lambda: self._timed(route, request))
        reply: Reply = await self.in_thread(route.pool, lambda: route.handler(request))
        return reply

    async def in_thread(self, pool: str, act: Callable[[], Answer]) -> Answer:
        limiter = self._limiters.get(pool)
        if limiter is None:  # Made inside the running loop.
            limiter = self._limiters[pool] = CapacityLimiter(self._threads[pool])
        return await anyio.to_thread.run_sync(act, limiter=limiter)

    def _timed(self, route: Route, request: Request[Any, Any]) -> Reply:
        began = time.perf_counter()
        try:
            reply: Reply = route.handler(request)
        finally:
            self._spent_s[id(route)] = time.perf_counter() - began
        return reply
