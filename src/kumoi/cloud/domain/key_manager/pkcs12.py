"""What a PKCS#12 without a password costs to read, before it is read. Pure.

It says itself how often a password is to be hashed, also within what is encrypted, so a file of 1 kB
can keep a processor busy for an hour. What is not of the forms that tools write is refused.
"""

from __future__ import annotations

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CBC
from cryptography.hazmat.primitives.kdf.pbkdf2 import PBKDF2HMAC

from kumoi.cloud.domain.key_manager import private_key
from kumoi.cloud.domain.key_manager.der import (
    FIRST,
    FIRST_PLAIN,
    OCTETS,
    OID,
    PBES2,
    SEQUENCE,
    DerNode,
    nodes,
    require_algorithm,
    require_count,
)

PKCS7_DATA = bytes.fromhex("2a864886f70d010701")
PKCS7_ENCRYPTED = bytes.fromhex("2a864886f70d010706")
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


def require_cheap(content: bytes) -> None:
    """Raises ValueError."""
    whole = list(nodes(content))
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
        require_count(count)


def _require_bags(content: bytes) -> None:
    for bag in _opened(content):
        kind, value, *_attributes = bag.within()
        if kind.bytes_of(OID) == SHROUDED_KEY_BAG:
            algorithm, key = value.within(FIRST)[0].within()
            private_key.require_small_der(_plain(algorithm, key.bytes_of(OCTETS)))
        elif kind.content == KEY_BAG:
            private_key.require_small_der(value.bytes_of(FIRST))
        elif kind.content != CERTIFICATE_BAG:
            raise ValueError("it holds more than keys and certificates")


def _decrypted(encrypted: DerNode) -> bytes:
    """What is encrypted with no password."""
    _version, content, *_others = encrypted.within()
    _kind, algorithm, text = content.within()
    return _plain(algorithm, text.bytes_of(FIRST_PLAIN))


def _plain(algorithm: DerNode, text: bytes) -> bytes:
    require_algorithm(algorithm)
    kind, parameters = algorithm.within()
    if kind.content != PBES2:
        raise ValueError("it is encrypted in an old form")
    derivation, cipher = parameters.within()
    salt, count, *rest = derivation.within()[1].within()
    functions = [node.within()[0].content for node in rest if node.tag == SEQUENCE]
    hashed = HASHES[functions[0]] if functions else hashes.SHA1()  # noqa: S303 - its default.
    name, vector = cipher.within()
    key = PBKDF2HMAC(
        hashed, AES_KEYS[name.content], salt.bytes_of(OCTETS), int.from_bytes(count.content, "big")
    ).derive(b"")
    opener = Cipher(AES(key), CBC(vector.bytes_of(OCTETS))).decryptor()
    padded = opener.update(text) + opener.finalize()
    return padded[: -padded[-1]]


def _data(info: DerNode) -> bytes:
    """What a ContentInfo of plain data holds."""
    kind, explicit = info.within()
    if kind.bytes_of(OID) != PKCS7_DATA:
        raise ValueError("it is signed, not protected by a password")
    return explicit.within(FIRST)[0].bytes_of(OCTETS)


def _opened(content: bytes) -> list[DerNode]:
    """The elements of a sequence that is all of the content."""
    (whole,) = nodes(content)
    return whole.within()
