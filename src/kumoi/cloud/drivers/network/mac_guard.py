"""A bound on the MACs that a server without port security sends from, at the host's end of its link.

Called by drivers of servers, in the host's network namespace. OVN learns each MAC of such a port and forgets
none before the port goes, and so does Open vSwitch with its flows: 80,000 of them within 14 s took 410 MiB of a
host (docs/design/0034-router-guard.md). The first MACs that the link sends from are its own from then on; frames from others are
dropped. None is forgotten while the port is here, or a server would send from one after the other: not when its server starts
again, which makes another link. The port's own MAC needs no room.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Collection, Iterable, Mapping

from kumoi.cloud.drivers.network import bpf
from kumoi.cloud.drivers.network.bpf import (
    ADD,
    AT,
    BUFFER,
    CALL,
    CONTEXT,
    DROP,
    IF_EQUAL,
    IF_NOT,
    JUMP,
    PASS,
    R0,
    R1,
    R2,
    R3,
    R4,
    SET,
    SET_REGISTER,
    STACK,
    Assembly,
)

NAME = b"kumoi_macs"
MACS_MAX = 256

_SOURCE, _MAC_BYTES, _VALUE_BYTES = 6, 6, 8
_VALUE = BUFFER - _VALUE_BYTES
_LOOK_UP, _UPDATE = 1, 2
_WHERE_THERE_IS_NONE = 1
_IS_THERE = -17  # EEXIST: another processor was first.


TABLES_OF_GONE_PORTS = 256
"""So many are kept, the youngest: OVN forgets nothing of a port that is plugged out and in again."""


def program(table: int, own: str) -> bytes:
    """Passes a frame whose source is the port's own MAC, or one that the table has, or has room for."""
    filter_ = Assembly()
    filter_.add(SET_REGISTER, CONTEXT, register=R1)
    filter_.add(SET, AT, _SOURCE)
    filter_.load(_MAC_BYTES, otherwise="drop")
    mac = bytes.fromhex(own.replace(":", ""))
    for place in range(0, _MAC_BYTES, 2):
        filter_.two_bytes(R1, place)
        filter_.add(IF_NOT, R1, int.from_bytes(mac[place : place + 2]), go="another")
    filter_.add(JUMP, go="pass")
    filter_.place("another")
    _name_mac(filter_, table)
    filter_.add(CALL, number=_LOOK_UP)
    filter_.add(IF_NOT, R0, 0, go="pass")
    filter_.store(_VALUE, 0)
    _name_mac(filter_, table)
    filter_.add(SET_REGISTER, R3, register=STACK)
    filter_.add(ADD, R3, _VALUE)
    filter_.add(SET, R4, _WHERE_THERE_IS_NONE)
    filter_.add(CALL, number=_UPDATE)
    filter_.add(IF_EQUAL, R0, 0, go="pass")
    filter_.add(IF_EQUAL, R0, _IS_THERE, go="pass")
    filter_.place("drop")
    filter_.finish(DROP)
    filter_.place("pass")
    filter_.finish(PASS)
    return filter_.code()


def _name_mac(filter_: Assembly, table: int) -> None:
    filter_.table(R1, table)
    filter_.add(SET_REGISTER, R2, register=STACK)
    filter_.add(ADD, R2, BUFFER)


class MacTables:
    """The tables of a host's ports without port security, by their links, which they outlast."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: dict[str, int] = {}

    def close(self) -> None:
        self._forget(list(self._kept))

    def find(self, names: Iterable[str]) -> None:
        """Those of links that are there, as an agent before has made them."""
        for name, table in bpf.tables(names).items():
            self._keep(name, table)

    def bound(self, macs: Mapping[str, str]) -> None:
        """The MACs that these links of servers send from, beside the own one of each. All else that they send passes."""
        for name, own in macs.items():
            bpf.ensure_filter([name], lambda table, name=name, own=own: self._by(name, own, table))  # type: ignore[misc]

    def keep_only(self, listed: Collection[str], wanted: Collection[str]) -> None:
        """Of those that were `listed`, the ones of ports that are wanted here, and of the others the youngest."""
        gone = [name for name in listed if name not in wanted]
        self._forget(gone[:-TABLES_OF_GONE_PORTS])

    def listed(self) -> list[str]:
        """Oldest first."""
        with self._lock:
            return list(self._kept)

    def _by(self, name: str, own: str, table: int | None) -> int:
        """A program for one link, with the table that it has, or the one that its port had, or a new one."""
        if table is not None:
            self._keep(name, os.dup(table))
        with self._lock:
            if name not in self._kept:
                self._kept[name] = bpf.make_table(
                    key_bytes=_MAC_BYTES, value_bytes=_VALUE_BYTES, entries_max=MACS_MAX, name=NAME
                )
            return bpf.load(program(self._kept[name], own), NAME)

    def _keep(self, name: str, table: int) -> None:
        with self._lock:
            before = self._kept.pop(name, None)
            self._kept[name] = table
        if before is not None:
            os.close(before)

    def _forget(self, names: Iterable[str]) -> None:
        with self._lock:
            for name in names:
                os.close(self._kept.pop(name))
