"""What protocols mean."""

from __future__ import annotations

import pytest

from kumoi.base.errors import Invalid
from kumoi.cloud.domain.network.security_group_rule import (
    PROTOCOLS,
    canonical_protocol,
    normalized,
    number,
)


@pytest.mark.parametrize(
    ("protocol", "ethertype", "wanted"),
    [
        (None, "IPv4", None),
        ("any", "IPv4", None),
        ("0", "IPv6", None),
        ("TCP", "IPv4", "tcp"),
        ("17", "IPv4", "17"),
        ("icmp", "IPv4", "icmp"),
        ("icmp", "IPv6", "ipv6-icmp"),
        ("icmpv6", "IPv6", "ipv6-icmp"),
        ("58", "IPv6", "ipv6-icmp"),
        ("255", "IPv4", "255"),
    ],
)
def test_a_protocol_has_one_name(protocol: str | None, ethertype: str, wanted: str | None) -> None:
    assert canonical_protocol(protocol, ethertype) == wanted


@pytest.mark.parametrize(
    ("protocol", "ethertype"),
    [("pigeon", "IPv4"), ("256", "IPv4"), ("-1", "IPv4"), ("ipv6-icmp", "IPv4")],
)
def test_what_is_no_protocol_is_refused(protocol: str, ethertype: str) -> None:
    with pytest.raises(Invalid):
        canonical_protocol(protocol, ethertype)


def test_every_name_has_a_number() -> None:
    assert all(number(name) == value for name, value in PROTOCOLS.items())
    assert number("6") == number("tcp")


def test_a_prefix_is_the_network_it_means() -> None:
    assert normalized("10.0.0.5/24") == "10.0.0.0/24"
    assert normalized("10.0.0.5") == "10.0.0.5/32"
    assert normalized(None) is None
