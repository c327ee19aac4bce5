"""A bound on the MACs that a server without port security sends from, at the host's end of its link.

Called by drivers of servers, in the host's network namespace. OVN learns each MAC of such a port and forgets
none before the port goes, and so does Open vSwitch with its flows: 80,000 of them within 14 s took 410 MiB of a
host (docs/design/0034-router-guard.md). The first MACs that the link sends from are its own from then on; frames from others are
dropped. None is forgotten while the link is there, or a server would send from one after the other.
"""

from __future__ import annotations

import os
from collections.abc import Iterable

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


def program(table: int) -> bytes:
    """Passes a frame whose source the table has, or has room for."""
    filter_ = Assembly()
    filter_.add(SET_REGISTER, CONTEXT, register=R1)
    filter_.add(SET, AT, _SOURCE)
    filter_.load(_MAC_BYTES, otherwise="drop")
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


def bound(names: Iterable[str]) -> None:
    """The MACs that these links of servers send from. All else that they send passes."""
    bpf.ensure_filter(names, _by)


def _by(table: int | None) -> int:
    """A program for one link, with the table that it has, or a new one."""
    if table is not None:
        return bpf.load(program(table), NAME)
    made = bpf.make_table(
        key_bytes=_MAC_BYTES, value_bytes=_VALUE_BYTES, entries_max=MACS_MAX, name=NAME
    )
    try:
        return bpf.load(program(made), NAME)
    finally:
        os.close(made)
