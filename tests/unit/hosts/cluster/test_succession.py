"""A store is whole when whoever leads it may be lost: others acknowledge its writes, and etcd has who takes over."""

from __future__ import annotations

import json

import pytest

from kumoi.hosts.cluster import succession
from kumoi.hosts.cluster.databases import Members

NAMES = ("a", "b", "c")
WHOLE = Members("a", ("b", "c"))


def note(leader: str, standbys: str | None) -> str:
    """As Patroni writes it."""
    return json.dumps({"leader": leader, "sync_standby": standbys, "quorum": 1})


def test_a_leader_with_followers_that_may_take_over_lacks_nothing() -> None:
    found = succession.judge(NAMES, WHOLE, note("a", "b,c"))
    assert found.successors == ("b", "c")
    assert found.missing == ()


@pytest.mark.parametrize(
    "said", ["", "{}", "null", "[]", "no JSON", note("a", None), note("a", ""), note("b", "a,c")]
)
def test_followers_that_etcd_does_not_have_replace_nobody(said: str) -> None:
    """As after etcd was away: they acknowledge, and Patroni has not written it again."""
    found = succession.judge(NAMES, WHOLE, said)
    assert found.successors == ()
    (line,) = found.missing
    assert line == "Patroni's word in etcd that b and c may take over from a"


def test_one_of_two_followers_is_not_enough_to_lose_any() -> None:
    (line,) = succession.judge(NAMES, WHOLE, note("a", "c")).missing
    assert "that b may take over from a" in line


def test_a_member_that_does_not_follow_is_missing_itself() -> None:
    found = succession.judge(NAMES, Members("a", ("b",)), note("a", "b,c"))
    assert found.missing == ("PostgreSQL on c",)


def test_without_a_leader_that_is_all_that_is_said() -> None:
    found = succession.judge(NAMES, Members("", ()), note("a", "b,c"))
    assert found.missing == ("a leader of PostgreSQL",)
