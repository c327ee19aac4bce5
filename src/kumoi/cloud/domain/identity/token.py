"""Tokens: signed with Ed25519 (RFC 8037, as JWS in compact form), checked with the public keys alone.

A token carries all that `GET /v3/auth/tokens` shows but the catalogue, so that checking one needs
neither database nor network. Revocations are a short list (store/identity/revocation.py) that each
API process keeps in memory and adds to when the store changes; see Tokens.revoke_known.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime

import jwt
import msgspec
from jwt.types import Options

from kumoi.base.errors import StoreBehind, Unauthenticated
from kumoi.cloud.domain.identity import signing_key
from kumoi.cloud.domain.identity.signing_key import TTL_MAX_S
from kumoi.cloud.store.identity.assignment import SYSTEM_ID
from kumoi.cloud.store.identity.revocation import End, Key, RevocationKind, Revoked, grant_key
from kumoi.cloud.store.identity.signing_key import ALGORITHM, SigningKeys
from kumoi.engine.memo import BoundedMap
from kumoi.engine.position import Position

__all__ = ["TTL_MAX_S", "Claims", "Rule", "Scope", "Tokens", "TrustClaim"]

OUR_CLOCK: Options = {"verify_exp": False, "verify_iat": False}  # We compare times ourselves.
# About six thousand tokens; one with a hundred access rules has 60 KiB.
VERIFIED_BYTES_MAX = 8 << 20
UNSURE_MOST_S = 900.0
"""For so long tokens are accepted by a list of revocations that may lack some, as of an API that is cut off from the
other control hosts. What it shows then is as old as its list: an owner of a revoked token has seen it, or could have.
"""


class Scope(msgspec.Struct, frozen=True, kw_only=True):
    """The project of a token, with its domain."""

    id: str
    name: str
    domain_id: str
    domain_name: str


class Rule(msgspec.Struct, frozen=True, kw_only=True):
    """A request that a token may make; see access_rule.py."""

    id: str
    service: str
    method: str
    path: str


class TrustClaim(msgspec.Struct, frozen=True, kw_only=True):
    """The trust that a token is of. With the generations, what ends the trustor's or the trustee's tokens ends it."""

    id: str
    trustor_user_id: str
    trustee_user_id: str
    impersonation: bool
    trustor_generation: int
    trustee_generation: int = 0  # The release before has none.


class Claims(msgspec.Struct, frozen=True, kw_only=True):
    """What a token says. Times are seconds since 1970. `roles` are (id, name) pairs. `audit_ids`
    are this token's and, where it was made from another, the first one's. The generations are
    those of the user and the project when they were read; see store/identity/revocation.py. With
    `access_rules`, it is for the requests that fit one of them.
    """

    user_id: str
    user_name: str
    user_domain_id: str
    user_domain_name: str
    methods: list[str]
    audit_ids: list[str]
    iat: int
    exp: int
    issued_at_us: int
    user_generation: int
    project_generation: int = 0
    project: Scope | None = None
    domain_id: str | None = None
    domain_name: str | None = None
    system: bool = False
    roles: list[tuple[str, str]] = []
    application_credential_id: str | None = None
    application_credential_name: str | None = None
    application_credential_restricted: bool = True
    trust: TrustClaim | None = None
    access_rules: list[Rule] | None = None
    password_expires_at: datetime | None = None

    @property
    def issued_at(self) -> datetime:
        return datetime.fromtimestamp(self.iat, UTC).replace(microsecond=self.issued_at_us)

    @property
    def expires_at(self) -> datetime:
        return datetime.fromtimestamp(self.exp, UTC)

    @property
    def project_id(self) -> str | None:
        return self.project.id if self.project else None

    @property
    def target_id(self) -> str | None:
        """What the roles are on: a project, a domain or the system."""
        return self.project_id or self.domain_id or (SYSTEM_ID if self.system else None)


class Tokens:
    """Signs tokens with one key and checks them with several; the header `kid` of a token names its
    key.
    """

    def __init__(
        self,
        keys: SigningKeys,
        now: datetime,
        *,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._keys = keys
        self._revoked = Revoked()
        self._learning = threading.Lock()
        self._monotonic = monotonic
        self._sure_s: float | None = None
        signing_key.ensure_first(keys, now)
        self._read_keys(now)

    def learn_keys(self, now: datetime) -> None:
        """Read the keys again, and remove those that have expired; the API does so every LEARN_S."""
        self._read_keys(now)
        signing_key.remove_expired(self._keys, now)

    def _read_keys(self, now: datetime) -> None:
        found = self._keys.load()
        signer = signing_key.signer(found, now)
        accepted = signing_key.accepted(found, now)
        self._public = {span.key.id: span.key.private.public_key() for span in accepted}
        # Of these keys; who verifies now keeps the old.
        self._verified = BoundedMap[str, _Verified](VERIFIED_BYTES_MAX)
        self._signer = signer

    def sign(self, claims: Claims) -> str:
        """Raises StoreBehind, as who logs in may have been locked out elsewhere."""
        self._require_sure()
        signer = self._signer
        header = {"kid": signer.id}
        return jwt.encode(msgspec.to_builtins(claims), signer.private, ALGORITHM, header)

    def check(self, token: str, *, now: datetime, allow_expired: bool = False) -> Claims:
        """The token's claims. Raises Unauthenticated when it is forged, expired or revoked, or signed
        with an unknown key; StoreBehind where that cannot be known.
        """
        self._require_sure()
        verified = self._verified
        known = verified.get(token) or self._verify(token, verified)
        expired = now.timestamp() >= known.claims.exp and not allow_expired
        ends = self._revoked.ends
        if expired or (ends and known.is_revoked(ends)):
            raise Unauthenticated("The request you have made requires authentication.")
        return known.claims

    def _verify(self, token: str, verified: BoundedMap[str, _Verified]) -> _Verified:
        """Check the signature. That costs as much as all the rest of a short request, so the result
        is kept as long as the key is accepted. Whether the token has ended is checked each time.
        """
        try:
            key = self._public[jwt.get_unverified_header(token)["kid"]]
            raw = jwt.decode(token, key, algorithms=[ALGORITHM], options=OUR_CLOCK)
            claims = msgspec.convert(raw, Claims)
        except (jwt.InvalidTokenError, msgspec.ValidationError, KeyError) as cause:
            raise Unauthenticated("The request you have made requires authentication.") from cause
        known = _Verified(claims)
        verified.put(token, known, token)  # The claims say no more than the token does.
        return known

    @property
    def position(self) -> Position:
        """Up to where this process knows the revocations; for revocation.load."""
        return self._revoked.position

    def learnt(self, *, is_all: bool) -> None:
        """Said whenever the revocations were read. `is_all`: by then, all that anybody was told to be kept."""
        if is_all or self._sure_s is None:
            self._sure_s = self._monotonic()

    def _require_sure(self) -> None:
        since_s = self._sure_s
        if since_s is not None and self._monotonic() - since_s > UNSURE_MOST_S:
            raise StoreBehind(
                "tell which tokens were revoked: other control hosts were not reached"
            )

    def revoke_more(self, ends: Mapping[Key, End], *, now: datetime) -> None:
        """Add revocations of which the position is not known."""
        with self._learning:
            known = self._revoked
            left = {key: end for key, end in ends.items() if end.expires_at > now}
            self._revoked = _merged(known, Revoked(left, known.position))

    def revoke_known(self, revoked: Revoked, *, now: datetime | None = None) -> None:
        """Add to the known revocations; a thread that read earlier but calls later removes none.
        Those of another epoch are forgotten, since its generations may occur again. With `now`,
        forget the expired ones.
        """
        with self._learning:
            known = self._revoked
            if revoked.position.epoch == known.position.epoch:
                known = _merged(known, revoked)
            elif revoked.whole:
                known = revoked
            if now is not None:
                ends = {key: end for key, end in known.ends.items() if end.expires_at > now}
                known = replace(known, ends=ends)
            self._revoked = known


class _Verified:
    """Claims with a valid signature, and the keys and generations of revocations that end them."""

    __slots__ = ("_ends_with", "claims")

    def __init__(self, claims: Claims) -> None:
        ends_with: list[tuple[RevocationKind, str | None, int]] = [
            (RevocationKind.TOKEN, claims.audit_ids[0], 0),
            (RevocationKind.CREDENTIAL, claims.application_credential_id, 0),
            (RevocationKind.USER, claims.user_id, claims.user_generation),
        ]
        if claims.project is not None:
            ends_with.append((RevocationKind.PROJECT, claims.project.id, claims.project_generation))
        if claims.target_id is not None:
            key = grant_key(claims.user_id, claims.target_id)
            ends_with.append((RevocationKind.GRANT, key, claims.user_generation))
        if (trust := claims.trust) is not None:
            ends_with += [
                (RevocationKind.CREDENTIAL, trust.id, 0),
                (RevocationKind.USER, trust.trustor_user_id, trust.trustor_generation),
                (RevocationKind.USER, trust.trustee_user_id, trust.trustee_generation),
            ]
            if claims.target_id is not None:
                key = grant_key(trust.trustor_user_id, claims.target_id)
                ends_with.append((RevocationKind.GRANT, key, trust.trustor_generation))
        self.claims = claims
        self._ends_with = [((kind, key), at) for kind, key, at in ends_with if key is not None]

    def is_revoked(self, ends: Mapping[Key, End]) -> bool:
        return any(
            key in ends and generation < ends[key].generation for key, generation in self._ends_with
        )


def _merged(known: Revoked, more: Revoked) -> Revoked:
    """Two sets of one epoch as one: the later end of each key, the later position. Where all tokens of a user
    have ended since, it does not matter which had before.
    """
    ends = dict(known.ends)
    since = {key: end.revision for (kind, key), end in more.ends.items() if kind == "user"}
    if since:
        for key, end in known.ends.items():
            if end.user_id is not None and end.revision < since.get(end.user_id, 0):
                del ends[key]
    for key, end in more.ends.items():
        if key not in ends or end.generation >= ends[key].generation:
            ends[key] = end
    further = max(known.position, more.position, key=lambda position: position.revision)
    return Revoked(ends, further)
