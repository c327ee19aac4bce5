"""Credentials that users keep here: what is allowed.

Their blobs are sealed where they are kept; `blob_of` opens one. One of type `ec2` has an access key and a secret in its blob; its id is the hash of the access key, as
Keystone has it, and by it ec2_login.py finds the secret.

With those of LOGINS their user logs in. A token of a delegation has none of these but what it made itself, and
makes none that is not bound to it: else whoever was given a part of a user's rights would take them all.
"""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
from dataclasses import dataclass, replace
from typing import Any

import msgspec
from sqlalchemy.engine import Connection

from kumoi.base.errors import Conflict, Forbidden, Invalid, NotFound
from kumoi.base.ids import new_hex_id
from kumoi.cloud.domain.caller import Caller
from kumoi.cloud.domain.identity import application_credential, second_factor
from kumoi.cloud.domain.identity.token import Claims
from kumoi.cloud.store.identity import credential as store
from kumoi.cloud.store.identity.credential import Credential, DelegationReach
from kumoi.cloud.store.listing import Listing
from kumoi.cloud.store.seal import Seal

EC2 = "ec2"
LOGINS = (EC2, second_factor.TYPE)
SEALED = "sealed:"
PER_USER_MAX = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class CredentialRequest:
    user_id: str
    type: str
    blob: str
    project_id: str | None = None


def create(
    connection: Connection, caller: Caller, claims: Claims, wanted: CredentialRequest, seal: Seal
) -> Credential:
    """Raises Forbidden for another user's, and for a token of a delegation that may not; Invalid for a
    blob that says no access key; Conflict when that key is taken.
    """
    caller.check("identity:create_credential", user_id=wanted.user_id)
    _require_in_scope(claims, wanted.project_id)
    if wanted.type == second_factor.TYPE:
        _require_own_token(claims)
    if wanted.type == EC2:
        application_credential.require_unrestricted(claims)
        key = key_of(_access(wanted.blob))
        if wanted.project_id is None:
            raise Invalid("A credential of type ec2 needs a project_id", field="project_id")
    else:
        key = new_hex_id()
    if store.get(connection, key) is not None:
        raise Conflict(f"Conflict occurred attempting to store credential - {key} exists already.")
    if store.count(connection, wanted.user_id) >= PER_USER_MAX:
        raise Forbidden(f"A user has at most {PER_USER_MAX} credentials.")
    row = Credential(
        id=key,
        user_id=wanted.user_id,
        project_id=wanted.project_id,
        type=wanted.type,
        blob=_sealed(key, wanted.blob, seal),
        application_credential_id=claims.application_credential_id,
    )
    store.insert(connection, row)
    return row


def generated(user_id: str, project_id: str) -> CredentialRequest:
    """A new pair of keys for EC2's API."""
    blob = {"access": new_hex_id(), "secret": secrets.token_hex(16), "trust_id": None}
    return CredentialRequest(
        user_id=user_id, project_id=project_id, type=EC2, blob=json.dumps(blob)
    )


def get(connection: Connection, caller: Caller, claims: Claims, rule: str, key: str) -> Credential:
    """Raises Forbidden, also where there is none, unless the caller may do it with any: NotFound."""
    row = store.get(connection, key)
    caller.check(rule, user_id=row.user_id if row else None)
    if row is None:
        raise NotFound("credential", key)
    _require_in_scope(claims, row.project_id)
    if row.type in LOGINS and not _is_made_by(claims, row):
        _require_own_token(claims)
    return row


def page(
    connection: Connection, claims: Claims, wanted: Listing, user_id: str | None
) -> list[Credential]:
    """Of that user, or of all; for the token of a delegation only those that `get` gives it."""
    if not _is_delegated(claims):
        return store.page(connection, wanted, user_id=user_id)
    reach = DelegationReach(
        project_id=claims.project_id or "",
        bound_types=LOGINS,
        application_credential_id=claims.application_credential_id or "",
    )
    return store.page(connection, wanted, user_id=user_id, reach=reach)


def update_blob(connection: Connection, row: Credential, blob: str, seal: Seal) -> Credential:
    """Raises Invalid as `create` does."""
    if row.type == EC2:
        _access(blob)
    changed = replace(row, blob=_sealed(row.id, blob, seal))
    store.update(connection, row.id, {"blob": changed.blob})
    return changed


def blob_of(row: Credential, seal: Seal) -> str:
    """What its user gave."""
    if not row.blob.startswith(SEALED):
        return row.blob  # Kept by a build between two releases.
    return seal.open(row.id, base64.b64decode(row.blob.removeprefix(SEALED))).decode()


def blobs(connection: Connection, user_id: str, type: str, seal: Seal) -> list[str]:
    """What a user keeps of that type."""
    wanted = Listing(filters={"type": [type]})
    return [blob_of(row, seal) for row in store.page(connection, wanted, user_id=user_id)]


def _sealed(key: str, blob: str, seal: Seal) -> str:
    return SEALED + base64.b64encode(seal.close(key, blob.encode())).decode()


def _require_in_scope(claims: Claims, project_id: str | None) -> None:
    """Raises Forbidden for a token of a delegation that is for another project."""
    if _is_delegated(claims) and project_id != claims.project_id:
        raise Forbidden("The credential's project is not that of the token, which is delegated.")


def _require_own_token(claims: Claims) -> None:
    """Raises Forbidden for a token of a delegation."""
    if _is_delegated(claims):
        raise Forbidden("With this credential its user logs in: the token is delegated.")


def _is_made_by(claims: Claims, row: Credential) -> bool:
    """Whether the token is of the application credential that made it, so that a login with it is, too."""
    return (
        row.application_credential_id is not None
        and row.application_credential_id == claims.application_credential_id
    )


def _is_delegated(claims: Claims) -> bool:
    return claims.application_credential_id is not None or claims.trust is not None


def key_of(access: str) -> str:
    """The id of the credential with this access key."""
    return hashlib.sha256(access.encode()).hexdigest()


def keys(row: Credential, seal: Seal) -> tuple[str, str]:
    """The access key and the secret of one of type `ec2`. Raises Invalid."""
    found = _parts(blob_of(row, seal))
    return str(found["access"]), str(found.get("secret", ""))


def _access(blob: str) -> str:
    return str(_parts(blob)["access"])


def _parts(blob: str) -> dict[str, Any]:
    """Of one of type `ec2`. Raises Invalid, also where it says what is no text of Unicode, or nests it deeply."""
    try:
        found = msgspec.json.decode(blob)
    except (msgspec.DecodeError, RecursionError) as cause:
        raise Invalid("Invalid blob in credential", field="blob") from cause
    if not isinstance(found, dict) or not isinstance(found.get("access"), str):
        raise Invalid("The blob needs an access key: `access`", field="blob")
    return found
