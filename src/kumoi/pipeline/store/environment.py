"""Environments: the servers and network that a run builds, until they are deleted."""

from __future__ import annotations

import enum
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from kumoi.engine.schema import Json, Timestamp
from kumoi.pipeline.store.run import Run
from kumoi.pipeline.store.schema import ID, NAME, fetch, fetch_one, metadata

LIST_MAX = 200

environment = sa.Table(
    "environment",
    metadata,
    sa.Column("id", ID, primary_key=True),
    sa.Column("run_id", sa.ForeignKey("run.id"), nullable=False, unique=True),
    sa.Column("repository_id", sa.ForeignKey("repository.id"), nullable=False),
    sa.Column("project_id", sa.String(64), nullable=False, index=True),
    sa.Column("branch", NAME, nullable=False),
    sa.Column("wanted", Json, nullable=False),
    sa.Column("status", sa.String(16), nullable=False, index=True),
    sa.Column("url", sa.Text, nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("deletions", sa.Integer, nullable=False),
    sa.Column("created_at", Timestamp, nullable=False),
    sa.Column("expires_at", Timestamp, nullable=False),
    sa.Column("ended_at", Timestamp, nullable=True),
    sa.Column("swept_at", Timestamp, nullable=True),
    sa.Column("name", NAME, nullable=False, server_default=""),
    sa.Column("current_run_id", ID, nullable=True),
    sa.Column("disk_gib", sa.Integer, nullable=False, server_default="0"),
    sa.Column("addresses", Json, nullable=True),
)


class EnvironmentStatus(enum.StrEnum):
    """LIVE from the moment its run begins: whatever it has must one day be deleted."""

    LIVE = "live"
    DELETING = "deleting"
    DELETED = "deleted"


@dataclass(frozen=True, slots=True)
class Environment:
    """`wanted` is kumoi.yaml as parsed, of its newest run. `run_id` is the run that made it, `name` what
    the file calls it. `reason` is why it is deleted, or cannot be; `deletions`
    counts the attempts. `disk_gib` is what its servers' flavors have, from its build on; `addresses` are by
    short names. `swept_at` is when the sweeper, after the deletion, found nothing of it.
    """

    id: str
    run_id: str
    repository_id: str
    project_id: str
    branch: str
    wanted: dict[str, Any]
    status: str
    url: str
    reason: str
    deletions: int
    created_at: datetime
    expires_at: datetime
    ended_at: datetime | None = None
    swept_at: datetime | None = None
    name: str = ""
    current_run_id: str | None = None
    disk_gib: int = 0
    addresses: dict[str, str] | None = None

    @property
    def newest_run_id(self) -> str:
        """The last run that changed it, or the one that made it."""
        return self.current_run_id or self.run_id


def add(connection: Connection, new: Environment) -> None:
    row = {item.name: getattr(new, item.name) for item in fields(Environment)}
    connection.execute(sa.insert(environment).values(**row))


def get(connection: Connection, id: str) -> Environment | None:
    query = sa.select(environment).where(environment.c.id == id)
    return fetch_one(connection, query, Environment)


def of_run(connection: Connection, found: Run | None) -> Environment | None:
    """The environment that a run works on."""
    if found is None or found.environment_id is None:
        return get_of_run(connection, found.id) if found else None
    return get(connection, found.environment_id)


def get_of_run(connection: Connection, run_id: str) -> Environment | None:
    """The one that the run made."""
    query = sa.select(environment).where(environment.c.run_id == run_id)
    return fetch_one(connection, query, Environment)


def list_of_project(
    connection: Connection, project_id: str, *, with_deleted: bool = False
) -> list[Environment]:
    """Newest first."""
    query = sa.select(environment).where(environment.c.project_id == project_id)
    if not with_deleted:
        query = query.where(environment.c.status != EnvironmentStatus.DELETED)
    newest = query.order_by(environment.c.created_at.desc(), environment.c.id)
    return fetch(connection, newest.limit(LIST_MAX), Environment)


def list_there(connection: Connection, project_id: str) -> list[Environment]:
    """Those of a project that are not deleted: what counts towards its limits."""
    there = (environment.c.project_id == project_id) & (
        environment.c.status != EnvironmentStatus.DELETED
    )
    return fetch(connection, sa.select(environment).where(there), Environment)


def set_disk(connection: Connection, id: str, disk_gib: int) -> None:
    connection.execute(
        sa.update(environment).where(environment.c.id == id).values(disk_gib=disk_gib)
    )


def list_live_of_branch(
    connection: Connection, repository_id: str, branch: str
) -> list[Environment]:
    of_branch = (environment.c.repository_id == repository_id) & (environment.c.branch == branch)
    live = sa.select(environment).where(of_branch, environment.c.status == EnvironmentStatus.LIVE)
    return fetch(connection, live.order_by(environment.c.created_at), Environment)


def list_expired(connection: Connection, now: datetime) -> list[Environment]:
    """Live ones whose time to live is over."""
    expired = (environment.c.status == EnvironmentStatus.LIVE) & (environment.c.expires_at <= now)
    return fetch(connection, sa.select(environment).where(expired).limit(LIST_MAX), Environment)


def list_deleting(connection: Connection) -> list[Environment]:
    query = sa.select(environment).where(environment.c.status == EnvironmentStatus.DELETING)
    return fetch(connection, query.limit(LIST_MAX), Environment)


def list_unswept(connection: Connection, ended_before: datetime) -> list[Environment]:
    """Deleted ones whose leftovers the sweeper has not looked for since."""
    unswept = (environment.c.swept_at.is_(None)) & (environment.c.ended_at <= ended_before)
    return fetch(connection, sa.select(environment).where(unswept).limit(LIST_MAX), Environment)


def set_run(
    connection: Connection, id: str, run_id: str, wanted: dict[str, Any], expires_at: datetime
) -> None:
    """A newer run goes on with it."""
    values = {"current_run_id": run_id, "wanted": wanted, "expires_at": expires_at}
    connection.execute(sa.update(environment).where(environment.c.id == id).values(**values))


def set_expiry(connection: Connection, id: str, expires_at: datetime) -> None:
    values = {"expires_at": expires_at}
    connection.execute(sa.update(environment).where(environment.c.id == id).values(**values))


def set_url(connection: Connection, id: str, url: str, addresses: dict[str, str]) -> None:
    """`addresses` are those of servers and balancers, by their short names."""
    values = {"url": url, "addresses": addresses}
    connection.execute(sa.update(environment).where(environment.c.id == id).values(**values))


def set_deleting(connection: Connection, id: str, reason: str, deletions: int) -> None:
    values = {"status": EnvironmentStatus.DELETING, "reason": reason, "deletions": deletions}
    connection.execute(sa.update(environment).where(environment.c.id == id).values(**values))


def set_reason(connection: Connection, id: str, reason: str) -> None:
    connection.execute(sa.update(environment).where(environment.c.id == id).values(reason=reason))


def set_deleted(connection: Connection, id: str, now: datetime) -> None:
    values = {"status": EnvironmentStatus.DELETED, "ended_at": now}
    not_yet = (environment.c.id == id) & (environment.c.status != EnvironmentStatus.DELETED)
    connection.execute(sa.update(environment).where(not_yet).values(**values))


def set_swept(connection: Connection, id: str, now: datetime) -> None:
    connection.execute(sa.update(environment).where(environment.c.id == id).values(swept_at=now))
