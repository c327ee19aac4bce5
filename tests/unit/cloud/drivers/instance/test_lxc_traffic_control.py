"""How much memory a queue of `tc` takes, of kinds that a kernel may not have. As the kernel writes them."""

from __future__ import annotations

import struct

import pytest

from kumoi.cloud.drivers.instance.lxc import netlink, traffic_control
from kumoi.cloud.drivers.instance.lxc.traffic_control import OTHER_QUEUE_BYTES, QUEUE_BYTES

ROOT = 0xFFFF_FFFF
LENGTHS = {7: 1_000}


def queue(
    kind: str, options: bytes, *, waiting: tuple[int, int] = (0, 0), parent: int = ROOT
) -> int:
    head = struct.pack("=BBHiIII", 0, 0, 0, 7, 0x8001_0000, parent, 0)
    stats = netlink.attribute(7, netlink.attribute(3, struct.pack("=5I", *waiting, 0, 0, 0)))
    said = netlink.attribute(1, kind.encode() + b"\0") + netlink.attribute(2, options) + stats
    return traffic_control.queue_bytes(traffic_control.read(head + said), LENGTHS) - QUEUE_BYTES


def number(kind: int, value: int) -> bytes:
    return netlink.attribute(1, bytes(4)) + netlink.attribute(kind, struct.pack("=I", value))


@pytest.mark.parametrize(
    ("kind", "options", "least", "most"),
    [
        ("pfifo", b"", 0, 0),
        ("htb", b"", 0, 0),
        ("fq_codel", number(5, 1_024), 70_000, 200_000),
        ("fq_codel", number(5, 65_536), 4_400_000, 8_000_000),
        ("fq_pie", number(2, 65_536), 4_400_000, 8_000_000),
        ("fq", number(8, 10), 8_192, 8_192),
        ("fq", number(8, 18), 2 << 20, 2 << 20),
        ("sfq", struct.pack("=IiIII", 1_514, 0, 127, 1_024, 127), 10_000, 20_000),
        ("sfq", struct.pack("=IiIII", 1_514, 0, 65_408, 65_536, 65_408), 4_700_000, 6_000_000),
        ("pfifo_fast", b"", 24_000, 24_000),
        ("cake", b"", OTHER_QUEUE_BYTES, OTHER_QUEUE_BYTES),
        ("none that is known", b"", OTHER_QUEUE_BYTES, OTHER_QUEUE_BYTES),
    ],
)
def test_a_queue_takes_what_its_options_say(
    kind: str, options: bytes, least: int, most: int
) -> None:
    assert least <= queue(kind, options) <= most


def test_packets_that_wait_are_counted_with_what_each_takes_beside_its_content() -> None:
    assert queue("pfifo", b"", waiting=(1_000, 60_000)) >= 60_000 + 1_000 * 768


def test_what_is_kept_below_a_class_is_not_what_its_link_says_now() -> None:
    """It was made while its link's queue was longer, and nobody shows by how much."""
    assert queue("pfifo_fast", b"", parent=0x0001_0001) == 12 << 20
