"""Git's packets in a push: what is asked for, what became of it, and lines for whoever pushes. Pure.

A push's body is lines "old new ref", the first with the client's capabilities, a flush, its options
where it has any, and the pack. Its answer is packets of a side band: 1 carries git's report, in packets
of its own, 2 is text that the client shows as it comes.
"""

from __future__ import annotations

import contextlib
import gzip
import io
import os
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import IO, cast

from kumoi.base.text import printable

FLUSH = b"0000"
HEAD = 4
PACKET_MAX = 65_520
PACKETS_MAX = 10_000
COMMANDS_MAX = 2_000  # Refs that a push moves.
LINE_MAX_BYTES = 4_096  # Of a command or an option: the hook takes names of 200 characters.
OPTIONS_MAX = 100
REPORT_MAX_BYTES = 2 << 20
REPORT, SHOWN = 1, 2
SIDE_BAND = "side-band-64k"
UPDATE_WORDS = 3
TRY_AGAIN = "try again"  # What is refused for now ends with it, and `kumoi env up` does.
ALIVE = b"0005\x01"  # As git's own: an empty packet, so that no proxy ends the connection.


@dataclass(frozen=True, slots=True)
class PushRequest:
    """`heads` are the new commits by ref; where a ref is deleted it is zeros. One that `is_too_long` has more
    commands than are read.
    """

    heads: dict[str, str]
    capabilities: frozenset[str]
    options: tuple[str, ...]
    is_too_long: bool = False

    @property
    def has_side_band(self) -> bool:
        """Whether the client shows anything at all."""
        return SIDE_BAND in self.capabilities

    @property
    def is_quiet(self) -> bool:
        """Told so, or it prints to no terminal."""
        return "quiet" in self.capabilities


def packet(data: bytes) -> bytes:
    return f"{len(data) + HEAD:04x}".encode() + data


def shown(text: str) -> bytes:
    """Lines that the client shows, each after "remote: ", as they are: none steers a terminal."""
    size = PACKET_MAX - HEAD - 1
    data = printable(text).encode()
    parts = (data[at : at + size] for at in range(0, len(data), size))
    return b"".join(packet(bytes([SHOWN]) + part) for part in parts)


def add_shown(answer: IO[bytes], text: str) -> None:
    """Lines at the end of a whole answer with a side band, which stands where it stood afterwards."""
    at = answer.tell()
    answer.seek(-len(FLUSH), os.SEEK_END)
    if answer.read() == FLUSH:
        answer.seek(-len(FLUSH), os.SEEK_END)
        answer.write(shown(text) + FLUSH)
    answer.seek(at)


def read_compressed(body: IO[bytes]) -> PushRequest:
    """As JGit sends a small push. What is no gzip has no heads."""
    with contextlib.suppress(OSError, EOFError, zlib.error), gzip.open(body) as plain:
        return read_request(cast("IO[bytes]", plain))
    return PushRequest({}, frozenset(), ())


def read_request(body: IO[bytes]) -> PushRequest:
    """From the body's begin. What cannot be read has no heads: git says what is wrong with it. Of a body of 512
    MiB it holds no more than its bounds say.
    """
    heads: dict[str, str] = {}
    capabilities: frozenset[str] = frozenset()
    for number, line in enumerate(_packets(body, LINE_MAX_BYTES)):
        if number == COMMANDS_MAX:
            return PushRequest({}, capabilities, (), is_too_long=True)
        words, _, said = line.rstrip(b"\n").partition(b"\0")
        if said:
            capabilities = frozenset(said.decode(errors="replace").split())
        parts = words.decode(errors="replace").split(" ", 2)
        if len(parts) == UPDATE_WORDS:
            heads[parts[2]] = parts[1]
    options: tuple[str, ...] = ()
    if "push-options" in capabilities:
        told = islice(_packets(body, LINE_MAX_BYTES), OPTIONS_MAX)
        options = tuple(line.decode(errors="replace").rstrip("\n") for line in told)
    return PushRequest(heads, capabilities, options)


def accepted(answer: IO[bytes]) -> frozenset[str]:
    """The refs that moved, by git's report in its answer, read from where the answer stands."""
    report = io.BytesIO()
    for line in _packets(answer):
        if line[:1] == bytes([REPORT]) and report.tell() < REPORT_MAX_BYTES:
            report.write(line[1:])
    report.seek(0)
    words = (line.decode(errors="replace").rstrip("\n").partition(" ") for line in _packets(report))
    return frozenset(ref for word, _, ref in words if word == "ok")


def shown_text(answer: IO[bytes]) -> str:
    """What the client would show of an answer, read from where it stands."""
    parts = (line[1:] for line in _packets(answer) if line[:1] == bytes([SHOWN]))
    return b"".join(parts).decode(errors="replace")


def _packets(file: IO[bytes], size_max: int = PACKET_MAX) -> Iterator[bytes]:
    """Each up to the next flush, or to what is no packet; of one that is longer than `size_max` nothing."""
    for _ in range(PACKETS_MAX):
        size = _size(file.read(HEAD)) - HEAD
        if size <= 0:
            return
        if size > size_max:
            file.seek(size, os.SEEK_CUR)
        yield file.read(size) if size <= size_max else b""


def _size(head: bytes) -> int:
    try:
        return int(head, 16)
    except ValueError:
        return 0
