"""What the kernel answers by netlink where it is asked for all there is of a kind, in the calling thread's network
namespace. Nothing is decided here.
"""

from __future__ import annotations

import contextlib
import socket
import struct
from collections.abc import Iterator

from kumoi.base import process

BIG_ENDIAN, NESTED = 0x4000, 0x8000
_HEAD = struct.Struct("=IHHII")
_ATTRIBUTE = struct.Struct("=HH")
_DUMP, _DONE, _ERROR = 0x301, 3, 2
ROUTE, NETFILTER = 0, 12
_DELETE_CONNECTIONS, _ASKED = 1 << 8 | 2, 0x5
_ANSWER_BYTES = 1 << 20
_TYPE = 0x3FFF  # Without the bits that say how an attribute's content is written.


def dumped(ask: int, head: bytes, *, of: int = ROUTE) -> Iterator[memoryview]:
    """Each message's body; none where this kernel does not know what is asked for."""
    with _opened(of) as asked:
        asked.send(_HEAD.pack(_HEAD.size + len(head), ask, _DUMP, 1, 0) + head)
        while True:
            answer = memoryview(asked.recv(_ANSWER_BYTES))
            at = 0
            while at < len(answer):
                length, kind, _, _, _ = _HEAD.unpack_from(answer, at)
                if kind in (_DONE, _ERROR):
                    return
                yield answer[at + _HEAD.size : at + length]
                at += _padded(length)


def forget_connections() -> None:
    """All that this network namespace tracks; none where this kernel tracks none."""
    head = bytes(4)  # Of every family, with nothing else said of them.
    with contextlib.suppress(OSError), _opened(NETFILTER) as asked:
        asked.send(_HEAD.pack(_HEAD.size + len(head), _DELETE_CONNECTIONS, _ASKED, 1, 0) + head)
        asked.recv(_ANSWER_BYTES)


def attribute(kind: int, content: bytes) -> bytes:
    length = _ATTRIBUTE.size + len(content)
    return (_ATTRIBUTE.pack(length, kind) + content).ljust(_padded(length), b"\0")


def attributes(content: bytes | memoryview) -> dict[int, memoryview]:
    """By their kinds."""
    found: dict[int, memoryview] = {}
    left = memoryview(content)
    while len(left) >= _ATTRIBUTE.size:
        length, kind = _ATTRIBUTE.unpack_from(left)
        if length < _ATTRIBUTE.size:
            break
        found[kind & _TYPE] = left[_ATTRIBUTE.size : length]
        left = left[_padded(length) :]
    return found


def _opened(protocol: int) -> socket.socket:
    made = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, protocol)
    made.settimeout(process.DEFAULT_TIMEOUT_S)
    return made


def _padded(length: int) -> int:
    return (length + 3) & ~3
