"""Choosing addresses."""

from __future__ import annotations

import bisect
import ipaddress
from collections.abc import Collection

import pytest

from kumoi.cloud.domain.network import allocation
from kumoi.cloud.domain.network.allocation import TakenAddresses


class Stored:
    """A sorted list that is asked as the store is, and counts how often."""

    def __init__(self, addresses: Collection[int]) -> None:
        self.addresses = sorted(addresses)
        self.asked = 0

    def __call__(self, first: int, most: int) -> list[int]:
        self.asked += 1
        start = bisect.bisect_left(self.addresses, first)
        return self.addresses[start : start + most]


def taken(addresses: Collection[int]) -> TakenAddresses:
    return TakenAddresses(Stored(addresses))


def test_the_lowest_is_first() -> None:
    assert allocation.choose([(10, 20)], None, taken([])) == 10


def test_the_next_is_after_the_last_given_even_when_a_lower_one_is_free() -> None:
    assert allocation.choose([(10, 20)], 14, taken([11])) == 15


def test_after_the_end_it_goes_round() -> None:
    assert allocation.choose([(10, 20)], 20, taken([10, 20])) == 11
    assert allocation.choose([(10, 20)], 18, taken([10, 19, 20])) == 11


def test_all_taken_is_none() -> None:
    assert allocation.choose([(10, 20)], 15, taken(range(10, 21))) is None
    assert allocation.choose([], None, taken([])) is None


def test_the_one_given_last_is_given_again_when_it_is_the_only_one() -> None:
    assert allocation.choose([(10, 12)], 11, taken([10, 12])) == 11


def test_pools_are_searched_in_order_whatever_their_order() -> None:
    assert allocation.choose([(30, 31), (10, 11)], None, taken([10, 11])) == 30
    assert allocation.choose([(30, 31), (10, 11)], 31, taken([30, 31])) == 10


def test_what_is_taken_outside_the_pools_does_not_matter() -> None:
    assert allocation.choose([(10, 11), (30, 31)], None, taken([9, 10, 11, 12, 29])) == 30


def test_the_last_hole_of_a_full_16_bit_network_is_found_in_bounded_steps() -> None:
    hole = 40_000
    stored = Stored([each for each in range(65_534) if each != hole])
    assert allocation.choose([(0, 65_533)], hole, TakenAddresses(stored)) == hole
    assert stored.asked <= 2 + 65_534 // allocation.WINDOW * 2


def test_on_an_empty_ipv6_network_one_look_is_enough() -> None:
    first = int(ipaddress.ip_address("fd00::1"))
    stored = Stored([])
    addresses = TakenAddresses(stored)
    assert allocation.choose([(first, first + 2**64)], first + 5, addresses) == first + 6
    assert stored.asked == 1


def test_many_addresses_cost_one_look() -> None:
    stored = Stored([12])
    addresses, found = TakenAddresses(stored), [10]
    for _ in range(5):
        number = allocation.choose([(10, 20)], found[-1], addresses)
        assert number is not None
        addresses.add(number)
        found.append(number)
    assert found == [10, 11, 13, 14, 15, 16]
    assert stored.asked == 1


def test_of_a_window_that_was_full_no_more_is_believed() -> None:
    last = allocation.WINDOW + 10
    stored = Stored(range(10, last + 5))
    addresses = TakenAddresses(stored)
    assert allocation.choose([(10, last + 20)], None, addresses) == last + 5
    assert allocation.choose([(10, last + 20)], last + 1, addresses) == last + 5
    addresses.add(last + 5)
    assert allocation.choose([(10, last + 20)], last + 1, addresses) == last + 6
    assert stored.asked == 2


@pytest.mark.parametrize(
    ("cidr", "gateway", "pools"),
    [
        ("10.0.0.0/29", "10.0.0.1", [["10.0.0.2", "10.0.0.6"]]),
        ("10.0.0.0/29", "10.0.0.6", [["10.0.0.1", "10.0.0.5"]]),
        ("10.0.0.0/29", None, [["10.0.0.1", "10.0.0.6"]]),
        ("10.0.0.0/29", "10.9.0.1", [["10.0.0.1", "10.0.0.6"]]),
        ("10.0.0.0/31", None, [["10.0.0.0", "10.0.0.1"]]),
        ("10.0.0.0/31", "10.0.0.0", [["10.0.0.1", "10.0.0.1"]]),
        ("10.0.0.7/32", None, [["10.0.0.7", "10.0.0.7"]]),
        ("fd00::/126", "fd00::1", [["fd00::2", "fd00::3"]]),
        ("fd00::/127", None, [["fd00::", "fd00::1"]]),
        ("::/126", None, [["::1", "::3"]]),
    ],
)
def test_a_pool_is_all_that_a_port_can_have(
    cidr: str, gateway: str | None, pools: list[list[str]]
) -> None:
    assert allocation.default_pools(cidr, gateway) == pools


def test_an_automatic_address_follows_from_the_mac() -> None:
    found = allocation.eui64("2001:db8::/64", "fa:16:3e:aa:bb:cc")
    assert found == "2001:db8::f816:3eff:feaa:bbcc"


def test_pools_are_measured() -> None:
    pools = allocation.as_pools([["10.0.0.2", "10.0.0.5"], ["10.0.0.9", "10.0.0.9"]])
    assert allocation.size(pools) == 5
