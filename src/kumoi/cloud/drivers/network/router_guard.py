"""A filter at the host's end of a server's link, which drops advertisements of routers that the server sends.

Called by drivers of servers, in the host's network namespace. OVN asks no access list about such
advertisements (docs/design/0034-router-guard.md). The filter is a program of BPF in the link's own driver, before
the switch or anybody else sees a frame: it is there as long as the link, whatever becomes of the agent and
the engines, and no root of a server reaches it. RFC 7113 says what such a filter must look at.
"""

from __future__ import annotations

import ctypes
import functools
import os
import platform
import struct
from collections.abc import Iterable, Sequence

from kumoi.base.errors import Transient
from kumoi.cloud.drivers.network.veth import ignoring_gone, netlink

NAME = b"kumoi_routers"
HEADERS_MAX = 8
"""Extension headers of one packet. Who sends more has no reason that is good."""

_IN_DRIVER = (
    4  # XDP_FLAGS_DRV_MODE. Its generic mode lets by what a server's own tc redirected to its link.
)
_NONE = -1

_SYS_BPF = {"x86_64": 321}
_SYS_BPF_ELSEWHERE = 280
_PROG_LOAD = 5
_TYPE_XDP, _FRAMES_OF_ANY_SIZE = 6, 1 << 5
_ATTACHED_BY_LINK = 37
_ATTRIBUTES_BYTES = 144

_DROP, _PASS = 1, 2
_LOAD_BYTES = 189  # bpf_xdp_load_bytes(context, offset, buffer, length), since Linux 5.18.

_SNAP, _IPV6 = 0xAAAA, 0x86DD
_ETHER_TYPES = 0x600
"""What is below is a length: a frame of IEEE 802.3."""
_ICMPV6, _ADVERTISEMENT = 58, 134
_HOP_BY_HOP, _ROUTING, _FRAGMENT, _AUTHENTICATION, _DESTINATION = 0, 43, 44, 51, 60

# The registers: what a call gives and takes, and what stays over a call.
_R0, _R1, _R2, _R3, _R4, _CONTEXT, _AT, _HEADER, _LEFT, _STACK = 0, 1, 2, 3, 4, 6, 7, 8, 9, 10
_BUFFER = -8

# The instructions, with a number (or, where the name says so, with a register) as the second operand.
_SET, _SET_REGISTER, _ADD, _ADD_REGISTER, _AND, _SHIFT = 0xB7, 0xBF, 0x07, 0x0F, 0x57, 0x67
_BIG_ENDIAN, _BYTE, _TWO_BYTES = 0xDC, 0x71, 0x69
_JUMP, _IF_EQUAL, _IF_NOT, _IF_LESS, _CALL, _EXIT = 0x05, 0x15, 0x55, 0xA5, 0x85, 0x95


class _Assembly:
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
        self.add(_SET_REGISTER, _R1, register=_CONTEXT)
        self.add(_SET_REGISTER, _R2, register=_AT)
        self.add(_SET_REGISTER, _R3, register=_STACK)
        self.add(_ADD, _R3, _BUFFER)
        self.add(_SET, _R4, size)
        self.add(_CALL, number=_LOAD_BYTES)
        self.add(_IF_NOT, _R0, 0, go=otherwise)

    def byte(self, to: int, place: int) -> None:
        """Of the buffer."""
        self.add(_BYTE, to, register=_STACK, at=_BUFFER + place)

    def two_bytes(self, to: int, place: int) -> None:
        self.add(_TWO_BYTES, to, register=_STACK, at=_BUFFER + place)
        self.add(_BIG_ENDIAN, to, 16)

    def finish(self, result: int) -> None:
        self.add(_SET, _R0, result)
        self.add(_EXIT)

    def code(self) -> bytes:
        lines = []
        for index, (code, to, register, at, number, go) in enumerate(self._lines):
            leap = self._places[go] - index - 1 if go else at
            lines.append(struct.pack("<BBhi", code, register << 4 | to, leap, number))
        return b"".join(lines)


def program() -> bytes:
    """Drops an advertisement of a router, behind whatever headers, whole or the first of its fragments; what
    hides its kind, as the other fragments are of no use without the first; and IEEE 802.3's SNAP, in which some
    systems look for IPv6 and OVN for no advertisement.
    """
    filter_ = _Assembly()
    filter_.add(_SET_REGISTER, _CONTEXT, register=_R1)
    _look_at_frame(filter_)
    filter_.place("ipv6")
    filter_.add(_SET, _AT, 20)
    filter_.load(1, otherwise="pass")
    filter_.byte(_HEADER, 0)
    filter_.add(_SET, _AT, 54)
    filter_.add(_SET, _LEFT, HEADERS_MAX)
    _look_at_headers(filter_)
    filter_.place("icmpv6")
    filter_.load(1, otherwise="drop")
    filter_.byte(_R1, 0)
    filter_.add(_IF_EQUAL, _R1, _ADVERTISEMENT, go="drop")
    filter_.place("pass")
    filter_.finish(_PASS)
    filter_.place("drop")
    filter_.finish(_DROP)
    return filter_.code()


