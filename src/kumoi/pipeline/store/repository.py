"""Repositories, the heads of their branches, and the credentials that pushers delegated."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from kumoi.engine.schema import Timestamp
from kumoi.pipeline.store.schema import ID, NAME, fetch, fetch_one, metadata

repository = sa.Table(
    "repository",
    metadata,
    sa.Column("id", ID, primary_key=True),
    sa.Column("project_id", sa.String(64), nullable=False),
    sa.Column("project_name", NAME, nullable=False),
    sa.Column("name", sa.String(64), nullable=False),
    sa.Column("created_at", Timestamp, nullable=False),
    sa.Column("push_begun_at", Timestamp, nullable=True),  # Until whoever pushes has the answer.
    sa.Column("size_bytes", sa.BigInteger, nullable=False, server_default="0"),
    # Of a cloud with several control hosts, see pipeline/push_copies.py.
    sa.Column("changes", sa.Integer, nullable=False, server_default="0"),
    sa.Column("changed_on", sa.String(64), nullable=False, server_default=""),
    sa.UniqueConstraint("project_id", "name"),
)

# The head of each branch as last seen. `sequence` counts the branch's pushes.
branch = sa.Table(
    "branch",
    metadata,
    sa.Column("repository_id", sa.ForeignKey("repository.id"), primary_key=True),
    sa.Column("name", NAME, primary_key=True),
    sa.Column("commit", sa.String(64), nullable=False),  # Empty: the branch was deleted.
    sa.Column("sequence", sa.Integer, nullable=False),
)


@dataclass(frozen=True, slots=True)
class Repository:
    """`size_bytes` is what it took on disk at its last push. `changes` is odd while one is made, by the host
    `changed_on`.
    """

    id: str
    project_id: str
    project_name: str
    name: str
    created_at: datetime
    push_begun_at: datetime | None = None
    size_bytes: int = 0
    changes: int = 0
    changed_on: str = ""


@dataclass(frozen=True, slots=True)
class RepositoryCopy:
    id: str
    project_id: str
    name: str
    changes: int
    changed_on: str


@dataclass(frozen=True, slots=True)
class Branch:
    name: str
    commit: str
    sequence: int


def ensure(connection: Connection, wanted: Repository) -> Repository:
    """The project's repository of that name; `wanted` itself when there was none."""
    found = find(connection, wanted.project_id, wanted.name)
    if found is not None:
        return found
    row = {name: getattr(wanted, name) for name in repository.c.keys()}  # noqa: SIM118 - columns
    connection.execute(sa.insert(repository).values(**row))
    return wanted


def find(connection: Connection, project_id: str, name: str) -> Repository | None:
    matches = (repository.c.project_id == project_id) & (repository.c.name == name)
    return fetch_one(connection, sa.select(repository).where(matches), Repository)


def get(connection: Connection, id: str) -> Repository | None:
    return fetch_one(connection, sa.select(repository).where(repository.c.id == id), Repository)


def note_push(connection: Connection, id: str, begun_at: datetime | None) -> None:
    """A push has begun, or None: its answer has been heard."""
    matches = repository.c.id == id
    connection.execute(sa.update(repository).where(matches).values(push_begun_at=begun_at))


def names(connection: Connection, ids: Iterable[str]) -> dict[str, str]:
    query = sa.select(repository.c.id, repository.c.name).where(repository.c.id.in_(list(ids)))
    return {row.id: row.name for row in connection.execute(query)}


def list_all(connection: Connection) -> list[Repository]:
    return fetch(connection, sa.select(repository).order_by(repository.c.id), Repository)


def list_of_project(connection: Connection, project_id: str) -> list[Repository]:
    query = sa.select(repository).where(repository.c.project_id == project_id)
    return fetch(connection, query.order_by(repository.c.name), Repository)


def set_size(connection: Connection, id: str, size_bytes: int) -> None:
    matches = repository.c.id == id
    connection.execute(sa.update(repository).where(matches).values(size_bytes=size_bytes))


def begin_change(connection: Connection, id: str, host: str) -> int:
    """The change's number, above that of every one before, also of one that never ended."""
    before = connection.execute(
        sa.select(repository.c.changes).where(repository.c.id == id)
    ).scalar_one()
    number = int(before) + 1 + int(before) % 2
    values = {"changes": number, "changed_on": host}
    connection.execute(sa.update(repository).where(repository.c.id == id).values(**values))
    return number


def end_change(connection: Connection, id: str, host: str, number: int) -> bool:
    """False where another host has begun one meanwhile."""
    matches = (repository.c.id == id) & (repository.c.changes == number)
    ours = matches & (repository.c.changed_on == host)
    done = connection.execute(sa.update(repository).where(ours).values(changes=number + 1))
    return done.rowcount > 0


def list_copies(connection: Connection) -> list[RepositoryCopy]:
    """What control hosts are to have, which is all that they may read."""
    columns = (getattr(repository.c, item.name) for item in fields(RepositoryCopy))
    return fetch(connection, sa.select(*columns).order_by(repository.c.id), RepositoryCopy)


def list_branches(connection: Connection, id: str) -> list[Branch]:
    columns = (branch.c.name, branch.c.commit, branch.c.sequence)
    query = sa.select(*columns).where(branch.c.repository_id == id).order_by(branch.c.name)
    return fetch(connection, query, Branch)


def get_branch(connection: Connection, id: str, name: str) -> Branch | None:
    columns = (branch.c.name, branch.c.commit, branch.c.sequence)
    matches = (branch.c.repository_id == id) & (branch.c.name == name)
    return fetch_one(connection, sa.select(*columns).where(matches), Branch)


def set_branch(connection: Connection, id: str, head: Branch) -> None:
    matches = (branch.c.repository_id == id) & (branch.c.name == head.name)
    values = {"commit": head.commit, "sequence": head.sequence}
    if connection.execute(sa.update(branch).where(matches).values(**values)).rowcount == 0:
        connection.execute(sa.insert(branch).values(repository_id=id, name=head.name, **values))
