"""A private key that a tenant sent, read only where that is soon done.

An encrypted one says itself how often its passphrase is to be hashed, and the numbers of an RSA key are asked whether they
are primes: either may take minutes, in which the whole process stands still. So what it is asked for is looked at first,
and numbers that are too large never are.
"""

from __future__ import annotations

import base64
import binascii
import re

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_der_private_key,
    load_pem_private_key,
)

from kumoi.cloud.domain.key_manager import der

RSA_BITS_MAX = 4_096
PRIME_BITS_MAX = 2_080
"""Half of it, and what those have who choose primes of unequal length."""
ENCRYPTED = b"ENCRYPTED PRIVATE KEY"
BLOCK = re.compile(
    rb"-----BEGIN %s-----([A-Za-z0-9+/=\s]+)-----END %s-----" % (ENCRYPTED, ENCRYPTED)
)


def read(content: bytes, passphrase: bytes | None) -> PrivateKeyTypes:
    """PEM or DER. Raises ValueError and TypeError."""
    is_pem = content.lstrip().startswith(b"-----")
    if is_pem and ENCRYPTED not in content:
        # Other forms of encrypted PEM hash once.
        key = load_pem_private_key(content, passphrase, unsafe_skip_rsa_key_validation=True)
    else:
        key = _of_der(_unwrapped(content) if is_pem else content, passphrase)
    require_small(key)
    plain = key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    return load_der_private_key(plain, None)


def require_small_der(content: bytes) -> None:
    """Of a key that is not encrypted. Raises ValueError."""
    require_small(load_der_private_key(content, None, unsafe_skip_rsa_key_validation=True))


def require_small(key: PrivateKeyTypes) -> None:
    if not isinstance(key, RSAPrivateKey):
        return
    numbers = key.private_numbers()
    primes = max(numbers.p.bit_length(), numbers.q.bit_length())
    if key.key_size > RSA_BITS_MAX or primes > PRIME_BITS_MAX:
        raise ValueError(f"an RSA key has more than {RSA_BITS_MAX} bits")


def _unwrapped(content: bytes) -> bytes:
    (block,) = BLOCK.findall(content)
    try:
        return base64.b64decode(b"".join(block.split()), validate=True)
    except binascii.Error as cause:
        raise ValueError("a key is not base64") from cause


def _of_der(content: bytes, passphrase: bytes | None) -> PrivateKeyTypes:
    (whole,) = der.nodes(content)
    first = whole.within()[0]
    if first.tag == der.SEQUENCE:  # How it is encrypted; what is not begins with a number.
        der.require_algorithm(first)
    return load_der_private_key(content, passphrase, unsafe_skip_rsa_key_validation=True)
