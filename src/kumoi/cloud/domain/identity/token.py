"""Tokens: signed with Ed25519 (RFC 8037, as JWS in compact form), checked with the public key alone.

A token carries all that `GET /v3/auth/tokens` shows but the catalogue, so that checking one needs
neither database nor network. What is revoked is a short list (store/identity/revocation.py) that
each API process keeps in memory and renews when the store changes; see Tokens.revoke_known.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
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

from kumoi.base.errors import Bug, Unauthenticated

ALGORITHM = "EdDSA"


class Scope(msgspec.Struct, frozen=True, kw_only=True):
    """A project or a domain, with the domain a project is in."""

    id: str
    name: str
    domain_id: str
    domain_name: str


class Claims(msgspec.Struct, frozen=True, kw_only=True):
    """What a token says. Times are seconds since 1970. `roles` are (id, name) pairs. `audit_ids`
    are this token's and, where it was made from another, that one's."""

    user_id: str
    user_name: str
    user_domain_id: str
    user_domain_name: str
    methods: list[str]
    audit_ids: list[str]
    iat: int
    exp: int
    issued_at_us: int
    project: Scope | None = None
    domain_id: str | None = None
    domain_name: str | None = None
    roles: list[tuple[str, str]] = []
    password_expires_at: str | None = None
    application_credential_id: str | None = None
    application_credential_restricted: bool = True

    @property
    def issued_at(self) -> datetime:
        return datetime.fromtimestamp(self.iat, UTC).replace(microsecond=self.issued_at_us)

    @property
    def expires_at(self) -> datetime:
        return datetime.fromtimestamp(self.exp, UTC)


@dataclass(frozen=True, slots=True)
class Revoked:
    """What no longer counts: single tokens by audit id, and everything of a user, project or
    application credential that was issued up to a time."""

    audit_ids: frozenset[str] = frozenset()
    users: dict[str, datetime] = field(default_factory=dict)
    projects: dict[str, datetime] = field(default_factory=dict)
    credentials: frozenset[str] = frozenset()


class Tokens:
    """Signs and checks. One key file per cloud, made at first start."""

    def __init__(self, key: Ed25519PrivateKey) -> None:
        self._key = key
        self._public = key.public_key()
        self._revoked = NOTHING_REVOKED

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
            raw = jwt.decode(
                token, self._public, algorithms=[ALGORITHM], options={"verify_exp": False}
            )
            claims = msgspec.convert(raw, Claims)
        except (jwt.InvalidTokenError, msgspec.ValidationError) as cause:
            raise Unauthenticated("The request you have made requires authentication.") from cause
        if (now >= claims.expires_at and not allow_expired) or self._is_revoked(claims):
            raise Unauthenticated("The request you have made requires authentication.")
        return claims

    def revoke_known(self, revoked: Revoked) -> None:
        """Replace the list of what is revoked."""
        self._revoked = revoked

    def _is_revoked(self, claims: Claims) -> bool:
        revoked, issued_at = self._revoked, claims.issued_at
        if not revoked.audit_ids.isdisjoint(claims.audit_ids):
            return True
        if claims.application_credential_id in revoked.credentials:
            return True
        user_until = revoked.users.get(claims.user_id)
        if user_until is not None and issued_at <= user_until:
            return True
        project_until = revoked.projects.get(claims.project.id) if claims.project else None
        return project_until is not None and issued_at <= project_until


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


NOTHING_REVOKED = Revoked()
