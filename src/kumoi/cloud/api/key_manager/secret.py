"""Secrets: what is accepted and what is shown. A payload is given with the rest or by itself."""

from __future__ import annotations

import base64
import binascii
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

import msgspec

from kumoi.base.errors import Invalid
from kumoi.cloud.api.key_manager import acl, listing
from kumoi.cloud.api.request import Request
from kumoi.cloud.domain.key_manager import secret as domain
from kumoi.cloud.domain.key_manager.secret import PAYLOAD_MAX_BYTES, SecretPayload, SecretRequest
from kumoi.cloud.store.key_manager.secret import KeptSecret
from kumoi.engine import audit
from kumoi.engine.http.errors import NotAcceptable
from kumoi.engine.http.request import UNSET, Body, Reply, Unset

PLAIN = "text/plain"
TYPES = (
    PLAIN,
    "application/octet-stream",
    "application/pkcs8",
    "application/pkix-cert",
)
Text = Annotated[str, msgspec.Meta(max_length=255)]
SecretType = Literal["symmetric", "public", "private", "passphrase", "certificate", "opaque"]
Bits = Annotated[int, msgspec.Meta(ge=1, le=32_767)]
Payload = Annotated[str, msgspec.Meta(max_length=PAYLOAD_MAX_BYTES * 2)]


class SecretNew(Body):
    name: Text | Unset | None = UNSET
    secret_type: SecretType | Unset | None = UNSET
    algorithm: Text | Unset | None = UNSET
    bit_length: Bits | Unset | None = UNSET
    mode: Text | Unset | None = UNSET
    expiration: Text | Unset | None = UNSET
    payload: Payload | Unset | None = UNSET
    payload_content_type: Text | Unset | None = UNSET
    payload_content_encoding: Literal["base64"] | Unset | None = UNSET


def create(request: Request) -> Reply:
    new = request.parse(SecretNew)
    names = ("name", "secret_type", "algorithm", "bit_length", "mode")
    said = {name: getattr(new, name) for name in names if getattr(new, name) not in (UNSET, None)}
    wanted = SecretRequest(**said, expires_at=_expiration(new.expiration), payload=_payload(new))
    services = request.services
    with request.write() as connection:
        made = domain.create(
            connection, request.caller, wanted, services.seal, services.clock.now()
        )
        audit.about(made.id)
    href = _href(request, made.id)
    return Reply(201, {"secret_ref": href}, {"Location": href})


def index(request: Request) -> Reply:
    found = listing.page(
        request,
        domain.RULES,
        {"name": "name", "secret_type": "secret_type", "alg": "algorithm", "mode": "mode"},
    )
    return listing.reply(request, "secrets", [shown(request, row) for row in found[0].rows], found)


def show(request: Request) -> Reply:
    """What is said of it; or what it is, for whoever asks for another type than JSON."""
    accepted = request.http.headers.get("accept", "*/*").partition(";")[0].partition(",")[0].strip()
    if accepted not in ("*/*", "", "application/json"):
        return payload(request)
    with request.read() as connection:
        row = domain.RULES.readable(connection, request.caller, request.path["id"])
    return Reply(200, shown(request, row))


def payload(request: Request) -> Reply:
    services, key = request.services, request.path["id"]
    with request.read() as connection:
        found = domain.opened(connection, request.caller, key, services.seal, services.clock.now())
    kind = _shown_as(found, request.http.headers.get("accept", "*/*"))
    headers = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
    return Reply(200, headers=headers, stream=iter([found.content]), media_type=kind)


def _shown_as(found: SecretPayload, accepted: str) -> str:
    """Its own type, or another that is asked for; as text only what is one. Raises NotAcceptable."""
    if any(word in accepted for word in ("*/*", found.content_type, "application/*")):
        return found.content_type
    kinds = [kind for kind in TYPES if kind in accepted]
    if kinds and (kinds[0] != PLAIN or _is_text(found.content)):
        return kinds[0]
    raise NotAcceptable(f"the secret is {found.content_type}")


def _is_text(content: bytes) -> bool:
    try:
        content.decode()
    except UnicodeDecodeError:
        return False
    return True


def update(request: Request) -> Reply:
    """PUT of the payload of one that was made without."""
    services, key = request.services, request.path["id"]
    kind = request.http.headers.get("content-type", PLAIN).partition(";")[0].strip().lower()
    content = request.raw
    if request.http.headers.get("content-encoding", "").lower() == "base64":
        content = _decoded(content)
    given = SecretPayload(content=content, content_type=_known(kind))
    with request.write() as connection:
        domain.give(connection, request.caller, key, given, services.seal, now=services.clock.now())
    return Reply(204)


def delete(request: Request) -> Reply:
    with request.write() as connection:
        domain.RULES.delete(connection, request.caller, request.path["id"])
    return Reply(204)


show_acl, update_acl, delete_acl = acl.handlers(domain.RULES, "secrets")


def shown(request: Request, row: KeptSecret) -> dict[str, Any]:
    found: dict[str, Any] = {
        "secret_ref": _href(request, row.id),
        "name": row.name or row.id,
        "secret_type": row.secret_type,
        "algorithm": row.algorithm,
        "bit_length": row.bit_length,
        "mode": row.mode,
        "expiration": None if row.expires_at is None else _time(row.expires_at),
        "creator_id": row.creator_id,
        "status": "ACTIVE" if not domain.is_over(row, request.services.clock.now()) else "EXPIRED",
        "created": _time(row.created_at),
        "updated": _time(row.updated_at),
    }
    if row.content_type is not None:
        found["content_types"] = {"default": row.content_type}
    return found


def _href(request: Request, key: str) -> str:
    return f"{request.base}/v1/secrets/{key}"


def _time(at: datetime) -> str:
    return at.isoformat()[:19]


def _payload(new: SecretNew) -> SecretPayload | None:
    kind = new.payload_content_type
    if not isinstance(new.payload, str):
        if isinstance(kind, str):
            raise Invalid(
                "payload must be provided when payload_content_type is specified", field="payload"
            )
        return None
    if not isinstance(kind, str):
        raise Invalid(
            "If 'payload' is supplied, 'payload_content_type' must also be supplied.",
            field="payload_content_type",
        )
    kind = kind.partition(";")[0].strip().lower()
    is_base64 = new.payload_content_encoding == "base64"
    if is_base64 == (_known(kind) == PLAIN) and kind in (PLAIN, "application/octet-stream"):
        raise Invalid(
            f"payload_content_encoding does not fit {kind}", field="payload_content_encoding"
        )
    text = new.payload.strip().encode()
    return SecretPayload(content=_decoded(text) if is_base64 else text, content_type=kind)


def _known(kind: str) -> str:
    if kind not in TYPES:
        raise Invalid(
            f"payload_content_type is not one of {', '.join(TYPES)}", field="payload_content_type"
        )
    return kind


def _decoded(text: bytes) -> bytes:
    try:
        return base64.b64decode(b"".join(text.split()), validate=True)
    except (binascii.Error, ValueError) as cause:
        raise Invalid("Invalid payload for payload_content_encoding", field="payload") from cause


def _expiration(text: str | Unset | None) -> datetime | None:
    if not isinstance(text, str) or not text.strip():
        return None
    try:
        at = datetime.fromisoformat(text.strip())
        return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
    except (ValueError, OverflowError) as cause:
        raise Invalid("Invalid date for 'expiration'", field="expiration") from cause
