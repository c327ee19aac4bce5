"""What an ASN.1 text in DER is made of. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

PARTS_MAX = 64
INTEGER, OCTETS, OID, SEQUENCE, FIRST, FIRST_PLAIN = 0x02, 0x04, 0x06, 0x30, 0xA0, 0x80
LONG_LENGTH = 0x80
LENGTH_BYTES_MAX = 3


@dataclass(frozen=True, slots=True)
class DerNode:
    tag: int
    content: bytes

    def within(self, tag: int = SEQUENCE) -> list[DerNode]:
        """What it is made of, if it is of that tag."""
        if self.tag != tag:
            raise ValueError(f"tag {self.tag:#x} where {tag:#x} belongs")
        return list(nodes(self.content))

    def bytes_of(self, *tags: int) -> bytes:
        if self.tag not in tags:
            raise ValueError(f"tag {self.tag:#x} is none of {tags}")
        return self.content


def nodes(content: bytes) -> Iterator[DerNode]:
    """In DER: each length is said before. Raises ValueError."""
    at = 0
    for _ in range(PARTS_MAX):
        if at == len(content):
            return
        if at + 2 > len(content):
            break
        tag, length, at = content[at], content[at + 1], at + 2
        if length >= LONG_LENGTH:
            size = length - LONG_LENGTH
            if not 0 < size <= LENGTH_BYTES_MAX:
                break
            length, at = int.from_bytes(content[at : at + size], "big"), at + size
        if at + length > len(content):
            break
        yield DerNode(tag, content[at : at + length])
        at += length
    raise ValueError("it is not DER, or has too many parts")
