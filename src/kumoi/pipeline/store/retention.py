"""What is forgotten: logs, then runs with all that is about them, and repositories.

Called by retention.py and the API. An environment's row goes with its run once the sweeper has found
nothing of it.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from kumoi.engine import flow as flows
from kumoi.pipeline.store.delegation import (
    delegation,
    environment_delegation,
)
from kumoi.pipeline.store.environment import EnvironmentStatus, environment
from kumoi.pipeline.store.environment_key import environment_key
from kumoi.pipeline.store.log import log
from kumoi.pipeline.store.repository import branch, repository
from kumoi.pipeline.store.repository_secret import repository_secret
from kumoi.pipeline.store.result import result
from kumoi.pipeline.store.run import run
from kumoi.pipeline.store.runner import runner
from kumoi.pipeline.store.webhook import commit_status, webhook

BATCH = 50
SURPLUS_BATCH = 1_000  # More than begin in the time between two looks.
OF_A_RUN = (commit_status, log, result, runner)  # Each has `run_id`.
OF_A_REPOSITORY = (branch, delegation, environment_delegation, repository_secret)


def list_with_log(connection: Connection, ended_before: datetime) -> list[str]:
    """Runs that ended before then and have a log, oldest first."""
    has_log = sa.exists().where(log.c.run_id == run.c.id)
    query = sa.select(run.c.id).where(run.c.ended_at < ended_before, has_log)
    return list(connection.execute(query.order_by(run.c.ended_at).limit(BATCH)).scalars())


def projects_over(connection: Connection, most: int) -> dict[str, int]:
    """By how much the logs of a project are larger than that, in characters."""
    size = sa.func.sum(run.c.log_size)
    query = sa.select(run.c.project_id, size.label("size")).group_by(run.c.project_id)
    rows = connection.execute(query.having(size > most)).all()
    return {row.project_id: int(row.size) - most for row in rows}


def list_oldest_logs(connection: Connection, project_id: str) -> list[tuple[str, int]]:
    """Runs of a project that have ended and have a log, oldest first, each with its size."""
    mine = (run.c.project_id == project_id) & run.c.ended_at.is_not(None) & (run.c.log_size > 0)
    query = sa.select(run.c.id, run.c.log_size).where(mine).order_by(run.c.ended_at)
    return [(row.id, row.log_size) for row in connection.execute(query.limit(BATCH))]


def list_expired(connection: Connection, ended_before: datetime) -> list[str]:
    """Runs that ended before then and whose environment is no more, oldest first."""
    query = _without_environment().where(run.c.ended_at < ended_before)
    return list(connection.execute(query.limit(BATCH)).scalars())


def list_surplus(connection: Connection, most: int) -> list[str]:
    """The oldest runs of each project that has more than so many that have ended, but for those whose
    environment is there.
    """
    count = sa.func.count()
    query = sa.select(run.c.project_id, count.label("has")).where(run.c.ended_at.is_not(None))
    over = query.group_by(run.c.project_id).having(count > most)
    found: list[str] = []
    for project_id, has in connection.execute(over).all():
        mine = _without_environment().where(run.c.project_id == project_id)
        found += connection.execute(mine.limit(min(has - most, SURPLUS_BATCH))).scalars()
    return found


def _without_environment() -> sa.Select[Any]:
    """Ended runs whose environment is no more, oldest first."""
    there = sa.exists().where(
        (environment.c.run_id == run.c.id) | (environment.c.current_run_id == run.c.id),
        (environment.c.status != EnvironmentStatus.DELETED) | environment.c.swept_at.is_(None),
    )
    ended = sa.select(run.c.id).where(run.c.ended_at.is_not(None), ~there)
    return ended.order_by(run.c.ended_at)


def forget_log(connection: Connection, run_id: str) -> None:
    connection.execute(sa.delete(log).where(log.c.run_id == run_id))
    connection.execute(sa.update(run).where(run.c.id == run_id).values(log_size=0))


def forget_run(connection: Connection, run_id: str) -> None:
    """One that `list_expired` names."""
    of_it = (environment.c.run_id == run_id) | (environment.c.current_run_id == run_id)
    made = list(connection.execute(sa.select(environment.c.id).where(of_it)).scalars())
    for table in OF_A_RUN:
        connection.execute(sa.delete(table).where(table.c.run_id == run_id))
    connection.execute(sa.delete(environment).where(of_it))
    connection.execute(sa.delete(run).where(run.c.id == run_id))
    for subject in (run_id, *made):
        flows.forget(connection, subject)


def in_use(connection: Connection, repository_id: str) -> str:
    """What keeps a repository from being deleted, in words; empty: nothing does."""
    mine = environment.c.repository_id == repository_id
    there = sa.select(environment.c.id).where(mine, environment.c.status == EnvironmentStatus.LIVE)
    live = connection.execute(there.limit(1)).scalar()
    if live is not None:
        return f"environment {live} was made of it: delete that first"
    fed = sa.select(webhook.c.id).where(webhook.c.repository_id == repository_id)
    feeding = connection.execute(fed.limit(1)).scalar()
    if feeding is not None:
        return f"webhook {feeding} feeds it: delete that first"
    unswept = sa.select(environment.c.id).where(mine, environment.c.swept_at.is_(None))
    going = connection.execute(unswept.limit(1)).scalar()
    return f"environment {going} is being deleted: try again in a minute or two" if going else ""


def runs_with_log(connection: Connection, repository_id: str) -> list[str]:
    query = sa.select(run.c.id).where(run.c.repository_id == repository_id, run.c.log_size > 0)
    return list(connection.execute(query).scalars())


def forget_repository(connection: Connection, repository_id: str) -> None:
    """With its runs. Nothing is in use (`in_use`)."""
    runs = sa.select(run.c.id).where(run.c.repository_id == repository_id)
    environments = sa.select(environment.c.id).where(environment.c.repository_id == repository_id)
    flows.forget_each(connection, runs)
    flows.forget_each(connection, environments)
    for table in OF_A_RUN:
        connection.execute(sa.delete(table).where(table.c.run_id.in_(runs)))
    keys = environment_key.c.environment_id.in_(environments)
    connection.execute(sa.delete(environment_key).where(keys))
    for table in (*OF_A_REPOSITORY, environment, run):
        connection.execute(sa.delete(table).where(table.c.repository_id == repository_id))
    connection.execute(sa.delete(repository).where(repository.c.id == repository_id))
