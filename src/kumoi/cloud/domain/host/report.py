"""What a host says of its servers becomes what they are.

A report counts only from the server's own host and when no newer one has been seen; whatever else
a host has, it is told to remove. Nothing here touches what is wanted.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy.engine import Connection

from kumoi.base import log
from kumoi.cloud.domain.compute import action, server_delete, status
from kumoi.cloud.hostapi.messages import Power, Report, State
from kumoi.cloud.store.compute import server as store
from kumoi.cloud.store.compute.server import Server
from kumoi.cloud.store.host import host as host_store
from kumoi.engine import feed

FAULT_MAX = 2_000


def take(connection: Connection, host_id: str, report: Report, now: datetime) -> None:
    """Write what the report says, or tell the host that the server is not its own."""
    row = store.get(connection, report.server_id)
    topic = host_store.topic(host_id)
    if row is None or row.deleted or row.host_id != host_id:
        if report.state == State.ABSENT:
            feed.forget(connection, topic, report.server_id)
        else:
            feed.touch(connection, topic, report.server_id)
        return
    if report.generation < row.observed_generation or report.generation > row.generation:
        return
    if report.state == State.ABSENT:
        if row.power == Power.ABSENT:
            server_delete.finish(connection, row, now)
            feed.forget(connection, topic, row.id)
        return
    _observe(connection, row, report, now)


def says_news(connection: Connection, host_id: str, report: Report) -> bool:
    """Whether `take` would change anything. Reports come every minute and seldom do."""
    row = store.get(connection, report.server_id)
    if row is None or row.deleted or row.host_id != host_id or report.state == State.ABSENT:
        return True
    said = _observed(report)
    return any(getattr(row, name) != value for name, value in said.items())


def _observe(connection: Connection, row: Server, report: Report, now: datetime) -> None:
    values = _observed(report) | {"updated_at": now}
    if report.state == State.FAILED:
        values["fault_at"] = now if report.fault != row.fault else row.fault_at
    else:
        values["fault_at"] = None
    if row.launched_at is None and report.state in (State.RUNNING, State.STOPPED, State.PAUSED):
        values["launched_at"] = now
        log.event("server.launched", server=row.id, host=row.host_id)
    if not store.observe(connection, row, **values):
        return
    after = store.get(connection, row.id)
    if after is not None and status.of(after).task_state is None:
        action.end(connection, row.id, now, fault=after.fault)
    if report.state == State.FAILED and row.launched_at is None and row.power != Power.ABSENT:
        server_delete.give_back(connection, row, now)


def _observed(report: Report) -> dict[str, Any]:
    fault = report.fault[:FAULT_MAX] or "the host could not make the server and did not say why"
    return {
        "state": report.state.value,
        "observed_generation": report.generation,
        "observed_boot": report.boot,
        "observed_hard_boot": report.hard_boot,
        "observed_build": report.build,
        "fault": fault if report.state == State.FAILED else None,
    }
