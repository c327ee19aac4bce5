"""What is encrypted by a password, as PBES2 has it (RFC 8018): opened only where that is soon done. Pure.

It says itself how often the password is to be hashed, so all that one request has opened has a number of
rounds together.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CBC
from cryptography.hazmat.primitives.kdf.pbkdf2 import PBKDF2HMAC

from kumoi.cloud.domain.key_manager.der import INTEGER, OCTETS, OID, SEQUENCE, DerNode

Meaning = TypeVar("Meaning")

ROUNDS_MAX = 1_000_000  # Of a file.
REQUEST_ROUNDS_MAX = 4_000_000
"""Of all files that one request names: 200 with 20,000 each, as keytool makes them."""
BLOCK_BYTES = 16
PBES2 = bytes.fromhex("2a864886f70d01050d")
PBKDF2 = bytes.fromhex("2a864886f70d01050c")
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


class HashRounds:
    """How often passwords may still be hashed; for a file, within what its request may."""

    def __init__(self, most: int = ROUNDS_MAX, within: HashRounds | None = None) -> None:
        self._left, self._within = most, within

    def spend(self, count: DerNode) -> int:
        """As many as it says. Raises ValueError."""
        wanted = int.from_bytes(count.bytes_of(INTEGER), "big", signed=True)
        self._take(wanted)
        return wanted

    def _take(self, wanted: int) -> None:
        if not 0 < wanted <= self._left:
            raise ValueError("a password would be hashed too often")
        self._left -= wanted
        if self._within is not None:
            self._within._take(wanted)  # noqa: SLF001 - its own kind's.


def opened(algorithm: DerNode, text: bytes, password: bytes, rounds: HashRounds) -> bytes:
    """Raises ValueError, mostly, where the password is another one."""
    kind, *settings = algorithm.within()
    if kind.bytes_of(OID) != PBES2:
        raise ValueError("it is encrypted in an old form")
    derivation, cipher = _one(settings).within()
    name, parameters = derivation.within()
    if name.bytes_of(OID) != PBKDF2:
        raise ValueError("a password is not hashed by PBKDF2")
    salt, count, *rest = parameters.within()
    hashed: hashes.HashAlgorithm = hashes.SHA1()  # noqa: S303 - its default.
    for node in rest:
        if node.tag == SEQUENCE:
            function, *_nothing = node.within()
            hashed = _known(HASHES, function)
    named, vector = cipher.within()
    size = _known(AES_KEYS, named)
    key = PBKDF2HMAC(hashed, size, salt.bytes_of(OCTETS), rounds.spend(count)).derive(password)
    opener = Cipher(AES(key), CBC(vector.bytes_of(OCTETS))).decryptor()
    padded = opener.update(text) + opener.finalize()
    padding = padded[-1] if padded else 0
    if not 0 < padding <= BLOCK_BYTES:
        raise ValueError("the password is another one")
    return padded[:-padding]


def _one(found: list[DerNode]) -> DerNode:
    if len(found) != 1:
        raise ValueError("an encryption has other settings than one")
    return found[0]


def _known(table: Mapping[bytes, Meaning], name: DerNode) -> Meaning:
    found = table.get(name.bytes_of(OID))
    if found is None:
        raise ValueError("an encryption is not known")
    return found
