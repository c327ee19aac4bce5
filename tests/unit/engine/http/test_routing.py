from __future__ import annotations

import pytest

from kumoi.base.errors import Bug
from kumoi.engine.http.routing import Route, RouteTable


def handler(_request: object) -> None:
    raise AssertionError


def router(*paths: str) -> RouteTable:
    return RouteTable(Route("GET", path, handler, "any") for path in paths)


def test_a_literal_comes_before_a_placeholder() -> None:
    found, values = router("/servers/{id}", "/servers/detail").find("/servers/detail")
    assert (found["GET"].path, values) == ("/servers/detail", {})


def test_a_placeholder_gives_its_value() -> None:
    found, values = router("/servers/{id}/action").find("/servers/abc/action/")
    assert (found["GET"].path, values) == ("/servers/{id}/action", {"id": "abc"})


def test_a_path_that_nobody_has_finds_nothing() -> None:
    assert router("/servers/{id}").find("/servers")[0] == {}
    assert router("/servers/{id}").find("/servers/a/b")[0] == {}
    assert router("/servers").find("/flavors")[0] == {}


def test_two_routes_for_one_thing_are_refused() -> None:
    with pytest.raises(Bug):
        router("/servers/{id}", "/servers/{id}")


def test_one_place_has_one_name() -> None:
    with pytest.raises(Bug):
        router("/servers/{id}", "/servers/{server}/tags")


def test_a_list_may_allow_a_slash_at_its_end_and_nothing_else_there_does() -> None:
    table = RouteTable(
        [
            Route("GET", "/trusts", handler, "any", slash=True),
            Route("POST", "/trusts", handler, "any"),
            Route("DELETE", "/trusts/{id}", handler, "any"),
        ]
    )
    assert list(table.find("/trusts/")[0]) == ["GET"]
    assert sorted(table.find("/trusts")[0]) == ["GET", "POST"]
