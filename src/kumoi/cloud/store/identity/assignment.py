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
    actor: Actor
    actor_id: str
    target: AssignmentTarget
    target_id: str
    role_id: str


assignment = sa.Table(
    "role_assignment",
    metadata,
    sa.Column("actor", sa.String(8), primary_key=True),
    sa.Column("actor_id", ID, primary_key=True),
    sa.Column("target", sa.String(8), primary_key=True),
    sa.Column("target_id", ID, primary_key=True, index=True),
    sa.Column("role_id", ID, sa.ForeignKey("role.id"), primary_key=True, index=True),
)


def ensure(connection: Connection, row: Assignment) -> None:
    """Insert an assignment, unless it exists."""
    if not has(connection, row):
        schema.insert(connection, assignment, schema.values(row))


def has(connection: Connection, row: Assignment) -> bool:
    return connection.execute(sa.select(assignment).where(*_same(row))).first() is not None


def delete(connection: Connection, row: Assignment) -> bool:
    """False when there was none."""
    return connection.execute(sa.delete(assignment).where(*_same(row))).rowcount == 1


def of_user(
    connection: Connection, user_id: str, group_ids: Collection[str], **only: Any
) -> list[Assignment]:
    """The assignments of a user and its groups; `only` are columns with the value they must have."""
    own = (assignment.c.actor == Actor.USER) & (assignment.c.actor_id == user_id)
    joined = (assignment.c.actor == Actor.GROUP) & assignment.c.actor_id.in_(group_ids)
    return matching(connection, own | joined, **only)


def matching(
    connection: Connection, *conditions: sa.ColumnElement[bool], **only: Any
) -> list[Assignment]:
    """The assignments whose columns have the values in `only`, in a stable order."""
    query = sa.select(assignment).where(*conditions)
    for column, value in only.items():
        query = query.where(assignment.c[column] == value)
    query = query.order_by(*assignment.primary_key.columns)
    return [
        Assignment(
            Actor(row.actor), row.actor_id, AssignmentTarget(row.target), row.target_id, row.role_id
        )
        for row in connection.execute(query)
    ]


def delete_matching(connection: Connection, **only: Any) -> None:
    """Delete the assignments of an actor, on a target or of a role that is being deleted."""
    conditions = [assignment.c[column] == value for column, value in only.items()]
    connection.execute(sa.delete(assignment).where(*conditions))


def _same(row: Assignment) -> list[sa.ColumnElement[bool]]:
    return [assignment.c[column] == value for column, value in schema.values(row).items()]
