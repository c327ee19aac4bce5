"""A query string is read once, and an error each time; what its values may be."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from kumoi.base.errors import Invalid
from kumoi.engine.http import paging
from kumoi.engine.http.paging import QUERIES_KEPT, QUERY_KEPT_BYTES, QueryMemo


class Reader:
    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, request: Any, *about: object) -> tuple[bytes, tuple[object, ...]]:
        self.calls += 1
        text = request.http.scope["query_string"]
        if text == b"bad":
            raise Invalid("bad", field="bad")
        return text, about


def asked(text: bytes) -> Any:
    return SimpleNamespace(http=SimpleNamespace(scope={"query_string": text}))


def test_the_same_query_of_the_same_noun_is_read_once() -> None:
    reader = Reader()
    memo = QueryMemo(reader)
    for _ in range(3):
        assert memo.of(asked(b"a=1"), "ports") == (b"a=1", ("ports",))
        assert memo.of(asked(b"a=1"), "networks") == (b"a=1", ("networks",))
        assert memo.of(asked(b"a=2"), "ports") == (b"a=2", ("ports",))
    assert reader.calls == 3


def test_what_is_wrong_is_said_each_time() -> None:
    memo = QueryMemo(Reader())
    for _ in range(2):
        with pytest.raises(Invalid):
            memo.of(asked(b"bad"))


def test_long_ones_are_not_kept_and_many_are_dropped() -> None:
    reader = Reader()
    memo = QueryMemo(reader)
    for _ in range(2):
        memo.of(asked(b"x" * (QUERY_KEPT_BYTES + 1)))
    assert reader.calls == 2
    for number in range(QUERIES_KEPT + 1):
        memo.of(asked(str(number).encode()))
    reader.calls = 0
    memo.of(asked(b"0"))
    assert reader.calls == 1


@pytest.mark.parametrize(("text", "number"), [("0", 0), ("-7", -7), ("12", 12)])
def test_an_integer_has_either_sign(text: str, number: int) -> None:
    assert paging.integer(text, "weight") == number


@pytest.mark.parametrize("text", ["", "-", "--5", "1.5", "x", "9" * 5_000])
def test_what_is_no_integer_is_refused(text: str) -> None:
    with pytest.raises(Invalid) as refused:
        paging.integer(text, "weight")
    assert refused.value.field == "weight"
