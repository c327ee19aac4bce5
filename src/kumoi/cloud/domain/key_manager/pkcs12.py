"""What a PKCS#12 without a password costs to read, before it is read. Pure.

It says itself how often a password is to be hashed, also within what is encrypted, so a file of 1 kB
can keep a processor busy for an hour. What is not of the forms that tools write is refused.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CBC
from cryptography.hazmat.primitives.kdf.pbkdf2 import PBKDF2HMAC

ITERATIONS_MAX = 1_000_000
PARTS_MAX = 64
INTEGER, OCTETS, OID, SEQUENCE, FIRST, FIRST_PLAIN = 0x02, 0x04, 0x06, 0x30, 0xA0, 0x80
LONG_LENGTH = 0x80
LENGTH_BYTES_MAX = 3
PKCS7_DATA = bytes.fromhex("2a864886f70d010701")
PKCS7_ENCRYPTED = bytes.fromhex("2a864886f70d010706")
PBES2 = bytes.fromhex("2a864886f70d01050d")
PBKDF2 = bytes.fromhex("2a864886f70d01050c")
OLD_PBE = bytes.fromhex("2a864886f70d010c01")
BAG = bytes.fromhex("2a864886f70d010c0a01")
KEY_BAG, SHROUDED_KEY_BAG, CERTIFICATE_BAG = BAG + b"\1", BAG + b"\2", BAG + b"\3"
DIGESTS = (bytes.fromhex("2b0e03021a"), bytes.fromhex("6086480165030402"))
AES_KEYS = {
    bytes.fromhex(f"6086480165030401{end}"): size
    for end, size in (("02", 16), ("16", 24), ("2a", 32))
}
HASHES: dict[bytes, hashes.HashAlgorithm] = {
    bytes.fromhex("2a864886f70d0207"): hashes.SHA1(),  # noqa: S303 - what older tools write.
    bytes.fromhex("2a864886f70d0209"): hashes.SHA256(),
    bytes.fromhex("2a864886f70d020a"): hashes.SHA384(),
    bytes.fromhex("2a864886f70d020b"): hashes.SHA512(),
}


@dataclass(frozen=True, slots=True)
class _DerNode:
    tag: int
    content: bytes

    def within(self, tag: int = SEQUENCE) -> list[_DerNode]:
        """What it is made of, if it is of that tag."""
        if self.tag != tag:
            raise ValueError(f"tag {self.tag:#x} where {tag:#x} belongs")
        return list(_nodes(self.content))

    def bytes_of(self, *tags: int) -> bytes:
        if self.tag not in tags:
            raise ValueError(f"tag {self.tag:#x} is none of {tags}")
        return self.content


def require_cheap(content: bytes) -> None:
    """Raises ValueError."""
    whole = list(_nodes(content))
    _version, safe, *mac = whole[0].within()
    for part in _opened(_data(safe)):
        kind, *rest = part.within()
        if kind.bytes_of(OID) == PKCS7_DATA:
            _require_bags(_data(part))
        elif kind.content == PKCS7_ENCRYPTED:
            _require_bags(_decrypted(rest[0].within(FIRST)[0]))
        else:
            raise ValueError("a part is neither plain nor encrypted by password")
    for node in mac:
        digest, _salt, *count = node.within()
        if not digest.within()[0].within()[0].bytes_of(OID).startswith(DIGESTS):
            raise ValueError("its digest is not of the SHA family")
        _require_count(count)


def _require_bags(content: bytes) -> None:
    for bag in _opened(content):
        kind, value, *_attributes = bag.within()
        if kind.bytes_of(OID) == SHROUDED_KEY_BAG:
            algorithm, _key = value.within(FIRST)[0].within()
            _require_algorithm(algorithm)
        elif kind.content not in (KEY_BAG, CERTIFICATE_BAG):
            raise ValueError("it holds more than keys and certificates")


def _require_algorithm(algorithm: _DerNode) -> None:
    kind, parameters = algorithm.within()
    if kind.bytes_of(OID) == PBES2:
        derivation = parameters.within()[0]
        name, settings = derivation.within()
        if name.bytes_of(OID) != PBKDF2:
            raise ValueError("a password is not hashed by PBKDF2")
        _require_count(settings.within()[1:2])
    elif kind.content.startswith(OLD_PBE):
        _require_count(parameters.within()[1:2])
    else:
        raise ValueError("an encryption is not known")


def _require_count(counts: list[_DerNode]) -> None:
    for node in counts:
        if not 0 < int.from_bytes(node.bytes_of(INTEGER), "big", signed=True) <= ITERATIONS_MAX:
            raise ValueError("a password would be hashed too often")


def _decrypted(encrypted: _DerNode) -> bytes:
    """What is encrypted with no password."""
    _version, content, *_others = encrypted.within()
    _kind, algorithm, text = content.within()
    _require_algorithm(algorithm)
    kind, parameters = algorithm.within()
    if kind.content != PBES2:
        raise ValueError("its certificates are encrypted in an old form")
    derivation, cipher = parameters.within()
    salt, count, *rest = derivation.within()[1].within()
    functions = [node.within()[0].content for node in rest if node.tag == SEQUENCE]
    hashed = HASHES[functions[0]] if functions else hashes.SHA1()  # noqa: S303 - its default.
    name, vector = cipher.within()
    key = PBKDF2HMAC(
        hashed, AES_KEYS[name.content], salt.bytes_of(OCTETS), int.from_bytes(count.content, "big")
    ).derive(b"")
    opener = Cipher(AES(key), CBC(vector.bytes_of(OCTETS))).decryptor()
    padded = opener.update(text.bytes_of(FIRST_PLAIN)) + opener.finalize()
    return padded[: -padded[-1]]


def _data(info: _DerNode) -> bytes:
    """What a ContentInfo of plain data holds."""
    kind, explicit = info.within()
    if kind.bytes_of(OID) != PKCS7_DATA:
        raise ValueError("it is signed, not protected by a password")
    return explicit.within(FIRST)[0].bytes_of(OCTETS)


def _opened(content: bytes) -> list[_DerNode]:
    """The elements of a sequence that is all of the content."""
    (whole,) = _nodes(content)
    return whole.within()


def _nodes(content: bytes) -> Iterator[_DerNode]:
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
        yield _DerNode(tag, content[at : at + length])
        at += length
    raise ValueError("it is not DER, or has too many parts")
