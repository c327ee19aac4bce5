"""Secrets of application credentials.

One that we generate has 256 random bits: no dictionary holds it, so one SHA-512 keeps it, and
logging in with it is fast. One that a user chose is kept as a password is (password.py).
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


def matches(secret_hash: str, given: Secret) -> bool:
    """Of a generated one, in constant time."""
    return hmac.compare_digest(secret_hash, hash_generated(given))
