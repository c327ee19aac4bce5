"""Hashes of passwords, by Argon2id.

32 MiB and 3 passes take about 70 ms on one of the cores this was measured on (16 to 32 MiB with 2
passes took 19 to 50 ms, 64 MiB with 2 took 102 ms). A hash names its own parameters, so they can be
raised later. Never call this inside a transaction.
"""

from __future__ import annotations

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from kumoi.base.secret import Secret

MEMORY_KIB = 32_768
PASSES = 3

_hasher = PasswordHasher(time_cost=PASSES, memory_cost=MEMORY_KIB, parallelism=1)


def hash_password(password: Secret) -> str:
    return _hasher.hash(password.reveal())


def matches(password_hash: str, password: Secret) -> bool:
    """Takes the same time whether the password matches or not."""
    try:
        return _hasher.verify(password_hash, password.reveal())
    except (VerificationError, InvalidHashError):
        return False
