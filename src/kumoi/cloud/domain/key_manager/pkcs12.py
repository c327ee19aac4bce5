"""A PKCS#12 without a password, read only where that is soon done. Pure.

It says itself how often a password is to be hashed, also within what is encrypted, so a file of 1 kB
can keep a processor busy for an hour. What is not of the forms that tools write is refused.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from kumoi.cloud.domain.key_manager import encryption
from kumoi.cloud.domain.key_manager.der import (
    FIRST,
    FIRST_PLAIN,
    OCTETS,
    OID,
    DerNode,
    nodes,
)
from kumoi.cloud.domain.key_manager.encryption import HashRounds

PKCS7_DATA = bytes.fromhex("2a864886f70d010701")
PKCS7_ENCRYPTED = bytes.fromhex("2a864886f70d010706")
BAG = bytes.fromhex("2a864886f70d010c0a01")
KEY_BAG, SHROUDED_KEY_BAG, CERTIFICATE_BAG = BAG + b"\1", BAG + b"\2", BAG + b"\3"
X509 = bytes.fromhex("2a864886f70d01091601")
NO_PASSWORD = b""


@dataclass(frozen=True, slots=True)
class Pkcs12Content:
    """As DER."""

    keys: list[bytes] = field(default_factory=list)
    certificates: list[bytes] = field(default_factory=list)


def read(content: bytes, within: HashRounds | None = None) -> Pkcs12Content:
    """Raises ValueError. Whether somebody changed it is not asked: that is said by a password, and it has none."""
    found, rounds = Pkcs12Content(), HashRounds(within=within)
    (whole,) = nodes(content)
    _version, safe, *_mac = whole.within()
    for part in _elements(_data(safe)):
        kind, *rest = part.within()
        if kind.bytes_of(OID) == PKCS7_DATA:
            _read_bags(_data(part), found, rounds)
        elif kind.content == PKCS7_ENCRYPTED:
            (explicit,) = rest
            (encrypted,) = explicit.within(FIRST)
            _read_bags(_decrypted(encrypted, rounds), found, rounds)
        else:
            raise ValueError("a part is neither plain nor encrypted by password")
    return found


def _read_bags(content: bytes, found: Pkcs12Content, rounds: HashRounds) -> None:
    for bag in _elements(content):
        kind, value, *_attributes = bag.within()
        (inner,) = value.within(FIRST)
        if kind.bytes_of(OID) == SHROUDED_KEY_BAG:
            algorithm, key = inner.within()
            text = key.bytes_of(OCTETS)
            found.keys.append(encryption.opened(algorithm, text, NO_PASSWORD, rounds))
        elif kind.content == KEY_BAG:
            found.keys.append(value.bytes_of(FIRST))
        elif kind.content == CERTIFICATE_BAG:
            form, explicit = inner.within()
            (certificate,) = explicit.within(FIRST)
            if form.bytes_of(OID) == X509:
                found.certificates.append(certificate.bytes_of(OCTETS))
        else:
            raise ValueError("it holds more than keys and certificates")


def _decrypted(encrypted: DerNode, rounds: HashRounds) -> bytes:
    """What is encrypted with no password."""
    _version, content, *_others = encrypted.within()
    _kind, algorithm, text = content.within()
    return encryption.opened(algorithm, text.bytes_of(FIRST_PLAIN), NO_PASSWORD, rounds)


def _data(info: DerNode) -> bytes:
    """What a ContentInfo of plain data holds."""
    kind, explicit = info.within()
    if kind.bytes_of(OID) != PKCS7_DATA:
        raise ValueError("it is signed, not protected by a password")
    (octets,) = explicit.within(FIRST)
    return octets.bytes_of(OCTETS)


def _elements(content: bytes) -> list[DerNode]:
    """Of a sequence that is all of the content."""
    (whole,) = nodes(content)
    return whole.within()
