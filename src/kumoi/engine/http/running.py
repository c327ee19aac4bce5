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

import anyio.to_thread
from anyio import CapacityLimiter

from kumoi.engine.http.request import Reply, Request
from kumoi.engine.http.routing import Route

QUICK_S = 0.005  # Python's switch interval: a thread delays the others as long anyway.
READING = frozenset({"GET", "HEAD", "OPTIONS"})

Answer = TypeVar("Answer")


class HandlerRunner:
    """`threads` are the sizes of the pools by name. `is_local`: reads wait for no network."""

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
