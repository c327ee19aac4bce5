"""Results: a runner's report of each stage, with its checks."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from kumoi.engine.schema import Json
from kumoi.pipeline.stage import Stage
from kumoi.pipeline.store.schema import ID, fetch, metadata

ORDER = tuple(Stage)

result = sa.Table(
    "result",
    metadata,
    sa.Column("run_id", sa.ForeignKey("run.id"), primary_key=True, type_=ID),
    sa.Column("stage", sa.String(16), primary_key=True),
    sa.Column("passed", sa.Boolean, nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("checks", Json, nullable=False),
)


@dataclass(frozen=True, slots=True)
class Result:
    run_id: str
    stage: str
    passed: bool
    reason: str
    checks: list[dict[str, Any]]


def add(connection: Connection, new: Result) -> bool:
    """The first report of a stage counts; false for another one."""
    seen = (result.c.run_id == new.run_id) & (result.c.stage == new.stage)
    if connection.execute(sa.select(result.c.stage).where(seen)).first():
        return False
    row = {item.name: getattr(new, item.name) for item in fields(Result)}
    connection.execute(sa.insert(result).values(**row))
    return True


def list_of_run(connection: Connection, run_id: str) -> list[Result]:
    """In the order of the stages."""
    query = sa.select(result).where(result.c.run_id == run_id)
    return sorted(fetch(connection, query, Result), key=lambda each: ORDER.index(Stage(each.stage)))
