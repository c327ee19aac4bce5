"""Where a store has several servers: who is shown what may lack something is told so, and who asks for what is newest is not."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator
from typing import Any

import pytest
from starlette.requests import Request as HttpRequest

from kumoi.engine.followers import Following
from kumoi.engine.http.request import Reply, Request
from kumoi.engine.http.routing import OPEN, Route
from kumoi.engine.http.running import HandlerRunner


class Store:
    """Its leader is away: who follows is shown what `is_behind`."""

    def __init__(self, *, is_behind: bool) -> None:
        self._is_behind = is_behind
        self.following_now = False

    @contextlib.contextmanager
    def following(self) -> Iterator[Following]:
        following = Following()
        following.is_behind = self._is_behind
        self.following_now = True
        yield following
        self.following_now = False


def ask(store: Store, method: str, *, reads: bool = False, cache: str = "") -> Reply:
    def handler(_request: Request[Any, Any]) -> Reply:
        return Reply(200, {"follows": store.following_now}, {"X-Own": "a"})

    headers = [(b"cache-control", cache.encode())] if cache else []
    scope = {"type": "http", "method": method, "headers": headers}
    request: Request[Any, Any] = Request(None, HttpRequest(scope), {}, b"", "", "", "", "")
    runner = HandlerRunner({"": 1}, is_local=False, following=store.following)
    route = Route(method, "/", handler, OPEN, reads=reads)
    return asyncio.run(runner.run(route, request, "somebody"))


def test_who_is_shown_what_may_be_behind_is_told_so_beside_what_was_to_be_said() -> None:
    reply = ask(Store(is_behind=True), "GET")
    assert reply.body == {"follows": True}
    assert reply.headers["X-Own"] == "a"
    assert reply.headers["Warning"].startswith("110 ")


def test_nobody_is_warned_of_what_is_whole() -> None:
    reply = ask(Store(is_behind=False), "GET")
    assert reply.body == {"follows": True}
    assert "Warning" not in reply.headers


@pytest.mark.parametrize("cache", ["no-cache", "max-age=0, no-cache"])
def test_who_asks_for_what_is_newest_waits_for_the_leader(cache: str) -> None:
    reply = ask(Store(is_behind=True), "GET", cache=cache)
    assert reply.body == {"follows": False}
    assert "Warning" not in reply.headers


def test_who_changes_something_waits_for_the_leader_and_a_login_does_not() -> None:
    assert ask(Store(is_behind=False), "POST").body == {"follows": False}
    assert ask(Store(is_behind=False), "POST", reads=True).body == {"follows": True}
