"""Git's packets in a push: what is asked for, what became of it, and lines for whoever pushes. Pure.

A push's body is lines "old new ref", the first with the client's capabilities, a flush, its options
where it has any, and the pack. Its answer is packets of a side band: 1 carries git's report, in packets
of its own, 2 is text that the client shows as it comes.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO

from kumoi.base.text import printable

FLUSH = b"0000"
HEAD = 4
PACKET_MAX = 65_520
PACKETS_MAX = 10_000
REPORT, SHOWN = 1, 2
SIDE_BAND = "side-band-64k"
UPDATE_WORDS = 3
ALIVE = b"0005\x01"  # As git's own: an empty packet, so that no proxy ends the connection.


@dataclass(frozen=True, slots=True)
class PushRequest:
    """`heads` are the new commits by ref; where a ref is deleted it is zeros."""

    heads: dict[str, str]
    capabilities: frozenset[str]
    options: tuple[str, ...]

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


def read_request(body: IO[bytes]) -> PushRequest:
    """From the body's begin. What cannot be read has no heads: git says what is wrong with it."""
    heads: dict[str, str] = {}
    capabilities: frozenset[str] = frozenset()
    for line in _packets(body):
        words, _, said = line.rstrip(b"\n").partition(b"\0")
        if said:
            capabilities = frozenset(said.decode(errors="replace").split())
        parts = words.decode(errors="replace").split(" ", 2)
        if len(parts) == UPDATE_WORDS:
            heads[parts[2]] = parts[1]
    options: tuple[str, ...] = ()
    if "push-options" in capabilities:
        options = tuple(line.decode(errors="replace").rstrip("\n") for line in _packets(body))
    return PushRequest(heads, capabilities, options)


def accepted(answer: IO[bytes]) -> frozenset[str]:
    """The refs that moved, by git's report in its answer, read from where the answer stands."""
    report = b"".join(line[1:] for line in _packets(answer) if line[:1] == bytes([REPORT]))
    found = set()
    while report:
        size = _size(report[:HEAD])
        if size <= HEAD:
            break
        line, report = report[HEAD:size], report[size:]
        word, _, ref = line.decode(errors="replace").rstrip("\n").partition(" ")
        if word == "ok":
            found.add(ref)
    return frozenset(found)


def shown_text(answer: IO[bytes]) -> str:
    """What the client would show of an answer, read from where it stands."""
    parts = (line[1:] for line in _packets(answer) if line[:1] == bytes([SHOWN]))
    return b"".join(parts).decode(errors="replace")


def _packets(file: IO[bytes]) -> Iterator[bytes]:
    """Each up to the next flush, or to what is no packet."""
    for _ in range(PACKETS_MAX):
        size = _size(file.read(HEAD))
        if size <= HEAD:
            return
        yield file.read(size - HEAD)


def _size(head: bytes) -> int:
    try:
        return int(head, 16)
    except ValueError:
        return 0
