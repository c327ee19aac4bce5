"""What two agents say to each other about a disk, over a connection that both have checked.

The host that is to have the disk asks: which disk, and the digests of what it has of it. The other answers with
the blocks that differ, and at the end with a digest over all; so every round is a whole answer, an interrupted one
is begun anew with what came, and what was sent wrongly is not taken. Used in threads; both sides raise OSError when
the connection ends or the other side is silent.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol, TypeVar

import msgspec

from kumoi.base import files
from kumoi.base.errors import Permanent, Transient
from kumoi.cloud.drivers.instance import difference
from kumoi.cloud.drivers.instance.difference import BLOCK_BYTES, DIGEST_BYTES, Digests
from kumoi.cloud.drivers.instance.moving import DepartingDisk
from kumoi.cloud.hostapi.things import Message

SILENT_S = 30.0
MESSAGE_MAX = 256 << 10
DIGESTS_MAX = 1 << 26  # Of a disk of 4 TiB that is full.
DATA, ZEROS, END = 1, 2, 3
_FRAME = struct.Struct(">BII")  # Which of these, a block's number, and how many bytes follow.
_DIGEST = struct.Struct(f">I{DIGEST_BYTES}s")
_LENGTH = struct.Struct(">I")

Shape = TypeVar("Shape", bound=msgspec.Struct)


class Stream(Protocol):
    """A connection; see ssl.SSLSocket."""

    def sendall(self, data: bytes) -> None: ...

    def recv_into(self, buffer: memoryview, nbytes: int) -> int: ...


class DiskRequest(Message, frozen=True, kw_only=True):
    """`final`: the server has stopped, in that `generation` of its spec, and starts there no more."""

    server: str
    build: int
    generation: int
    final: bool = False


class DiskHead(Message, frozen=True, kw_only=True):
    """`refused` says why there is no answer; `later` that there may be one."""

    refused: str = ""
    later: bool = False
    size: int = 0
    data_bytes: int = 0
    image_sha256: str = ""


class DiskTail(Message, frozen=True, kw_only=True):
    """`whole` is the digest over all. `console` is the end of the server's console."""

    whole: str
    console: str = ""


@dataclass(frozen=True, slots=True)
class Round:
    """What one answer has brought."""

    sent_bytes: int
    data_bytes: int
    image_sha256: str
    console: str


def head_of(disk: DepartingDisk) -> DiskHead:
    seen = os.fstat(disk.file)
    return DiskHead(
        size=seen.st_size, data_bytes=seen.st_blocks * 512, image_sha256=disk.image_sha256
    )


def say(stream: Stream, message: msgspec.Struct) -> None:
    content = msgspec.json.encode(message)
    stream.sendall(_LENGTH.pack(len(content)) + content)


def hear(stream: Stream, shape: type[Shape]) -> Shape:
    (length,) = _LENGTH.unpack(_exactly(stream, _LENGTH.size))
    if length > MESSAGE_MAX:
        raise OSError("a message that is too long")
    try:
        return msgspec.json.decode(_exactly(stream, length), type=shape)
    except msgspec.DecodeError as cause:
        raise OSError("a message that is not understood") from cause


def hear_digests(stream: Stream) -> Digests:
    (count,) = _LENGTH.unpack(_exactly(stream, _LENGTH.size))
    if count > DIGESTS_MAX:
        raise OSError("more digests than a disk has blocks")
    content = _exactly(stream, count * _DIGEST.size)
    return dict(_DIGEST.iter_unpack(content))


def send_disk(stream: Stream, file: int, known: Digests, console: str) -> int:
    """The blocks of a disk that the other side does not have. How many bytes that was."""
    seen: Digests = {}
    sent = 0
    for number, content in difference.blocks(file):
        seen[number] = difference.digest(content)
        if known.get(number) != seen[number]:
            stream.sendall(_FRAME.pack(DATA, number, len(content)) + content)
            sent += len(content)
    for number in sorted(known.keys() - seen.keys()):
        stream.sendall(_FRAME.pack(ZEROS, number, 0))
    stream.sendall(_FRAME.pack(END, 0, 0))
    say(stream, DiskTail(whole=difference.whole(seen), console=console))
    return sent


def fetch_disk(
    stream: Stream,
    request: DiskRequest,
    file: int,
    known: Digests,
    *,
    size_max: int,
    went_on: Callable[[int], None],
) -> Round:
    """Make the file what the other side's disk is. `known` are its digests, and are kept up. `went_on` is called with
    the bytes that came so far. Raises Permanent when the disk may never come, Transient when it may later.
    """
    say(stream, request)
    digests = b"".join(_DIGEST.pack(*item) for item in known.items())
    stream.sendall(_LENGTH.pack(len(known)) + digests)
    head = hear(stream, DiskHead)
    if head.refused:
        raise (Transient if head.later else Permanent)(head.refused)
    if not 0 < head.size <= size_max:
        raise Permanent("the disk is larger than the server's may be")
    _require_room(file, head.data_bytes)
    os.ftruncate(file, head.size)
    sent = 0
    for number, content in _frames(stream, head.size):
        sent += len(content)
        if content:
            os.pwrite(file, content, number * BLOCK_BYTES)
            known[number] = difference.digest(content)
        else:
            difference.punch(file, number)
            known.pop(number, None)
        went_on(sent)
    tail = hear(stream, DiskTail)
    if tail.whole != difference.whole(known):
        raise Transient("what came of the disk is not what it should be")
    return Round(sent, head.data_bytes, head.image_sha256, tail.console)


def _frames(stream: Stream, size: int) -> Iterator[tuple[int, bytes]]:
    """Numbers and contents of blocks; empty for zeros."""
    while True:
        kind, number, length = _FRAME.unpack(_exactly(stream, _FRAME.size))
        if kind == END:
            return
        is_inside = length <= BLOCK_BYTES and number * BLOCK_BYTES + length <= size
        if kind not in (DATA, ZEROS) or not is_inside or bool(length) != (kind == DATA):
            raise OSError("a block that no disk has")
        yield number, _exactly(stream, length)


def _require_room(file: int, data_bytes: int) -> None:
    more = data_bytes - os.fstat(file).st_blocks * 512
    if not files.leaves_reserve(os.statvfs(file), max(0, more)):
        raise Permanent("the host's disk is full: no room for the server's disk")


def _exactly(stream: Stream, count: int) -> bytes:
    buffer = bytearray(count)
    view, filled = memoryview(buffer), 0
    while filled < count:
        got = stream.recv_into(view[filled:], count - filled)
        if got == 0:
            raise OSError("the connection ended")
        filled += got
    return bytes(buffer)
