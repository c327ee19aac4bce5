"""Short looks at a local store run in the event loop; all else in threads."""

from __future__ import annotations

import asyncio
import itertools
import threading
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

import pytest

from kumoi.base.errors import StoreLost
from kumoi.engine.http import running
from kumoi.engine.http.request import Reply, Request
from kumoi.engine.http.routing import OPEN, Route
from kumoi.engine.http.running import HandlerRunner

CALLS = 3


def where(
    method: str, *, is_local: bool = True, pool: str = "", act: Callable[[], object] = bool
) -> list[str]:
    """Where each of several calls of one route, which acts so, ran: "loop" or "thread"."""
    found: list[str] = []

    def handler(_request: Request[Any, Any]) -> Reply:
        is_main = threading.current_thread() is threading.main_thread()
        found.append("loop" if is_main else "thread")
        act()
        return Reply(200)

    async def story() -> None:
        runner = HandlerRunner({"": 1, "login": 1}, is_local=is_local)
        route = Route(method, "/", handler, OPEN, pool=pool)
        asked = SimpleNamespace(method=method, headers={})
        request = cast("Request[Any, Any]", SimpleNamespace(http=asked))
        for _ in range(CALLS):
            await runner.run(route, request, "client")

    asyncio.run(story())
    return found


def test_a_look_that_was_short_runs_in_the_event_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running, "QUICK_S", 3_600.0)
    assert where("GET") == ["thread", "loop", "loop"]


def test_a_look_that_was_long_runs_in_a_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running, "QUICK_S", -1.0)
    assert where("GET") == ["thread"] * CALLS


def test_a_look_that_waited_for_anothers_thread_was_short_all_the_same() -> None:
    """Whoever computes holds the interpreter's lock: that is no cost of the look."""
    waited = threading.Event()
    assert where("GET", act=lambda: waited.wait(running.QUICK_S * 2)) == ["thread", "loop", "loop"]


def test_a_look_that_read_the_disk_for_long_runs_in_a_thread(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    reads = itertools.count()
    monkeypatch.setattr(running, "_usage", lambda: (0.0, next(reads)))
    waited = threading.Event()
    assert where("GET", act=lambda: waited.wait(running.QUICK_S * 2)) == ["thread"] * CALLS


def test_what_may_wait_runs_in_a_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running, "QUICK_S", 3_600.0)
    assert where("POST") == ["thread"] * CALLS
    assert where("GET", is_local=False) == ["thread"] * CALLS
    assert where("GET", pool="login") == ["thread"] * CALLS


@pytest.mark.parametrize(("changes", "losses", "calls"), [(0, 1, 2), (0, 2, 2), (1, 1, 1)])
def test_what_lost_the_store_before_it_changed_anything_is_done_once_more(
    *, changes: int, losses: int, calls: int
) -> None:
    committed, called = [0], [0]
    record = SimpleNamespace(written=False)

    def handler(_request: Request[Any, Any]) -> Reply:
        called[0] += 1
        assert not record.written
        record.written = True
        committed[0] += changes
        if called[0] <= losses:
            raise StoreLost("write to the store")
        return Reply(200)

    async def story() -> Reply:
        runner = HandlerRunner({"": 1}, is_local=False, commits=lambda: committed[0])
        route = Route("POST", "/", handler, OPEN)
        request = SimpleNamespace(http=SimpleNamespace(method="POST"), record=record)
        return await runner.run(route, cast("Request[Any, Any]", request), "client")

    if losses < calls:
        assert asyncio.run(story()).status == 200
    else:
        with pytest.raises(StoreLost):
            asyncio.run(story())
    assert called == [calls]
