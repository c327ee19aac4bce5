"""Runners: the secrets each authenticates with, and its job."""

from __future__ import annotations

from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from kumoi.engine.schema import Json, Timestamp
from kumoi.pipeline.store.schema import ID, fetch_one, metadata

runner = sa.Table(
    "runner",
    metadata,
    sa.Column("run_id", sa.ForeignKey("run.id"), primary_key=True, type_=ID),
    sa.Column("token", sa.String(64), nullable=False),
    sa.Column("token_hash", sa.String(64), nullable=False, index=True),
    sa.Column("session_hash", sa.String(64), nullable=False, index=True),
    sa.Column("private_key", sa.Text, nullable=False),
    sa.Column("public_key", sa.Text, nullable=False),
    sa.Column("job", Json, nullable=False),
    sa.Column("seen_at", Timestamp, nullable=True),
    sa.Column("script", sa.String(64), nullable=False, server_default=""),
)


@dataclass(frozen=True, slots=True)
class Runner:
    """`token` goes into the runner's user data and is stored until it is claimed; `session_hash` is
    the hash of the secret that the runner chose with its claim. `job` is empty until the servers
    are known, which `private_key` opens by SSH. `script` is the hash of the script it runs
    (script.py).
    """

    run_id: str
    token: str
    token_hash: str
    private_key: str
    public_key: str
    script: str
    session_hash: str = ""
    job: dict[str, Any] | None = None
    seen_at: datetime | None = None


def add(connection: Connection, new: Runner) -> None:
    row = {item.name: getattr(new, item.name) for item in fields(Runner)}
    connection.execute(sa.insert(runner).values(**row))


def get(connection: Connection, run_id: str) -> Runner | None:
    return fetch_one(connection, sa.select(runner).where(runner.c.run_id == run_id), Runner)


def find_by_token(connection: Connection, token_hash: str) -> Runner | None:
    matches = (runner.c.token_hash == token_hash) & (runner.c.token_hash != "")
    return fetch_one(connection, sa.select(runner).where(matches), Runner)


def find_by_session(connection: Connection, session_hash: str) -> Runner | None:
    matches = (runner.c.session_hash == session_hash) & (runner.c.session_hash != "")
    return fetch_one(connection, sa.select(runner).where(matches), Runner)


def set_job(connection: Connection, run_id: str, job: dict[str, Any]) -> None:
    connection.execute(sa.update(runner).where(runner.c.run_id == run_id).values(job=job))


def set_session(connection: Connection, run_id: str, session_hash: str) -> None:
    values = {"session_hash": session_hash, "token": ""}
    connection.execute(sa.update(runner).where(runner.c.run_id == run_id).values(**values))


def set_first_session(connection: Connection, run_id: str, session_hash: str) -> bool:
    """Where it has none yet and its run goes on."""
    mine = (runner.c.run_id == run_id) & (runner.c.session_hash == "") & runner.c.job.is_not(None)
    values = {"session_hash": session_hash, "token": ""}
    return connection.execute(sa.update(runner).where(mine).values(**values)).rowcount == 1


def set_seen(connection: Connection, run_id: str, now: datetime) -> None:
    connection.execute(sa.update(runner).where(runner.c.run_id == run_id).values(seen_at=now))


def forget_secrets(connection: Connection, run_id: str, *, keep_session: bool) -> None:
    """Once the run has ended, neither its tokens nor its key open anything. The runner of a kept
    environment may ask by its session for the next job, and for nothing else.
    """
    values: dict[str, Any] = {"token": "", "token_hash": "", "private_key": "", "job": None}
    values |= {} if keep_session else {"session_hash": ""}
    connection.execute(sa.update(runner).where(runner.c.run_id == run_id).values(**values))
