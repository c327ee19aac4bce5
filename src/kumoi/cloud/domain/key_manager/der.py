"""What an ASN.1 text in DER is made of, and how often it has a password hashed. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

ITERATIONS_MAX = 1_000_000
PARTS_MAX = 64
INTEGER, OCTETS, OID, SEQUENCE, FIRST, FIRST_PLAIN = 0x02, 0x04, 0x06, 0x30, 0xA0, 0x80
LONG_LENGTH = 0x80
LENGTH_BYTES_MAX = 3
PBES2 = bytes.fromhex("2a864886f70d01050d")
PBKDF2 = bytes.fromhex("2a864886f70d01050c")
OLD_PBE = bytes.fromhex("2a864886f70d010c01")


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


def require_algorithm(algorithm: DerNode) -> None:
    kind, parameters = algorithm.within()
    if kind.bytes_of(OID) == PBES2:
        derivation = parameters.within()[0]
        name, settings = derivation.within()
        if name.bytes_of(OID) != PBKDF2:
            raise ValueError("a password is not hashed by PBKDF2")
        require_count(settings.within()[1:2])
    elif kind.content.startswith(OLD_PBE):
        require_count(parameters.within()[1:2])
    else:
        raise ValueError("an encryption is not known")


def require_count(counts: list[DerNode]) -> None:
    for node in counts:
        if not 0 < int.from_bytes(node.bytes_of(INTEGER), "big", signed=True) <= ITERATIONS_MAX:
            raise ValueError("a password would be hashed too often")


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
