"""The application credentials that the pipeline makes, each from before it is made until it has ended.

A row is written before the cloud is asked, with the name and the secret by which the credential can be
found again. What nothing refers to any more is in no other table: whoever is killed on the way leaves
only this row, and the sweeper ends what it stands for (credentials.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from kumoi.base.secret import Secret
from kumoi.engine.schema import Timestamp
from kumoi.pipeline.store.delegation import (
    delegation,
    environment_delegation,
    retired_delegation,
)
from kumoi.pipeline.store.schema import NAME, metadata
from kumoi.pipeline.store.webhook import webhook

BATCH = 100
REFERRING = (delegation, environment_delegation, retired_delegation, webhook)

own_credential = sa.Table(
    "own_credential",
    metadata,
    sa.Column("name", NAME, primary_key=True),
    sa.Column("user_id", sa.String(64), nullable=False),
    sa.Column("secret", NAME, nullable=False),
    sa.Column("credential_id", sa.String(64), nullable=True, index=True),  # Unset: being made.
    sa.Column("look_at", Timestamp, nullable=False, index=True),  # Not before then.
)


@dataclass(frozen=True, slots=True)
class OwnCredential:
    """Names are the user's own: two users may have the same."""

    name: str
    user_id: str
    secret: Secret


def add(connection: Connection, new: OwnCredential, look_at: datetime) -> None:
    """One that is about to be made. Nobody looks for it before then."""
    connection.execute(
        sa.insert(own_credential).values(
            name=new.name, user_id=new.user_id, secret=new.secret.reveal(), look_at=look_at
        )
    )


def set_made(connection: Connection, name: str, credential_id: str) -> bool:
    """Whether it was still waited for."""
    mine = own_credential.c.name == name
    made = sa.update(own_credential).where(mine).values(credential_id=credential_id)
    return connection.execute(made).rowcount == 1


def list_unused(connection: Connection, now: datetime) -> list[OwnCredential]:
    """Those that are to be looked at, and that no push, environment or webhook has."""
    table = own_credential
    used = [sa.exists().where(each.c.credential_id == table.c.credential_id) for each in REFERRING]
    query = sa.select(table).where(table.c.look_at < now, ~sa.or_(*used))
    return [
        OwnCredential(row.name, row.user_id, Secret(row.secret))
        for row in connection.execute(query.order_by(table.c.look_at).limit(BATCH))
    ]


def set_look_at(connection: Connection, name: str, look_at: datetime) -> None:
    mine = own_credential.c.name == name
    connection.execute(sa.update(own_credential).where(mine).values(look_at=look_at))


def forget(connection: Connection, name: str) -> None:
    connection.execute(sa.delete(own_credential).where(own_credential.c.name == name))


def forget_made(connection: Connection, credential_id: str) -> None:
    mine = own_credential.c.credential_id == credential_id
    connection.execute(sa.delete(own_credential).where(mine))