def _look_at_frame(filter_: _Assembly) -> None:
    filter_.add(_SET, _AT, 12)
    filter_.load(4, otherwise="pass")
    filter_.two_bytes(_R1, 0)
    filter_.add(_IF_EQUAL, _R1, _IPV6, go="ipv6")
    filter_.add(_IF_LESS, _R1, _ETHER_TYPES, go="length")
    filter_.add(_JUMP, go="pass")
    filter_.place("length")
    filter_.two_bytes(_R1, 2)
    filter_.add(_IF_EQUAL, _R1, _SNAP, go="drop")
    filter_.add(_JUMP, go="pass")


def _look_at_headers(filter_: _Assembly) -> None:
    """From the first, whose kind and place are known, to the one of ICMPv6."""
    filter_.place("header")
    filter_.add(_IF_EQUAL, _HEADER, _ICMPV6, go="icmpv6")
    for kind in (_HOP_BY_HOP, _ROUTING, _FRAGMENT, _AUTHENTICATION, _DESTINATION):
        filter_.add(_IF_EQUAL, _HEADER, kind, go="extension")
    filter_.add(_JUMP, go="pass")
    filter_.place("extension")
    filter_.add(_IF_EQUAL, _LEFT, 0, go="drop")
    filter_.add(_ADD, _LEFT, -1)
    filter_.load(8, otherwise="drop")
    filter_.add(_SET_REGISTER, _R2, register=_HEADER)
    filter_.byte(_HEADER, 0)
    filter_.add(_IF_EQUAL, _R2, _FRAGMENT, go="fragment")
    filter_.byte(_R1, 1)
    filter_.add(_IF_EQUAL, _R2, _AUTHENTICATION, go="authentication")
    _pass_over(filter_, more=1, shift=3)
    filter_.place("authentication")
    _pass_over(filter_, more=2, shift=2)
    filter_.place("fragment")
    filter_.two_bytes(_R1, 2)
    filter_.add(_AND, _R1, 0xFFF8)
    filter_.add(_IF_NOT, _R1, 0, go="pass")
    filter_.add(_ADD, _AT, 8)
    filter_.add(_JUMP, go="header")


def _pass_over(filter_: _Assembly, *, more: int, shift: int) -> None:
    """A header whose length is in the register."""
    filter_.add(_ADD, _R1, more)
    filter_.add(_SHIFT, _R1, shift)
    filter_.add(_ADD_REGISTER, _AT, register=_R1)
    filter_.add(_JUMP, go="header")


@functools.cache
def descriptor() -> int:
    """Of the program in the kernel; it stays open as long as this process. Raises Transient."""
    code = ctypes.create_string_buffer(program())
    license_ = ctypes.create_string_buffer(b"GPL")
    attributes = struct.pack(
        "=IIQQIIQII16sII",
        _TYPE_XDP,
        len(code.raw) // 8,
        ctypes.addressof(code),
        ctypes.addressof(license_),
        0,
        0,
        0,
        0,
        _FRAMES_OF_ANY_SIZE,
        NAME,
        0,
        _ATTACHED_BY_LINK,
    )
    result = call_bpf(_PROG_LOAD, attributes.ljust(_ATTRIBUTES_BYTES, b"\0"))
    if result < 0:
        number = ctypes.get_errno()
        raise Transient(
            "hold back advertisements of routers: this kernel takes no program of BPF "
            f"({os.strerror(number)}). Linux since 5.18 does"
        )
    return result


def call_bpf(command: int, attributes: bytes | ctypes.Array[ctypes.c_char]) -> int:
    libc = ctypes.CDLL(None, use_errno=True)
    libc.syscall.restype = ctypes.c_long
    number = _SYS_BPF.get(platform.machine(), _SYS_BPF_ELSEWHERE)
    result: int = libc.syscall(number, command, attributes, len(attributes))
    return result


def hold_back(names: Iterable[str]) -> None:
    """Advertisements of routers, at these links of servers."""
    wanted = list(names)
    if wanted:
        _attach(wanted, descriptor())


def let_pass(names: Iterable[str]) -> None:
    """All that these links of servers send."""
    _attach(list(names), _NONE)


def _attach(names: Sequence[str], program_: int) -> None:
    if not names:
        return
    filter_ = [("IFLA_XDP_FD", program_), ("IFLA_XDP_FLAGS", _IN_DRIVER)]
    with netlink("filter what a server's links send") as route:
        for name in names:
            with ignoring_gone():
                route.link("set", ifname=name, IFLA_XDP={"attrs": filter_})
