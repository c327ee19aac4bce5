"""Runs, for people and the command line. A project sees its own; another's are not found."""

from __future__ import annotations

from typing import Any

from sqlalchemy.engine import Connection
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from kumoi.base.errors import NotFound
from kumoi.pipeline import report
from kumoi.pipeline.api import environment as environment_api
from kumoi.pipeline.api.app import Asked, json
from kumoi.pipeline.store import environment, log, repository, result, run

WAIT_MAX_S = 30
OFFSET_MAX = 1 << 40


def list_(asked: Asked) -> Response:
    """Newest first."""
    limit = asked.number("limit", 50, run.LIST_MAX)
    with asked.pipeline.database.read() as connection:
        found = run.list_of_project(connection, asked.member().project_id, limit=limit)
        return json({"runs": [_render(connection, each) for each in found]})


def show(asked: Asked) -> Response:
    with asked.pipeline.database.read() as connection:
        found = _find(connection, asked)
        results = result.list_of_run(connection, found.id)
        rendered = _render(connection, found)
    rendered["results"] = [
        {"stage": each.stage, "passed": each.passed, "reason": each.reason, "checks": each.checks}
        for each in sorted(results, key=lambda one: report.ORDER.index(run.Stage(one.stage)))
    ]
    return json({"run": rendered})


async def read_log(asked: Asked) -> Response:
    """The log from `offset` on. With `wait_s`, wait for more of it, for another stage than
    `stage`, or for the end.
    """
    offset = asked.number("offset", 0, OFFSET_MAX)
    wait_s = asked.number("wait_s", 0, WAIT_MAX_S)
    stage = asked.http.query_params.get("stage", "")
    clock, alarm = asked.pipeline.clock, asked.pipeline.alarm
    until_s = clock.monotonic() + wait_s
    while True:
        seen = alarm.count
        found, text = await run_in_threadpool(_read_log, asked, offset)
        left_s = until_s - clock.monotonic()
        moved = bool(stage) and found.stage != stage
        if text or moved or found.ended_at is not None or left_s <= 0:
            break
        await alarm.wait(left_s, after=seen)
    return json(
        {
            "text": text,
            "next_offset": offset + len(text),
            "status": found.status,
            "stage": found.stage,
            "stages": found.stages,
            "waits_for": found.waits_for,
        }
    )


def junit(asked: Asked) -> Response:
    with asked.pipeline.database.read() as connection:
        found = _find(connection, asked)
        text = report.junit(found, result.list_of_run(connection, found.id))
    return Response(text, media_type="application/xml")


def _read_log(asked: Asked, offset: int) -> tuple[run.Run, str]:
    with asked.pipeline.database.read() as connection:
        found = _find(connection, asked)
        return found, log.read(connection, found.id, offset=offset)


def _find(connection: Connection, asked: Asked) -> run.Run:
    id = asked.http.path_params["id"]  # noqa: A001 - the path's own word
    found = run.get(connection, id)
    if found is None or found.project_id != asked.member().project_id:
        raise NotFound("run", id)
    return found


def _render(connection: Connection, found: run.Run) -> dict[str, Any]:
    owner = repository.get(connection, found.repository_id)
    lived = environment.get_of_run(connection, found.id)
    return {
        "id": found.id,
        "repository": owner.name if owner else "",
        "branch": found.branch,
        "commit": found.commit,
        "status": found.status,
        "stage": found.stage,
        "stages": found.stages,
        "waits_for": found.waits_for,
        "reason": found.reason,
        "created_at": found.created_at,
        "ended_at": found.ended_at,
        "environment": environment_api.render(lived, found.commit) if lived else None,
    }
