"""The keys that sign tokens: which one signs, which are accepted, and how keys are rotated. Pure, but
for the functions that take `SigningKeys` and write to it.

A new key is published before it signs, so that all API processes know it when its first token
arrives. The key before is accepted until the last token that it signed has expired, and is then
removed. So the processes need not agree on the moment. Called by token.py and `kumoi token`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from kumoi.base.errors import Bug, Conflict
from kumoi.cloud.store.identity.signing_key import SigningKey, SigningKeys

TTL_MAX_S = 86_400  # No token lives longer, whatever the settings say.
LEARN_S = 10.0  # API processes look as often for new keys.
PUBLISHED_S = 60.0  # Before it signs. Longer than LEARN_S by what clocks may differ.
KEYS_MAX = 5
ID_DIGITS = 16


@dataclass(frozen=True, slots=True)
class KeyLifetime:
    """A key signs from a time until the next key does, and is accepted until all tokens that it has
    signed have expired. The newest key has no end yet.
    """

    key: SigningKey
    signs_from: datetime
    signs_until: datetime | None
    accepted_until: datetime | None


def spans(keys: Sequence[SigningKey]) -> list[KeyLifetime]:
    """The lifetimes of the keys, oldest first. The oldest key signs at once, since there is no other."""
    ordered = sorted(keys, key=lambda key: (key.made_at, key.id))
    starts = [key.made_at + timedelta(seconds=PUBLISHED_S) for key in ordered]
    starts[:1] = [key.made_at for key in ordered[:1]]
    late = timedelta(seconds=PUBLISHED_S + TTL_MAX_S)  # A process may learn of the next so late.
    found = [
        KeyLifetime(key, begin, end, end + late)
        for key, begin, end in zip(ordered, starts, starts[1:], strict=False)
    ]
    return [*found, KeyLifetime(ordered[-1], starts[-1], None, None)] if ordered else []


def accepted(keys: Sequence[SigningKey], now: datetime) -> list[KeyLifetime]:
    """The keys whose tokens are valid now, oldest first."""
    return [
        span for span in spans(keys) if span.accepted_until is None or now < span.accepted_until
    ]


def signer(keys: Sequence[SigningKey], now: datetime) -> SigningKey:
    """The newest key that has been published for long enough; the oldest when none has."""
    found = accepted(keys, now)
    if not found:
        raise Bug("there is no key that this release can sign tokens with")
    ready = [span.key for span in found if span.signs_from <= now]
    return ready[-1] if ready else found[0].key


def new_key(now: datetime) -> SigningKey:
    private = Ed25519PrivateKey.generate()
    public = private.public_key().public_bytes_raw()
    return SigningKey(hashlib.sha256(public).hexdigest()[:ID_DIGITS], now, private)


def ensure_first(keys: SigningKeys, now: datetime) -> None:
    if not keys.load():
        keys.add_first(new_key(now))


def remove_expired(keys: SigningKeys, now: datetime) -> None:
    """Remove the keys of which all tokens have expired."""
    for span in spans(keys.load()):
        if span.accepted_until is not None and span.accepted_until <= now:
            keys.remove(span.key.id)


def rotate(keys: SigningKeys, now: datetime) -> KeyLifetime:
    """Publish a new key. Raises Conflict while the newest does not sign yet, or too many are still
    accepted.
    """
    remove_expired(keys, now)
    found = spans(keys.load())
    if found and found[-1].signs_from > now:
        raise Conflict(
            f"key {found[-1].key.id} was published a moment ago and signs from "
            f"{found[-1].signs_from:%H:%M:%S} UTC on; rotate again after that"
        )
    if len(found) >= KEYS_MAX:
        raise Conflict(
            f"{len(found)} keys are still accepted; the oldest goes at "
            f"{found[0].accepted_until:%Y-%m-%d %H:%M:%S} UTC"
        )
    key = new_key(now)
    keys.add(key)
    return next(span for span in spans(keys.load()) if span.key.id == key.id)
