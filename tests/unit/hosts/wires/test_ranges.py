"""Address ranges: what is refused, and what is chosen."""

from __future__ import annotations

from ipaddress import IPv4Network

import pytest

from kumoi.base.errors import Conflict, Invalid
from kumoi.hosts.wires import ranges
from kumoi.hosts.wires.ranges import UsedRange

OFFICE = UsedRange(IPv4Network("172.24.0.0/16"), "the route to 172.24.0.0/16")


def test_the_first_pair_is_taken_when_it_is_free() -> None:
    assert ranges.choose([]) == ("172.24.4.0/24", "172.24.5.0/28")


def test_a_range_the_machine_routes_is_passed_over() -> None:
    assert ranges.choose([OFFICE]) == ("172.29.4.0/24", "172.29.5.0/28")


def test_one_that_was_asked_for_is_kept_and_the_other_is_chosen() -> None:
    assert ranges.choose([], public="172.24.5.0/24") == ("172.24.5.0/24", "172.29.5.0/28")


def test_when_all_are_taken_people_are_told_to_choose() -> None:
    everything = [
        UsedRange(IPv4Network("0.0.0.0/1"), "x"),
        UsedRange(IPv4Network("128.0.0.0/1"), "x"),
    ]
    with pytest.raises(Conflict, match="--public-cidr"):
        ranges.choose(everything)


@pytest.mark.parametrize(
    ("public", "underlay", "said"),
    [
        ("172.24.4.0/24", "10.0.0.0/28", "taken by the route to 172.24.0.0/16"),
        ("10.0.0.0/24", "172.24.9.0/28", "--underlay-cidr 172.24.9.0/28 is taken"),
        ("10.0.0.0/24", "10.0.0.16/28", "overlap"),
        ("10.0.0.1/24", "10.1.0.0/28", "not an IPv4 range"),
        ("fd00::/64", "10.1.0.0/28", "not an IPv4 range"),
        ("10.0.0.0/29", "10.1.0.0/28", "too small: /28 at least"),
        ("10.0.0.0/24", "10.1.0.0/30", "too small: /29 at least"),
    ],
)
def test_a_range_that_cannot_be_used_is_refused_by_name(
    public: str, underlay: str, said: str
) -> None:
    with pytest.raises(Invalid, match=said):
        ranges.check(public, underlay, [OFFICE])


def test_free_ranges_are_accepted() -> None:
    ranges.check("10.0.0.0/24", "10.1.0.0/28", [OFFICE])


def test_the_machines_own_loopback_is_in_use_and_our_links_are_not() -> None:
    assert "127.0.0.1/8 of the link lo" in {item.who for item in ranges.used(set())}
    assert not any("lo" in item.who.split() for item in ranges.used({"lo"}))
