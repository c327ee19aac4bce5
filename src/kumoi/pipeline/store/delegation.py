"""Delegations: with which application credential the pipeline acts, for an environment as its pusher.

A push leaves the credential that it made with its repository, and the environments that begin by it take it
over. So who pushed an environment is who acts for it, whoever pushes later.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from kumoi.base.secret import Secret
from kumoi.engine.schema import Timestamp
from kumoi.pipeline.store.environment import environment
from kumoi.pipeline.store.schema import ID, NAME, metadata

# Of the push that is under way, or whose environments have not begun; made by a release before 0.3,
# of all pushes.
delegation = sa.Table(
    "delegation",
    metadata,
    sa.Column("repository_id", sa.ForeignKey("repository.id"), primary_key=True),
    sa.Column("credential_id", sa.String(64), nullable=False),
    sa.Column("secret", NAME, nullable=False),
    sa.Column("made_at", Timestamp, nullable=False),
    sa.Column("is_own", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Column("user_name", NAME, nullable=False, server_default=""),
)

environment_delegation = sa.Table(
    "environment_delegation",
    metadata,
    sa.Column("environment_id", ID, primary_key=True),
    sa.Column("repository_id", ID, nullable=False, index=True),
    sa.Column("credential_id", sa.String(64), nullable=False, index=True),
    sa.Column("secret", NAME, nullable=False),
    sa.Column("made_at", Timestamp, nullable=False),
    sa.Column("is_own", sa.Boolean, nullable=False),
)

# Of a kept environment's earlier pushes: what they left in the cloud goes, and then they.
retired_delegation = sa.Table(
    "retired_delegation",
    metadata,
    sa.Column("credential_id", sa.String(64), primary_key=True),
    sa.Column("environment_id", ID, nullable=False),
    sa.Column("secret", NAME, nullable=False),
    sa.Column("is_own", sa.Boolean, nullable=False),
)
RETIRED_MAX = 100


@dataclass(frozen=True, slots=True)
class Delegation:
    """`is_own` is whether the pipeline made the credential, and so removes it."""

    credential_id: str
    secret: Secret
    is_own: bool = False


def set_of_repository(
    connection: Connection, key: str, new: Delegation, now: datetime, user_name: str = ""
) -> None:
    """Replaces the repository's earlier one."""
    forget_of_repository(connection, key)
    values = {"repository_id": key, "made_at": now, "user_name": user_name}
    connection.execute(sa.insert(delegation).values(**values, **_values(new)))


def owner(connection: Connection, repository_id: str) -> str:
    """The user whose push left a credential with the repository; empty where none did."""
    query = sa.select(delegation.c.user_name).where(delegation.c.repository_id == repository_id)
    return str(connection.execute(query).scalar() or "")


def get_of_repository(connection: Connection, key: str) -> Delegation | None:
    return _one(connection, sa.select(delegation).where(delegation.c.repository_id == key))


def list_untaken(connection: Connection, before: datetime) -> list[tuple[str, Delegation]]:
    """What pushes before then made and no environment took, each with its repository."""
    untaken = delegation.c.is_own & (delegation.c.made_at < before)
    query = sa.select(delegation).where(untaken).limit(RETIRED_MAX)
    return [(row.repository_id, _of(row)) for row in connection.execute(query)]


def forget_of_repository(connection: Connection, key: str) -> None:
    connection.execute(sa.delete(delegation).where(delegation.c.repository_id == key))


def take(connection: Connection, repository_id: str, environment_id: str, now: datetime) -> None:
    """From now on the environment has what its push left with the repository. What a kept one had
    before retires.
    """
    found = get_of_repository(connection, repository_id)
    before = get(connection, environment_id)
    if found is not None and before is not None:
        forget(connection, environment_id)
        if before.credential_id != found.credential_id:
            values = {"environment_id": environment_id, **_values(before)}
            connection.execute(sa.insert(retired_delegation).values(**values))
    if found is not None:
        add(connection, repository_id, environment_id, found, now)


def add(
    connection: Connection, repository_id: str, environment_id: str, of: Delegation, now: datetime
) -> None:
    """From now on that acts for the environment."""
    connection.execute(
        sa.insert(environment_delegation).values(
            environment_id=environment_id, repository_id=repository_id, made_at=now, **_values(of)
        )
    )


def get(connection: Connection, environment_id: str) -> Delegation | None:
    mine = environment_delegation.c.environment_id == environment_id
    return _one(connection, sa.select(environment_delegation).where(mine))


def is_used(connection: Connection, credential_id: str) -> bool:
    """Whether an environment has it."""
    of_it = environment_delegation.c.credential_id == credential_id
    query = sa.select(environment_delegation.c.environment_id).where(of_it).limit(1)
    return connection.execute(query).first() is not None


def others(connection: Connection, environment_id: str, *, most: int) -> list[Delegation]:
    """Of the other environments of its repository, newest first; also where nobody acted for this one."""
    table = environment_delegation
    known = sa.select(table.c.repository_id).where(table.c.environment_id == environment_id)
    its = sa.select(environment.c.repository_id).where(environment.c.id == environment_id)
    mine = sa.func.coalesce(known.scalar_subquery(), its.scalar_subquery())
    query = sa.select(table).where(
        table.c.repository_id == mine, table.c.environment_id != environment_id
    )
    newest_first = query.order_by(table.c.made_at.desc()).limit(most)
    return [_of(row) for row in connection.execute(newest_first)]


def forget(connection: Connection, environment_id: str) -> None:
    mine = environment_delegation.c.environment_id == environment_id
    connection.execute(sa.delete(environment_delegation).where(mine))


def give_away(connection: Connection, credential_id: str) -> None:
    """From now on the environments that have the credential own it: it ends with the last of them."""
    for table in (environment_delegation, retired_delegation):
        mine = table.c.credential_id == credential_id
        connection.execute(sa.update(table).where(mine).values(is_own=True))


def list_retired(connection: Connection) -> list[tuple[str, Delegation]]:
    """Each with the environment that it acted for."""
    query = sa.select(retired_delegation).limit(RETIRED_MAX)
    return [(row.environment_id, _of(row)) for row in connection.execute(query)]


def forget_retired(connection: Connection, credential_id: str) -> None:
    mine = retired_delegation.c.credential_id == credential_id
    connection.execute(sa.delete(retired_delegation).where(mine))


def _values(new: Delegation) -> dict[str, object]:
    return {
        "credential_id": new.credential_id,
        "secret": new.secret.reveal(),
        "is_own": new.is_own,
    }


def _one(connection: Connection, query: sa.Select[tuple[object, ...]]) -> Delegation | None:
    row = connection.execute(query).one_or_none()
    return None if row is None else _of(row)


def _of(row: sa.Row[tuple[object, ...]]) -> Delegation:
    return Delegation(row.credential_id, Secret(row.secret), bool(row.is_own))
