"""Programs of BPF at the host's end of a server's link: their instructions, and the way into the kernel.

Called by the guards beside it, in the host's network namespace. A program is in the link's own driver, before
the switch or anybody else sees a frame, and is there as long as the link, whatever becomes of the agent and
the engines. A link's table stays with the link when one program follows another there.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import platform
import struct
from collections.abc import Callable, Iterable
from typing import Any

from kumoi.base.errors import Transient
from kumoi.cloud.drivers.network.veth import ignoring_gone, netlink

IN_DRIVER = (
    4  # XDP_FLAGS_DRV_MODE. Its generic mode lets by what a server's own tc redirected to its link.
)

_SYS_BPF = {"x86_64": 321}
_SYS_BPF_ELSEWHERE = 280
_MAP_CREATE, _PROG_LOAD, _PROG_BY_ID, _MAP_BY_ID, _INFO, _BIND = 0, 5, 13, 14, 15, 35
_TYPE_HASH = 1
_TYPE_XDP, _FRAMES_OF_ANY_SIZE = 6, 1 << 5
_ATTACHED_BY_LINK = 37
_ATTRIBUTES_BYTES = 144
_INFO_BYTES, _TAG, _TABLES = 80, slice(8, 16), 52

DROP, PASS = 1, 2
LOAD_BYTES = 189  # bpf_xdp_load_bytes(context, offset, buffer, length), since Linux 5.18.

# The registers: what a call gives and takes, and what stays over a call.
R0, R1, R2, R3, R4, CONTEXT, AT, HEADER, LEFT, STACK = 0, 1, 2, 3, 4, 6, 7, 8, 9, 10
BUFFER = -8

# The instructions, with a number (or, where the name says so, with a register) as the second operand.
SET, SET_REGISTER, ADD, ADD_REGISTER, AND, SHIFT = 0xB7, 0xBF, 0x07, 0x0F, 0x57, 0x67
BIG_ENDIAN, BYTE, TWO_BYTES = 0xDC, 0x71, 0x69
JUMP, IF_EQUAL, IF_NOT, IF_LESS, CALL, EXIT = 0x05, 0x15, 0x55, 0xA5, 0x85, 0x95
_STORE, _SET_WIDE, _IS_TABLE = 0x7A, 0x18, 1


class Assembly:
    """Instructions, whose jumps name the place that they lead to."""

    def __init__(self) -> None:
        self._lines: list[tuple[int, int, int, int, int, str]] = []
        self._places: dict[str, int] = {}

    def add(
        self,
        code: int,
        to: int = 0,
        number: int = 0,
        *,
        register: int = 0,
        at: int = 0,
        go: str = "",
    ) -> None:
        self._lines.append((code, to, register, at, number, go))

    def place(self, name: str) -> None:
        self._places[name] = len(self._lines)

    def load(self, size: int, *, otherwise: str) -> None:
        """So many bytes of the frame into the buffer; jump where there are not as many."""
        self.add(SET_REGISTER, R1, register=CONTEXT)
        self.add(SET_REGISTER, R2, register=AT)
        self.add(SET_REGISTER, R3, register=STACK)
        self.add(ADD, R3, BUFFER)
        self.add(SET, R4, size)
        self.add(CALL, number=LOAD_BYTES)
        self.add(IF_NOT, R0, 0, go=otherwise)

    def byte(self, to: int, place: int) -> None:
        """Of the buffer."""
        self.add(BYTE, to, register=STACK, at=BUFFER + place)

    def two_bytes(self, to: int, place: int) -> None:
        self.add(TWO_BYTES, to, register=STACK, at=BUFFER + place)
        self.add(BIG_ENDIAN, to, 16)

    def table(self, to: int, descriptor: int) -> None:
        """The address of a table."""
        self.add(_SET_WIDE, to, descriptor, register=_IS_TABLE)
        self.add(0)

    def store(self, at: int, number: int) -> None:
        """Eight bytes on the stack."""
        self.add(_STORE, STACK, number, at=at)

    def finish(self, result: int) -> None:
        self.add(SET, R0, result)
        self.add(EXIT)

    def code(self) -> bytes:
        lines = []
        for index, (code, to, register, at, number, go) in enumerate(self._lines):
            leap = self._places[go] - index - 1 if go else at
            lines.append(struct.pack("<BBhi", code, register << 4 | to, leap, number))
        return b"".join(lines)


def load(code: bytes, name: bytes) -> int:
    """The program's descriptor. Raises Transient."""
    lines = ctypes.create_string_buffer(code)
    license_ = ctypes.create_string_buffer(b"GPL")
    attributes = struct.pack(
        "=IIQQIIQII16sII",
        _TYPE_XDP,
        len(code) // 8,
        ctypes.addressof(lines),
        ctypes.addressof(license_),
        0,
        0,
        0,
        0,
        _FRAMES_OF_ANY_SIZE,
        name,
        0,
        _ATTACHED_BY_LINK,
    )
    result = call(_PROG_LOAD, attributes.ljust(_ATTRIBUTES_BYTES, b"\0"))
    if result < 0:
        number = ctypes.get_errno()
        raise Transient(
            "filter what a server's link sends: this kernel takes no program of BPF "
            f"({os.strerror(number)}). Linux since 5.18 does"
        )
    return result


