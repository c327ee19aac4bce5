"""Secrets: what is allowed."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

from sqlalchemy.engine import Connection

from kumoi.base.errors import Conflict, Invalid, NotFound
from kumoi.base.ids import new_id
from kumoi.cloud.domain.caller import Caller
from kumoi.cloud.domain.key_manager.kept import KeptRules
from kumoi.cloud.store.key_manager import secret as store
from kumoi.cloud.store.key_manager.secret import KeptSecret
from kumoi.cloud.store.seal import Seal

RULES = KeptRules("secret", store.TABLE)
PAYLOAD_MAX_BYTES = 65_536


@dataclass(frozen=True, slots=True, kw_only=True)
class SecretPayload:
    content: bytes
    content_type: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SecretRequest:
    name: str | None = None
    secret_type: str = "opaque"  # noqa: S105 - a kind of secret.
    algorithm: str | None = None
    bit_length: int | None = None
    mode: str | None = None
    expires_at: datetime | None = None
    payload: SecretPayload | None = None


def create(
    connection: Connection, caller: Caller, wanted: SecretRequest, seal: Seal, now: datetime
) -> KeptSecret:
    """Raises Forbidden, OverQuota, Invalid."""
    project_id = RULES.admit(connection, caller)
    if wanted.expires_at is not None and wanted.expires_at <= now:
        raise Invalid("'expiration' is before current time", field="expiration")
    row = KeptSecret(
        id=new_id(),
        project_id=project_id,
        creator_id=caller.user_id or "",
        name=wanted.name,
        acl=None,
        created_at=now,
        updated_at=now,
        secret_type=wanted.secret_type,
        algorithm=wanted.algorithm,
        bit_length=wanted.bit_length,
        mode=wanted.mode,
        expires_at=wanted.expires_at,
        content_type=None,
        sealed=None,
    )
    if wanted.payload is not None:
        sealed = _sealed(seal, row.id, wanted.payload)
        row = replace(row, content_type=wanted.payload.content_type, sealed=sealed)
    store.TABLE.insert(connection, row)
    return row


def give(
    connection: Connection,
    caller: Caller,
    key: str,
    payload: SecretPayload,
    seal: Seal,
    *,
    now: datetime,
) -> None:
    """To one that has no payload yet. Raises NotFound, Forbidden, Conflict, Invalid."""
    row = RULES.owned(connection, caller, key, "put")
    if row.sealed is not None:
        raise Conflict("Secret already has data, cannot modify it.")
    values = {
        "content_type": payload.content_type,
        "sealed": _sealed(seal, key, payload),
        "updated_at": now,
    }
    store.update(connection, key, values)


def opened(
    connection: Connection, caller: Caller, key: str, seal: Seal, now: datetime
) -> SecretPayload:
    """Raises NotFound, also of one that has no payload or is over; Forbidden."""
    row = RULES.readable(connection, caller, key, "decrypt")
    if row.sealed is None or row.content_type is None or is_over(row, now):
        raise NotFound("secret", key, message="Not Found. Sorry but your secret has no payload.")
    return SecretPayload(content=seal.open(row.id, row.sealed), content_type=row.content_type)


def is_over(row: KeptSecret, now: datetime) -> bool:
    return row.expires_at is not None and row.expires_at <= now


def _sealed(seal: Seal, key: str, payload: SecretPayload) -> bytes:
    if not payload.content:
        raise Invalid("If 'payload' specified, must be non empty", field="payload")
    if len(payload.content) > PAYLOAD_MAX_BYTES:
        raise Invalid(f"a payload has at most {PAYLOAD_MAX_BYTES} bytes", field="payload")
    return seal.close(key, payload.content)
