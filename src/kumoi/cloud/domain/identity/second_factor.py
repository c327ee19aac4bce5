"""A second factor of a login: passcodes by time (TOTP, RFC 6238), and which methods a user needs.

The seed is what its user keeps as a credential of type `totp`, in base32 as authenticator apps show it.
"""

from __future__ import annotations

import base64
import binascii
import hmac
from collections.abc import Collection, Iterable, Mapping
from datetime import datetime
from typing import Any

from cryptography.hazmat.primitives.hashes import SHA1
from cryptography.hazmat.primitives.twofactor.totp import TOTP

from kumoi.base.secret import Secret
from kumoi.cloud.domain.identity.resource_option import MFA_ENABLED, MFA_RULES

TYPE = "totp"
DIGITS = 6
PERIOD_S = 30
PERIODS_BEFORE = 1  # As many passcodes that were before count too: clocks differ, and people type.
METHODS = frozenset({"password", "token", "totp", "application_credential"})


def matches(seeds: Iterable[str], passcode: Secret, now: datetime) -> bool:
    """Whether it is the present passcode of any of the seeds, or the one before."""
    at = int(now.timestamp())
    given = passcode.reveal().encode()
    return any(
        hmac.compare_digest(code, given)
        for seed in seeds
        for before in range(PERIODS_BEFORE + 1)
        for code in _passcode(seed, at - before * PERIOD_S)
    )


def _passcode(seed: str, at: int) -> list[bytes]:
    """None of a seed that is not base32."""
    try:
        key = base64.b32decode(seed.strip().upper() + "=" * (-len(seed.strip()) % 8))
    except (binascii.Error, ValueError):
        return []
    if not key:
        return []
    # Apps have seeds of 80 bits as well, fewer than the library wants.
    return [TOTP(key, DIGITS, SHA1(), PERIOD_S, enforce_key_length=False).generate(at)]  # noqa: S303 - RFC 6238's.


def is_enough(options: Mapping[str, Any] | None, methods: Collection[str]) -> bool:
    """Whether a login by these methods is what its user's options ask for. A rule counts by the methods in it
    that there are. Who has signed with EC2's keys used none of them.
    """
    asked = options or {}
    rules = [METHODS.intersection(rule) for rule in asked.get(MFA_RULES, ())]
    rules = [rule for rule in rules if rule]
    if not rules or not asked.get(MFA_ENABLED, True) or METHODS.isdisjoint(methods):
        return True
    return any(rule.issubset(methods) for rule in rules)