def make_table(*, key_bytes: int, value_bytes: int, entries_max: int, name: bytes) -> int:
    """Its descriptor. Raises Transient."""
    head = struct.pack(
        "=IIIIIII16s", _TYPE_HASH, key_bytes, value_bytes, entries_max, 0, 0, 0, name
    )
    return _done(call(_MAP_CREATE, head.ljust(_ATTRIBUTES_BYTES, b"\0")), "make a table of BPF")


def call(command: int, attributes: bytes | ctypes.Array[ctypes.c_char]) -> int:
    libc = ctypes.CDLL(None, use_errno=True)
    libc.syscall.restype = ctypes.c_long
    number = _SYS_BPF.get(platform.machine(), _SYS_BPF_ELSEWHERE)
    result: int = libc.syscall(number, command, attributes, len(attributes))
    return result


def ensure_filter(names: Iterable[str], program: Callable[[int | None], int]) -> None:
    """At these links the program that this gives for the table that the link has by now, if any. A link that
    has it already is left alone.
    """
    wanted = list(names)
    if not wanted:
        return
    with netlink("filter what a server's links send") as route:
        for name in wanted:
            with ignoring_gone():
                _ensure_filter(route, name, program)


def _ensure_filter(route: Any, name: str, program: Callable[[int | None], int]) -> None:
    with contextlib.ExitStack() as opened:
        present = _present(route, name, opened)
        table = _table_of(present, opened) if present is not None else None
        wanted = program(table)
        opened.callback(os.close, wanted)
        if present is not None and _info(present)[0][_TAG] == _info(wanted)[0][_TAG]:
            return
        filter_ = [("IFLA_XDP_FD", wanted), ("IFLA_XDP_FLAGS", IN_DRIVER)]
        route.link("set", ifname=name, IFLA_XDP={"attrs": filter_})


def tables(names: Iterable[str]) -> dict[str, int]:
    """Descriptors of the tables that these links have, by link."""
    wanted, found = list(names), dict[str, int]()
    if not wanted:
        return found
    with netlink("look at what filters servers' links") as route:
        for name in wanted:
            with ignoring_gone(), contextlib.ExitStack() as opened:
                present = _present(route, name, opened)
                table = _table_of(present, opened) if present is not None else None
                if table is not None:
                    found[name] = os.dup(table)
    return found


def bind(program: int, table: int) -> None:
    """The table is there as long as the program, which need not use it."""
    head = struct.pack("=III", program, table, 0)
    _done(call(_BIND, head.ljust(_ATTRIBUTES_BYTES, b"\0")), "keep a table of BPF")


def _present(route: Any, name: str, opened: contextlib.ExitStack) -> int | None:
    (link,) = route.link("get", ifname=name)
    xdp = link.get_attr("IFLA_XDP")
    id_ = xdp and xdp.get_attr("IFLA_XDP_PROG_ID")
    if not id_:
        return None
    return _open(_PROG_BY_ID, id_, opened)


def _table_of(program: int, opened: contextlib.ExitStack) -> int | None:
    _, tables = _info(program)
    return _open(_MAP_BY_ID, tables[0], opened) if tables else None


def _info(program: int) -> tuple[bytes, list[int]]:
    """What the kernel says of a program, and the ids of its tables, of which a program of ours has one at most."""
    first = (ctypes.c_uint32 * 1)()
    info = ctypes.create_string_buffer(_INFO_BYTES)
    struct.pack_into("=IQ", info, _TABLES, 1, ctypes.addressof(first))
    head = struct.pack("=IIQ", program, _INFO_BYTES, ctypes.addressof(info))
    _done(call(_INFO, head.ljust(_ATTRIBUTES_BYTES, b"\0")), "look at a program of BPF")
    (count,) = struct.unpack_from("=I", info, _TABLES)
    return info.raw, list(first)[:count]


def _open(command: int, id_: int, opened: contextlib.ExitStack) -> int:
    descriptor = _done(
        call(command, struct.pack("=III", id_, 0, 0).ljust(_ATTRIBUTES_BYTES, b"\0")),
        "look at a link's program",
    )
    opened.callback(os.close, descriptor)
    return descriptor


def _done(result: int, what: str) -> int:
    if result < 0:
        raise Transient(f"{what}: {os.strerror(ctypes.get_errno())}")
    return result
