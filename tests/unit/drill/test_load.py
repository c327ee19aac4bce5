"""How calls and acknowledged writes are counted."""

from __future__ import annotations

from kumoi.drill.load import Journal, LoadCall, within


def test_a_call_counts_for_every_span_that_it_was_under_way_in() -> None:
    calls = [
        LoadCall("read", 0.0, 9.0, ""),
        LoadCall("write", 4.0, 5.0, "503"),
        LoadCall("read", 11.0, 12.0, ""),
    ]
    found = within(calls, 6.0, 10.0)
    assert (found.count, found.failed, found.slowest_s) == (1, 0, 9.0)
    assert within(calls, 4.5, 10.0).troubles == ("write: 503",)
    assert within([], 0.0, 1.0).slowest_s == 0.0


def test_what_was_acknowledged_and_is_not_so_is_lost() -> None:
    journal = Journal(made={"a", "b"}, deleted={"c", "d"})
    assert journal.lost({"a", "b", "asked-for-and-not-answered"}) == []
    assert journal.lost({"a", "d"}) == ["b", "d"]
