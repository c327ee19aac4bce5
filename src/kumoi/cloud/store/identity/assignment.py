"""Role assignments: which user or group has which role on which project or domain."""

from __future__ import annotations

import enum
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from kumoi.cloud.store import schema
from kumoi.cloud.store.schema import ID, metadata


class Actor(enum.StrEnum):
    USER = "user"
    GROUP = "group"


class AssignmentTarget(enum.StrEnum):
    PROJECT = "project"
    DOMAIN = "domain"
    SYSTEM = "system"  # There is one; its id is SYSTEM_ID.


SYSTEM_ID = "all"


@dataclass(frozen=True, slots=True)
class Assignment:
    """What is `inherited` is not for the target itself but for all projects below it."""

    actor: Actor
    actor_id: str
    target: AssignmentTarget
    target_id: str
    role_id: str
    inherited: bool = False


assignment = sa.Table(
    "role_assignment",
    metadata,
    sa.Column("actor", sa.String(8), primary_key=True),
    sa.Column("actor_id", ID, primary_key=True),
    sa.Column("target", sa.String(8), primary_key=True),
    sa.Column("target_id", ID, primary_key=True, index=True),
    sa.Column("role_id", ID, sa.ForeignKey("role.id"), primary_key=True, index=True),
)


# What projects below the target inherit. A table of its own, for the release before, which has every row of
# the other one for a role on the target itself.
inherited_assignment = sa.Table(
    "inherited_role_assignment",
    metadata,
    sa.Column("actor", sa.String(8), primary_key=True),
    sa.Column("actor_id", ID, primary_key=True),
    sa.Column("target", sa.String(8), primary_key=True),
    sa.Column("target_id", ID, primary_key=True, index=True),
    sa.Column("role_id", ID, primary_key=True, index=True),
)


def ensure(connection: Connection, row: Assignment) -> None:
    """Insert an assignment, unless it exists."""
    if not has(connection, row):
        values = {column.name: getattr(row, column.name) for column in assignment.columns}
        schema.insert(connection, _table(row), values)


def has(connection: Connection, row: Assignment) -> bool:
    return connection.execute(sa.select(_table(row)).where(*_same(row))).first() is not None


def delete(connection: Connection, row: Assignment) -> bool:
    """False when there was none."""
    return connection.execute(sa.delete(_table(row)).where(*_same(row))).rowcount == 1


def of_user(
    connection: Connection,
    user_id: str,
    group_ids: Collection[str],
    *,
    inherited: bool = False,
    **only: Any,
) -> list[Assignment]:
    """The assignments of a user and its groups; `only` are columns with the value they must have."""
    table = inherited_assignment if inherited else assignment
    own = (table.c.actor == Actor.USER) & (table.c.actor_id == user_id)
    joined = (table.c.actor == Actor.GROUP) & table.c.actor_id.in_(group_ids)
    return matching(connection, own | joined, inherited=inherited, **only)


def matching(
    connection: Connection,
    *conditions: sa.ColumnElement[bool],
    inherited: bool = False,
    **only: Any,
) -> list[Assignment]:
    """The assignments whose columns have the values in `only`, in a stable order."""
    table = inherited_assignment if inherited else assignment
    query = sa.select(table).where(*conditions)
    for column, value in only.items():
        query = query.where(table.c[column] == value)
    query = query.order_by(*table.primary_key.columns)
    return [
        Assignment(
            actor=Actor(row.actor),
            actor_id=row.actor_id,
            target=AssignmentTarget(row.target),
            target_id=row.target_id,
            role_id=row.role_id,
            inherited=inherited,
        )
        for row in connection.execute(query)
    ]


def delete_matching(connection: Connection, **only: Any) -> None:
    """Delete the assignments of an actor, on a target or of a role that is being deleted, and what is
    inherited of them.
    """
    for table in (assignment, inherited_assignment):
        conditions = [table.c[column] == value for column, value in only.items()]
        connection.execute(sa.delete(table).where(*conditions))


def _table(row: Assignment) -> sa.Table:
    return inherited_assignment if row.inherited else assignment


def _same(row: Assignment) -> list[sa.ColumnElement[bool]]:
    return [column == getattr(row, column.name) for column in _table(row).columns]
