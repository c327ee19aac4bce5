"""A private key that a tenant sent, read only where that is soon done.

An encrypted one says itself how often its passphrase is to be hashed; the numbers of an RSA key are asked whether they
are primes; and of a key of DSA or Diffie-Hellman the public half is computed. Each may take minutes, or hours, in which
the whole process stands still. So what a key is of is looked at first, only keys that TLS has are read, and how the
numbers of RSA fit together is asked in their place.
"""

from __future__ import annotations

import base64
import binascii
import re

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import (
    load_der_private_key,
    load_pem_private_key,
)

from kumoi.cloud.domain.key_manager import der, encryption
from kumoi.cloud.domain.key_manager.encryption import HashRounds

RSA_BITS_MAX = 4_096
PRIME_BITS_MAX = 2_080
"""Half of it, and what those have who choose primes of unequal length."""
RSA_NUMBERS = 9
KINDS = frozenset(
    map(
        bytes.fromhex,
        (
            "2a864886f70d010101",  # RSA, and as it signs with PSS.
            "2a864886f70d01010a",
            "2a8648ce3d0201",  # Elliptic curves, Ed25519 and Ed448.
            "2b6570",
            "2b6571",
        ),
    )
)
BEGIN = re.compile(rb"-----BEGIN ([A-Z ]*PRIVATE KEY)-----")
OF_ANY_KIND = (b"PRIVATE KEY", b"ENCRYPTED PRIVATE KEY")
OF_ONE_KIND = (b"RSA PRIVATE KEY", b"EC PRIVATE KEY")
"""Read as what they say, and where they are encrypted, by hashing once."""


def read(
    content: bytes, passphrase: bytes | None, within: HashRounds | None = None
) -> PrivateKeyTypes:
    """PEM or DER. Raises ValueError and TypeError, and UnsupportedAlgorithm."""
    if not content.lstrip().startswith(b"-----"):
        return _of_der(content, passphrase, within)
    label, block = _block(content)
    if label in OF_ANY_KIND:
        return _of_der(_decoded(block), passphrase, within)
    pem = b"-----BEGIN %s-----%s-----END %s-----\n" % (label, block, label)
    return _checked(load_pem_private_key(pem, passphrase, unsafe_skip_rsa_key_validation=True))


def of_plain_der(content: bytes) -> PrivateKeyTypes:
    """One that is not encrypted. Raises ValueError, and UnsupportedAlgorithm."""
    _require_kind(content)
    return _checked(load_der_private_key(content, None, unsafe_skip_rsa_key_validation=True))


def _of_der(content: bytes, passphrase: bytes | None, within: HashRounds | None) -> PrivateKeyTypes:
    (whole,) = der.nodes(content)
    first, *others = whole.within()
    if (first.tag == der.SEQUENCE) != (passphrase is not None):
        raise TypeError("it has a passphrase and is not encrypted, or the other way round")
    if passphrase is None:
        return of_plain_der(content)
    (text,) = others
    rounds = HashRounds(within=within)
    plain = encryption.opened(first, text.bytes_of(der.OCTETS), passphrase, rounds)
    return of_plain_der(plain)


def _require_kind(content: bytes) -> None:
    (whole,) = der.nodes(content)
    _version, second, *others = whole.within()
    if second.tag == der.SEQUENCE:
        kind, *_settings = second.within()
        is_known = kind.bytes_of(der.OID) in KINDS
    elif second.tag == der.INTEGER:  # DSA's has fewer numbers.
        is_known = len(others) >= RSA_NUMBERS - 2
    else:
        is_known = second.tag == der.OCTETS
    if not is_known:
        raise ValueError("a key is of RSA, an elliptic curve, Ed25519 or Ed448")


def _checked(key: PrivateKeyTypes) -> PrivateKeyTypes:
    if isinstance(key, RSAPrivateKey):
        _require_rsa(key)
    return key


def _require_rsa(key: RSAPrivateKey) -> None:
    """Of that size, and with numbers that fit; whether they are primes is for who uses the key."""
    found = key.private_numbers()
    p, q, d = found.p, found.q, found.d
    n, e = found.public_numbers.n, found.public_numbers.e
    if key.key_size > RSA_BITS_MAX or max(p.bit_length(), q.bit_length()) > PRIME_BITS_MAX:
        raise ValueError(f"an RSA key has more than {RSA_BITS_MAX} bits")
    fits = min(p, q) > 2 and p * q == n and 1 < d < n and 1 < e < n  # noqa: PLR2004 - the first prime.
    if not (
        fits
        and d * e % (p - 1) == d * e % (q - 1) == 1
        and (found.dmp1, found.dmq1) == (d % (p - 1), d % (q - 1))
        and found.iqmp * q % p == 1
    ):
        raise ValueError("Invalid private key")


def _block(content: bytes) -> tuple[bytes, bytes]:
    """The label of the first private key, and what stands between its lines."""
    found = BEGIN.search(content)
    if found is None or found[1] not in (*OF_ANY_KIND, *OF_ONE_KIND):
        raise ValueError("there is no private key")
    end = content.find(b"-----END %s-----" % found[1], found.end())
    if end < 0:
        raise ValueError("a private key has no end")
    return found[1], content[found.end() : end]


def _decoded(block: bytes) -> bytes:
    try:
        return base64.b64decode(b"".join(block.split()), validate=True)
    except binascii.Error as cause:
        raise ValueError("a key is not base64") from cause
