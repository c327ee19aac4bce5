"""A filter at the host's end of a server's link, which drops advertisements of routers that the server sends.

Called by drivers of servers, in the host's network namespace. OVN asks no access list about such
advertisements (docs/design/0034-router-guard.md). No root of a server reaches the filter. RFC 7113 says
what such a filter must look at.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Iterable

from kumoi.cloud.drivers.network import bpf
from kumoi.cloud.drivers.network.bpf import (
    ADD,
    ADD_REGISTER,
    AND,
    AT,
    CONTEXT,
    DROP,
    HEADER,
    IF_EQUAL,
    IF_LESS,
    IF_NOT,
    JUMP,
    LEFT,
    PASS,
    R1,
    R2,
    SET,
    SET_REGISTER,
    SHIFT,
    Assembly,
)

NAME = b"kumoi_routers"
HEADERS_MAX = 8
"""Extension headers of one packet. Who sends more has no reason that is good."""

_SNAP, _IPV6 = 0xAAAA, 0x86DD
_ETHER_TYPES = 0x600
"""What is below is a length: a frame of IEEE 802.3."""
_ICMPV6, _ADVERTISEMENT = 58, 134
_HOP_BY_HOP, _ROUTING, _FRAGMENT, _AUTHENTICATION, _DESTINATION = 0, 43, 44, 51, 60


def program() -> bytes:
    """Drops an advertisement of a router, behind whatever headers, whole or the first of its fragments; what
    hides its kind, as the other fragments are of no use without the first; and IEEE 802.3's SNAP, in which some
    systems look for IPv6 and OVN for no advertisement.
    """
    filter_ = Assembly()
    filter_.add(SET_REGISTER, CONTEXT, register=R1)
    _look_at_frame(filter_)
    filter_.place("ipv6")
    filter_.add(SET, AT, 20)
    filter_.load(1, otherwise="pass")
    filter_.byte(HEADER, 0)
    filter_.add(SET, AT, 54)
    filter_.add(SET, LEFT, HEADERS_MAX)
    _look_at_headers(filter_)
    filter_.place("icmpv6")
    filter_.load(1, otherwise="drop")
    filter_.byte(R1, 0)
    filter_.add(IF_EQUAL, R1, _ADVERTISEMENT, go="drop")
    filter_.place("pass")
    filter_.finish(PASS)
    filter_.place("drop")
    filter_.finish(DROP)
    return filter_.code()


def _look_at_frame(filter_: Assembly) -> None:
    filter_.add(SET, AT, 12)
    filter_.load(4, otherwise="pass")
    filter_.two_bytes(R1, 0)
    filter_.add(IF_EQUAL, R1, _IPV6, go="ipv6")
    filter_.add(IF_LESS, R1, _ETHER_TYPES, go="length")
    filter_.add(JUMP, go="pass")
    filter_.place("length")
    filter_.two_bytes(R1, 2)
    filter_.add(IF_EQUAL, R1, _SNAP, go="drop")
    filter_.add(JUMP, go="pass")


def _look_at_headers(filter_: Assembly) -> None:
    """From the first, whose kind and place are known, to the one of ICMPv6."""
    filter_.place("header")
    filter_.add(IF_EQUAL, HEADER, _ICMPV6, go="icmpv6")
    for kind in (_HOP_BY_HOP, _ROUTING, _FRAGMENT, _AUTHENTICATION, _DESTINATION):
        filter_.add(IF_EQUAL, HEADER, kind, go="extension")
    filter_.add(JUMP, go="pass")
    filter_.place("extension")
    filter_.add(IF_EQUAL, LEFT, 0, go="drop")
    filter_.add(ADD, LEFT, -1)
    filter_.load(8, otherwise="drop")
    filter_.add(SET_REGISTER, R2, register=HEADER)
    filter_.byte(HEADER, 0)
    filter_.add(IF_EQUAL, R2, _FRAGMENT, go="fragment")
    filter_.byte(R1, 1)
    filter_.add(IF_EQUAL, R2, _AUTHENTICATION, go="authentication")
    _pass_over(filter_, more=1, shift=3)
    filter_.place("authentication")
    _pass_over(filter_, more=2, shift=2)
    filter_.place("fragment")
    filter_.two_bytes(R1, 2)
    filter_.add(AND, R1, 0xFFF8)
    filter_.add(IF_NOT, R1, 0, go="pass")
    filter_.add(ADD, AT, 8)
    filter_.add(JUMP, go="header")


def _pass_over(filter_: Assembly, *, more: int, shift: int) -> None:
    """A header whose length is in the register."""
    filter_.add(ADD, R1, more)
    filter_.add(SHIFT, R1, shift)
    filter_.add(ADD_REGISTER, AT, register=R1)
    filter_.add(JUMP, go="header")


@functools.cache
def descriptor() -> int:
    """Of the program in the kernel; it stays open as long as this process. Raises Transient."""
    return bpf.load(program(), NAME)


def hold_back(names: Iterable[str]) -> None:
    """Advertisements of routers, at these links of servers."""
    bpf.ensure_filter(names, _beside)


def _beside(table: int | None) -> int:
    """All links share one program, but for those whose port had no port security before: their table stays."""
    if table is None:
        return os.dup(descriptor())
    own = bpf.load(program(), NAME)
    bpf.bind(own, table)
    return own
