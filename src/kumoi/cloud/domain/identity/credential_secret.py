"""Secrets of application credentials.

A secret that we generate has 256 random bits, which no dictionary contains. So a single SHA-512 is a
sufficient hash, and a login takes little time. A secret that a user chose is hashed as a password
(password.py).
"""

from __future__ import annotations

import hashlib
import hmac
import secrets

from kumoi.base.secret import Secret

PREFIX = "sha512:"
RANDOM_BYTES = 32


def generate() -> Secret:
    return Secret(secrets.token_urlsafe(RANDOM_BYTES))


def hash_generated(secret: Secret) -> str:
    return PREFIX + hashlib.sha512(secret.reveal().encode()).hexdigest()


def is_generated(secret_hash: str) -> bool:
    return secret_hash.startswith(PREFIX)


def matches(secret_hash: str, secret: Secret) -> bool:
    """For the hash of a generated secret; takes constant time."""
    return hmac.compare_digest(secret_hash, hash_generated(secret))
