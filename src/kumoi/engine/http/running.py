"""Runs a handler in a thread, or in the event loop where it is a short read of SQLite.

To pass a request to a thread and its answer back costs more than most reads of SQLite. So a GET
whose last run cost at most QUICK_S runs in the event loop, where it delays other requests no longer
than any callback does. One that cost more runs in a thread until it has been short again. With
PostgreSQL, where a read waits for the network, all run in threads. Called by app.App.

What counts is processor time, and where the disk was read, all the time: by a clock alone a read would be long that
waited for a thread of another's with the interpreter's lock, and would wait in threads all the longer.
"""

from __future__ import annotations

import resource
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from typing import Any, TypeVar

from kumoi.base.errors import StoreLost
from kumoi.engine.followers import Following
from kumoi.engine.http.request import Reply, Request
from kumoi.engine.http.routing import Route
from kumoi.engine.http.turns import LoopTurns, ThreadTurns

QUICK_S = 0.005  # What a request may cost all others.
EACH = 1  # Threads of a client: SQLite has one writer, Python one lock, and two contend for both.
EACH_WAITING = 2  # Where they wait for the network, or for other programs.
READING = frozenset({"GET", "HEAD", "OPTIONS"})
NEWEST = "no-cache"  # As HTTP's Cache-Control has it: who acts by what he reads.
BEHIND = {"Warning": '110 kumoi "shown by one host: what others have acknowledged may be missing"'}

Answer = TypeVar("Answer")


class HandlerRunner:
    """`threads` are the sizes of the pools by name. `is_local`: reads wait for no network. `waits`:
    handlers wait for other programs. Each client has its turns, see turns.py. `commits` are those of
    the thread that asks. `following` is what reads are done within, unless they ask for what is newest.
    """

    def __init__(
        self,
        threads: Mapping[str, int],
        *,
        is_local: bool,
        waits: bool = False,
        commits: Callable[[], int] = lambda: 0,
        following: Callable[[], AbstractContextManager[Following | None]] = nullcontext,
    ) -> None:
        self._threads = threads
        self._commits = commits
        self._following = following
        self._is_local = is_local
        self._computes = is_local and not waits
        self._each = EACH if self._computes else EACH_WAITING
        self._turns = LoopTurns(self._gives_way)
        self._pools: dict[str, ThreadTurns] = {}
        self._spent_s: dict[int, float] = {}  # By the id of a route, of which there are few.

    async def run(self, route: Route, request: Request[Any, Any], client: str) -> Reply:
        if self._is_local and not route.pool and request.http.method in READING:
            if self._spent_s.get(id(route), QUICK_S + 1) <= QUICK_S:
                await self.turn(client)
                return self._timed(route, request)
            return await self.in_thread(route.pool, client, lambda: self._timed(route, request))
        return await self.in_thread(route.pool, client, lambda: self._waited(route, request))

    async def in_thread(self, pool: str, client: str, act: Callable[[], Answer]) -> Answer:
        turns = self._pools.get(pool)
        if turns is None:  # Made inside the running loop.
            size = self._threads[pool]
            each = min(self._each, max(1, size // 2))
            rests = self._computes and not pool  # Hashing, which has its own, takes no lock.
            turns = self._pools[pool] = ThreadTurns(
                size, each, self.turn, have_company=self._turns.have_company if rests else _never
            )
        return await turns.run(client, act)

    async def turn(self, client: str) -> None:
        """Until this client may use the event loop."""
        await self._turns.wait(client)

    def is_crowded(self, client: str) -> bool:
        return self._turns.is_crowded(client)

    def _gives_way(self, client: str) -> bool:
        """To whoever runs in a thread of the store's: hashing, which has its own, takes no lock."""
        threads = self._pools.get("")
        return threads is not None and threads.serve_another(client)

    def _waited(self, route: Route, request: Request[Any, Any]) -> Reply:
        reads = route.reads or request.http.method in READING
        if not reads or _wants_newest(request):
            return self._once_more(route, request)
        with self._following() as following:
            reply = self._once_more(route, request)
        if following is None or not following.is_behind:
            return reply
        return replace(reply, headers={**reply.headers, **BEHIND})

    def _once_more(self, route: Route, request: Request[Any, Any]) -> Reply:
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
        began, before = time.perf_counter(), _usage()
        try:
            reply: Reply = route.handler(request)
        finally:
            after = _usage()
            spent_s, reads = after[0] - before[0], after[1] - before[1]
            self._spent_s[id(route)] = time.perf_counter() - began if reads else spent_s
        return reply


def looked(request: Request[Any, Any], look: Callable[[], Answer]) -> tuple[Answer, dict[str, str]]:
    """What a handler that streams reads first, as others read, and the headers that go with it."""
    if _wants_newest(request):
        return look(), {}
    with request.services.database.following() as following:
        try:
            found = look()
        except StoreLost:  # In the middle: as `_once_more`.
            found = look()
    return found, dict(BEHIND) if following.is_behind else {}


def _wants_newest(request: Request[Any, Any]) -> bool:
    return NEWEST in request.http.headers.get("Cache-Control", "")


def _never() -> bool:
    return False


def _usage() -> tuple[float, int]:
    """Of this thread: processor time, and how often the disk was read."""
    used = resource.getrusage(resource.RUSAGE_THREAD)
    return used.ru_utime + used.ru_stime, used.ru_inblock + used.ru_majflt
