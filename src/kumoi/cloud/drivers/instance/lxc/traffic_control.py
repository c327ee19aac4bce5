"""What a server's root has made by `tc`, and what waits in it: how much memory of the machine that takes, which counts
for nobody and is not limited by Linux. Called by network_tables.py, in a thread that is in the network namespace.
"""

from __future__ import annotations

import itertools
import struct
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from kumoi.cloud.drivers.instance.lxc import netlink

CLASS_BYTES, FILTER_BYTES, CHAIN_BYTES, ACTION_BYTES = 2_500, 2_700, 200, 1_000
"""At most, of Linux 6.18; docs/guide/security.md has what was measured."""
QUEUE_BYTES = 2_000
OTHER_QUEUE_BYTES = 1_500_000
"""Of a kind that is not in `SMALL`, nor says by which of its options it grows: as much as the largest of these has."""
SMALL = frozenset({
    "bfifo", "cbs", "clsact", "codel", "drr", "etf", "ets", "hfsc", "htb", "ingress", "mq", "mqprio", "multiq", "noqueue",
    "pfifo", "pfifo_head_drop", "pie", "plug", "prio", "qfq", "red", "skbprio", "tbf",
})  # fmt: skip
FLOW_BYTES, BUCKET_BYTES, SLOT_BYTES = 100, 8, 80
RINGS, ENTRY_BYTES, RING_BYTES_MAX = 3, 8, 4 << 20
PACKET_BYTES = 1_300
"""Of one that waits, beyond its own length."""
ACTIONS = (
    "bpf", "connmark", "csum", "ct", "ctinfo", "gact", "gate", "ife", "mirred", "mpls", "nat", "pedit", "police",
    "sample", "simple", "skbedit", "skbmod", "tunnel_key", "vlan",
)  # fmt: skip

_HEAD = struct.Struct("=BBHiIII")
_LINK = struct.Struct("=BBHiII")
_QUEUES, _CLASSES, _FILTERS, _CHAINS, _ACTIONS, _LINKS = 38, 42, 46, 102, 50, 18
_KIND, _OPTIONS, _STATS, _WAITING = 1, 2, 7, 3
_LENGTH_OF_LINK = 13
_ACTIONS_NAMED, _ACTION_FLAGS, _ACTION_COUNT, _ACTION_KIND = 1, 2, 3, 1
_COUNTED = netlink.attribute(
    _ACTION_FLAGS, struct.pack("=II", 1, 1)
)  # Many in a message, with their number.
_ROOT, _INGRESS, _OF_CLSACT = 0xFFFF_FFFF, 0xFFFF_0000, (0xFFFF_FFF2, 0xFFFF_FFF3)
_GROWS_BY_FLOWS = {"fq_codel": 5, "fq_pie": 2}  # Their option with the number of flows.
_BUCKETS_LOG = 8  # Of `fq`.


@dataclass(frozen=True, slots=True)
class TcRow:
    """One of those that it lists: a queue (a "qdisc"), a class, a filter or a chain."""

    link: int
    handle: int
    parent: int
    kind: str
    options: bytes
    waiting_packets: int = 0
    waiting_bytes: int = 0


def uncounted_bytes(most: int) -> int:
    """In this thread's network namespace; or some more than `most` where it is more than that."""
    taken = 0
    for part in _parts():
        taken += part
        if taken > most:
            break
    return taken


def read(message: bytes | memoryview) -> TcRow:
    _, _, _, link, handle, parent, _ = _HEAD.unpack_from(message)
    found = netlink.attributes(message[_HEAD.size :])
    waiting = netlink.attributes(found.get(_STATS, b"")).get(_WAITING, b"")
    packets, size = struct.unpack_from("=II", waiting) if waiting else (0, 0)
    kind = bytes(found.get(_KIND, b"")).rstrip(b"\0").decode(errors="replace")
    return TcRow(link, handle, parent, kind, bytes(found.get(_OPTIONS, b"")), packets, size)


def queue_bytes(row: TcRow, lengths: Mapping[int, int]) -> int:
    """Of a queue with what waits in it. `lengths` are those of links' own queues, by the link."""
    waiting = row.waiting_bytes + row.waiting_packets * PACKET_BYTES
    return QUEUE_BYTES + waiting + _tables_bytes(row, lengths)


def _tables_bytes(row: TcRow, lengths: Mapping[int, int]) -> int:
    if row.kind in SMALL:
        return 0
    if (
        row.kind == "pfifo_fast"
    ):  # Below a class it keeps what its link had once, which nobody shows.
        length = lengths.get(row.link, 0)
        return RINGS * ENTRY_BYTES * length if _has_length_of_link(row) else RING_BYTES_MAX * RINGS
    if row.kind in _GROWS_BY_FLOWS:
        return FLOW_BYTES * _number(row.options, _GROWS_BY_FLOWS[row.kind])
    if row.kind == "fq":
        return BUCKET_BYTES << min(_number(row.options, _BUCKETS_LOG), 32)
    if row.kind == "sfq" and len(row.options) >= _SFQ.size:
        _, _, _, divisor, flows = _SFQ.unpack_from(row.options)
        return 2 * int(divisor) + SLOT_BYTES * int(flows)
    return OTHER_QUEUE_BYTES


_SFQ = struct.Struct("=IiIII")


def _has_length_of_link(row: TcRow) -> bool:
    """Whether it is resized with its link's: it is all of the link's, or one of `mq`, whose handle is its own."""
    return row.parent == _ROOT or row.handle == 0


def _number(options: bytes, kind: int) -> int:
    return int.from_bytes(netlink.attributes(options).get(kind, b"")[:4], sys.byteorder)


def _parts() -> Iterator[int]:
    for name in ACTIONS:
        named = netlink.attribute(1, netlink.attribute(_ACTION_KIND, name.encode() + b"\0"))
        asked = bytes(4) + netlink.attribute(_ACTIONS_NAMED, named) + _COUNTED
        for message in netlink.dumped(_ACTIONS, asked):
            yield ACTION_BYTES * _number(bytes(message[4:]), _ACTION_COUNT)
    rows = map(read, netlink.dumped(_QUEUES, _HEAD.pack(0, 0, 0, 0, 0, 0, 0)))
    first = next(rows, None)
    if first is None:
        return
    lengths = _lengths()
    ends: dict[int, set[int]] = {}
    for row in itertools.chain([first], rows):
        ends.setdefault(row.link, set()).update(_ends_of(row))
        yield queue_bytes(row, lengths)
    for link, parents in ends.items():
        for row in _rows(_CLASSES, link, 0):
            parents.add(row.handle)
            yield CLASS_BYTES
        for parent in parents:
            yield from (FILTER_BYTES for _ in _rows(_FILTERS, link, parent))
            yield from (CHAIN_BYTES for _ in _rows(_CHAINS, link, parent))


def _ends_of(row: TcRow) -> tuple[int, ...]:
    """Where its filters are."""
    return _OF_CLSACT if row.kind == "clsact" else (row.handle,)


def _rows(ask: int, link: int, parent: int) -> Iterator[TcRow]:
    return map(read, netlink.dumped(ask, _HEAD.pack(0, 0, 0, link, 0, parent, 0)))


def _lengths() -> dict[int, int]:
    found = {}
    for message in netlink.dumped(_LINKS, _LINK.pack(0, 0, 0, 0, 0, 0)):
        _, _, _, link, _, _ = _LINK.unpack_from(message)
        found[link] = _number(bytes(message[_LINK.size :]), _LENGTH_OF_LINK)
    return found
