"""Runs: what was made of each push."""

from __future__ import annotations

import enum
from collections.abc import Iterable
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from kumoi.engine.schema import Json, Timestamp
from kumoi.pipeline.stage import Stage
from kumoi.pipeline.store.schema import ID, NAME, fetch, fetch_one, metadata

LIST_MAX = 200

run = sa.Table(
    "run",
    metadata,
    sa.Column("id", ID, primary_key=True),
    sa.Column("repository_id", sa.ForeignKey("repository.id"), nullable=False),
    sa.Column("project_id", sa.String(64), nullable=False, index=True),
    sa.Column("branch", NAME, nullable=False),
    sa.Column("commit", sa.String(64), nullable=False),
    sa.Column("sequence", sa.Integer, nullable=False),
    sa.Column("status", sa.String(16), nullable=False),
    sa.Column("stage", sa.String(16), nullable=False),
    sa.Column("waits_for", sa.Text, nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("stages", Json, nullable=False),
    sa.Column("created_at", Timestamp, nullable=False),
    sa.Column("ended_at", Timestamp, nullable=True),
    sa.Column("environment_id", ID, nullable=True, index=True),
    sa.Column("owner", NAME, nullable=False, server_default=""),
    sa.Column("is_queued", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Column("admitted_at", Timestamp, nullable=True),
    sa.Column("log_size", sa.Integer, nullable=False, server_default="0"),
    sa.UniqueConstraint("repository_id", "branch", "sequence"),
)


class RunStatus(enum.StrEnum):
    """FAILED says in which stage and why. CANCELLED: a newer push, or somebody, ended it."""

    RUNNING = "running"
    VERIFIED = "verified"
    FAILED = "failed"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True)
class Run:
    """`stages` is a list of {"name", "began_at", "ended_at"}, times as ISO text. `owner` is the user
    who pushed. `environment_id` is None where the environment was made by a release before 0.3.
    `is_queued` is whether it waits for its turn, which came at `admitted_at` (queue.py). `log_size`
    is in characters.
    """

    id: str
    repository_id: str
    project_id: str
    branch: str
    commit: str
    sequence: int
    status: str
    stage: str
    waits_for: str
    reason: str
    stages: list[dict[str, Any]]
    created_at: datetime
    ended_at: datetime | None = None
    environment_id: str | None = None
    owner: str = ""
    is_queued: bool = False
    admitted_at: datetime | None = None
    log_size: int = 0


def add(connection: Connection, new: Run) -> None:
    row = {item.name: getattr(new, item.name) for item in fields(Run)}
    connection.execute(sa.insert(run).values(**row))


def get(connection: Connection, id: str) -> Run | None:
    return fetch_one(connection, sa.select(run).where(run.c.id == id), Run)


def list_of_project(connection: Connection, project_id: str, *, limit: int = LIST_MAX) -> list[Run]:
    """Newest first."""
    query = sa.select(run).where(run.c.project_id == project_id)
    newest = query.order_by(run.c.created_at.desc(), run.c.id).limit(min(limit, LIST_MAX))
    return fetch(connection, newest, Run)


def find_of_push(
    connection: Connection, repository_id: str, branch: str, commit: str
) -> Run | None:
    """The newest run of that commit on that branch."""
    of_branch = (run.c.repository_id == repository_id) & (run.c.branch == branch)
    query = sa.select(run).where(of_branch, run.c.commit == commit)
    return fetch_one(connection, query.order_by(run.c.sequence.desc()).limit(1), Run)


def list_since(
    connection: Connection, repository_id: str, since: datetime, *, limit: int
) -> list[Run]:
    """The repository's newest runs that began then or later, newest first."""
    of_repository = (run.c.repository_id == repository_id) & (run.c.created_at >= since)
    query = sa.select(run).where(of_repository).order_by(run.c.created_at.desc(), run.c.id)
    return fetch(connection, query.limit(limit), Run)


def commits(connection: Connection, ids: Iterable[str]) -> dict[str, str]:
    """The commit of each run."""
    query = sa.select(run.c.id, run.c.commit).where(run.c.id.in_(list(ids)))
    return {row.id: row.commit for row in connection.execute(query)}


def list_older(connection: Connection, newer: Run) -> list[Run]:
    """Runs of the same branch that came before, oldest first."""
    of_branch = (run.c.repository_id == newer.repository_id) & (run.c.branch == newer.branch)
    query = sa.select(run).where(of_branch, run.c.sequence < newer.sequence)
    return fetch(connection, query.order_by(run.c.sequence), Run)


def last_verified(connection: Connection, before: Run) -> Run | None:
    """The newest verified run of the same branch that came before."""
    of_branch = (run.c.repository_id == before.repository_id) & (run.c.branch == before.branch)
    is_good = (run.c.status == RunStatus.VERIFIED) & (run.c.sequence < before.sequence)
    query = sa.select(run).where(of_branch, is_good).order_by(run.c.sequence.desc()).limit(1)
    return fetch_one(connection, query, Run)


def list_running(connection: Connection) -> list[Run]:
    """Those of all projects that have not ended, the queued ones included, oldest first."""
    query = sa.select(run).where(run.c.status == RunStatus.RUNNING)
    return fetch(connection, query.order_by(run.c.created_at, run.c.id), Run)


def log_size(connection: Connection, project_id: str) -> int:
    """Of all of a project's runs, in characters."""
    query = sa.select(sa.func.sum(run.c.log_size)).where(run.c.project_id == project_id)
    return int(connection.execute(query).scalar() or 0)


def admit(connection: Connection, id: str, now: datetime) -> None:
    """Its turn has come."""
    values = {"is_queued": False, "admitted_at": now}
    connection.execute(sa.update(run).where(run.c.id == id).values(**values))


def enter(connection: Connection, id: str, stage: Stage, waits_for: str, now: datetime) -> None:
    """Begin a stage, and end the one before. Does nothing once the run has ended."""
    found = get(connection, id)
    if found is None or found.status != RunStatus.RUNNING:
        return
    stages = found.stages
    if not stages or stages[-1]["name"] != stage:
        stages = [*_closed(stages, now), {"name": stage, "began_at": now.isoformat()}]
    values = {"stage": stage, "stages": stages, "waits_for": waits_for}
    connection.execute(sa.update(run).where(run.c.id == id).values(**values))


def end(
    connection: Connection,
    id: str,
    status: RunStatus,
    reason: str,
    now: datetime,
    *,
    before: Stage | None = None,
) -> bool:
    """End the run; false when it had ended before. It ended in the stage that it is in, or in the last one
    that is not `before`, which only tells of it.
    """
    found = get(connection, id)
    if found is None or found.status != RunStatus.RUNNING:
        return False
    stage = [found.stage, *(each["name"] for each in found.stages if each["name"] != before)][-1]
    values = {"status": status, "reason": reason, "waits_for": "", "ended_at": now, "stage": stage}
    stages = _closed(found.stages, now)
    connection.execute(sa.update(run).where(run.c.id == id).values(stages=stages, **values))
    return True


def _closed(stages: list[dict[str, Any]], now: datetime) -> list[dict[str, Any]]:
    if not stages or stages[-1].get("ended_at"):
        return stages
    return [*stages[:-1], {**stages[-1], "ended_at": now.isoformat()}]
