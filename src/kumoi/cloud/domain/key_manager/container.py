"""Containers: what is allowed. Of certificates alone: one, its key, and what it is signed by."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.engine import Connection

from kumoi.base.errors import Invalid
from kumoi.base.ids import new_id
from kumoi.cloud.domain.caller import Caller
from kumoi.cloud.domain.key_manager import secret
from kumoi.cloud.domain.key_manager.kept import KeptRules
from kumoi.cloud.store.key_manager import container as store
from kumoi.cloud.store.key_manager.container import SecretContainer

RULES = KeptRules("container", store.TABLE)
CERTIFICATE, PRIVATE_KEY, INTERMEDIATES = "certificate", "private_key", "intermediates"
PASSPHRASE = "private_key_passphrase"  # noqa: S105 - what a secret is in a container.
NAMES = (CERTIFICATE, PRIVATE_KEY, INTERMEDIATES, PASSPHRASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerRequest:
    """`secrets` are ids by what they are in it."""

    secrets: dict[str, str]
    type: str = CERTIFICATE
    name: str | None = None


def create(
    connection: Connection, caller: Caller, wanted: ContainerRequest, now: datetime
) -> SecretContainer:
    """Raises Forbidden, OverQuota, NotFound of a secret, Invalid."""
    project_id = RULES.admit(connection, caller)
    if wanted.type == CERTIFICATE:
        if not set(wanted.secrets) <= set(NAMES):
            raise Invalid(
                f"secret_refs of a certificate are {', '.join(NAMES)}", field="secret_refs"
            )
        if CERTIFICATE not in wanted.secrets or PRIVATE_KEY not in wanted.secrets:
            raise Invalid(
                "The 'certificate' and 'private_key' references are required for Certificate type",
                field="secret_refs",
            )
    for key in wanted.secrets.values():
        secret.RULES.readable(connection, caller, key)
    row = SecretContainer(
        id=new_id(),
        project_id=project_id,
        creator_id=caller.user_id or "",
        name=wanted.name,
        acl=None,
        created_at=now,
        updated_at=now,
        type=wanted.type,
        secrets=wanted.secrets,
    )
    store.TABLE.insert(connection, row)
    return row
