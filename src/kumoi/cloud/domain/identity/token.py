"""Tokens: signed with Ed25519 (RFC 8037, as JWS in compact form), checked with the public key alone.

A token carries all that `GET /v3/auth/tokens` shows but the catalogue, so that checking one needs
neither database nor network. What is revoked is a short list (store/identity/revocation.py) that
each API process keeps in memory and adds to when the store changes; see Tokens.revoke_known.
"""

from __future__ import annotations

import os
import threading
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import jwt
import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from jwt.types import Options

from kumoi.base.errors import Bug, Unauthenticated
from kumoi.cloud.store.identity.assignment import SYSTEM_ID
from kumoi.cloud.store.identity.revocation import Kind, Revoked, grant_key
from kumoi.engine.feed import Position

ALGORITHM = "EdDSA"
TTL_MAX_S = 86_400  # No token lives longer, whatever the settings say: revocations can be dropped.
OUR_CLOCK: Options = {"verify_exp": False, "verify_iat": False}  # We compare times ourselves.


class Scope(msgspec.Struct, frozen=True, kw_only=True):
    """A project or a domain, with the domain a project is in."""

    id: str
    name: str
    domain_id: str
    domain_name: str


class Claims(msgspec.Struct, frozen=True, kw_only=True):
    """What a token says. Times are seconds since 1970. `roles` are (id, name) pairs. `audit_ids`
    are this token's and, where it was made from another, the first one's. The generations are
    those of the user and the project when they were read; see store/identity/revocation.py.
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
    """Signs and checks. One key file per cloud, made at first start."""

    def __init__(self, key: Ed25519PrivateKey) -> None:
        self._key = key
        self._public = key.public_key()
        self._revoked = Revoked()
        self._learning = threading.Lock()

    @classmethod
    def from_file(cls, path: Path) -> Tokens:
        """With the key in `path`, made (mode 0600) when it is not there."""
        if not path.exists():
            _write_key(path)
        key = load_pem_private_key(path.read_bytes(), password=None)
        if not isinstance(key, Ed25519PrivateKey):
            raise Bug(f"{path.name} does not hold an Ed25519 key")
        return cls(key)

    def sign(self, claims: Claims) -> str:
        return jwt.encode(msgspec.to_builtins(claims), self._key, algorithm=ALGORITHM)

    def check(self, token: str, *, now: datetime, allow_expired: bool = False) -> Claims:
        """What the token says. Raises Unauthenticated when it is forged, expired or revoked."""
        try:
            raw = jwt.decode(token, self._public, algorithms=[ALGORITHM], options=OUR_CLOCK)
            claims = msgspec.convert(raw, Claims)
        except (jwt.InvalidTokenError, msgspec.ValidationError) as cause:
            raise Unauthenticated("The request you have made requires authentication.") from cause
        if (now >= claims.expires_at and not allow_expired) or self._is_revoked(claims):
            raise Unauthenticated("The request you have made requires authentication.")
        return claims

    @property
    def position(self) -> Position:
        """Up to where this process knows what is revoked; for revocation.load."""
        return self._revoked.position

    def revoke_known(self, revoked: Revoked, *, now: datetime | None = None) -> None:
        """Add to what is revoked; whoever read earlier but comes later takes nothing back. What was
        learnt in another epoch is forgotten: generations may be given again there. With `now`,
        forget what has expired.
        """
        with self._learning:
            known = self._revoked
            if revoked.position.epoch == known.position.epoch:
                known = _joined(known, revoked)
            elif revoked.whole:
                known = revoked
            if now is not None:
                ends = {key: end for key, end in known.ends.items() if end.expires_at > now}
                known = replace(known, ends=ends)
            self._revoked = known

    def _is_revoked(self, claims: Claims) -> bool:
        ends = self._revoked.ends
        asked: list[tuple[Kind, str | None, int]] = [
            (Kind.TOKEN, claims.audit_ids[0], 0),
            (Kind.CREDENTIAL, claims.application_credential_id, 0),
            (Kind.USER, claims.user_id, claims.user_generation),
        ]
        if claims.project is not None:
            asked.append((Kind.PROJECT, claims.project.id, claims.project_generation))
        if claims.target_id is not None:
            key = grant_key(claims.user_id, claims.target_id)
            asked.append((Kind.GRANT, key, claims.user_generation))
        return any(
            key is not None and (kind, key) in ends and generation < ends[kind, key].generation
            for kind, key, generation in asked
        )


def _joined(known: Revoked, more: Revoked) -> Revoked:
    """Both, of one epoch: the later end of each key, the further position."""
    ends = dict(known.ends)
    for key, end in more.ends.items():
        if key not in ends or end.generation >= ends[key].generation:
            ends[key] = end
    further = max(known.position, more.position, key=lambda position: position.revision)
    return Revoked(ends, further)


def _write_key(path: Path) -> None:
    """Beside and then renamed, so that two starting at once end with one key."""
    pem = Ed25519PrivateKey.generate().private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
    )
    draft = path.with_suffix(f".{os.getpid()}")
    path.parent.mkdir(parents=True, exist_ok=True)
    draft.touch(mode=0o600)
    draft.write_bytes(pem)
    try:
        os.link(draft, path)
    except FileExistsError:
        pass
    finally:
        draft.unlink()
