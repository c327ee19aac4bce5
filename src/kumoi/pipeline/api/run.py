"""Runs, for people and the command line. A project sees its own; another's are not found."""

from __future__ import annotations

from typing import Any

from anyio import to_thread
from sqlalchemy.engine import Connection

from kumoi.base.errors import NotFound
from kumoi.engine import audit
from kumoi.engine import flow as flows
from kumoi.engine.http.request import Reply
from kumoi.pipeline import new_run, report
from kumoi.pipeline.api import environment as environment_api
from kumoi.pipeline.api.request import Request, number
from kumoi.pipeline.store import environment, log, repository, result, run

WAIT_MAX_S = 30
OFFSET_MAX = 1 << 40


def list_(request: Request) -> Reply:
    """Newest first."""
    limit = number(request, "limit", 50, run.LIST_MAX)
    with request.read() as connection:
        found = run.list_of_project(connection, request.caller.project_id, limit=limit)
        return Reply(200, {"runs": [_render(connection, each) for each in found]})


def show(request: Request) -> Reply:
    with request.read() as connection:
        found = _find(connection, request)
        results = result.list_of_run(connection, found.id)
        rendered = _render(connection, found)
    rendered["results"] = [
        {"stage": each.stage, "passed": each.passed, "reason": each.reason, "checks": each.checks}
        for each in results
    ]
    return Reply(200, {"run": rendered})


async def read_log(request: Request) -> Reply:
    """The log from `offset` on. With `wait_s` the answer is held back until there is more of it,
    the run is at another stage than `stage`, or it has ended.
    """
    offset = number(request, "offset", 0, OFFSET_MAX)
    wait_s = number(request, "wait_s", 0, WAIT_MAX_S)
    stage = request.query.get("stage", "")
    clock, alarm = request.services.clock, request.services.alarm
    deadline_s = clock.monotonic() + wait_s
    while True:
        count = alarm.count
        found, text = await to_thread.run_sync(_read_log, request, offset)
        left_s = deadline_s - clock.monotonic()
        at_another_stage = bool(stage) and found.stage != stage
        if text or at_another_stage or found.ended_at is not None or left_s <= 0:
            break
        await alarm.wait(left_s, after=count)
    return Reply(
        200,
        {
            "text": text,
            "next_offset": offset + len(text),
            "status": found.status,
            "stage": found.stage,
            "stages": found.stages,
            "waits_for": found.waits_for,
        },
    )


def junit(request: Request) -> Reply:
    with request.read() as connection:
        found = _find(connection, request)
        text = report.junit(found, result.list_of_run(connection, found.id))
    return Reply(200, text.encode(), media_type="application/xml")


def cancel(request: Request) -> Reply:
    """End a run that goes on; what it built is taken back. One that has ended stays as it is."""
    with request.write() as connection:
        found = _find(connection, request)
        request.caller.check("kumoi:run:cancel", found.project_id)
        flows.cancel(connection, found.id, "somebody asked for it")
        audit.about(found.id)
        return Reply(202, {"run": _render(connection, found)})


def retry(request: Request) -> Reply:
    """Begin a run of the same commit and branch, which acts as whoever pushed it."""
    with request.read() as connection:
        before = _find(connection, request)
        owner = repository.get(connection, before.repository_id)
    request.caller.check("kumoi:run:retry", before.project_id)
    if owner is None:
        raise NotFound("run", before.id)
    where = (owner.project_id, owner.name, before.commit)
    wanted = request.services.repositories.read_file(*where).of_branch(before.branch)
    with request.write() as connection:
        now = request.services.clock.now()
        new = new_run.retry(connection, request.services.cloud, before, wanted, now)
        audit.about(new.id)
        return Reply(202, {"run": _render(connection, new)})


def _read_log(request: Request, offset: int) -> tuple[run.Run, str]:
    with request.read() as connection:
        found = _find(connection, request)
        return found, log.read(connection, found.id, offset=offset)


def _find(connection: Connection, request: Request) -> run.Run:
    key = request.path["id"]
    found = run.get(connection, key)
    if found is None:
        raise NotFound("run", key)
    request.caller.require("kumoi:run:show", "run", key, found.project_id)
    return found


def _render(connection: Connection, found: run.Run) -> dict[str, Any]:
    owner = repository.get(connection, found.repository_id)
    name = owner.name if owner else ""
    built = environment.of_run(connection, found)
    return {
        "id": found.id,
        "repository": name,
        "branch": found.branch,
        "commit": found.commit,
        "owner": found.owner,
        "status": found.status,
        "stage": found.stage,
        "stages": found.stages,
        "waits_for": found.waits_for,
        "reason": found.reason,
        "created_at": found.created_at,
        "ended_at": found.ended_at,
        "environment": environment_api.render(built, found.commit, name) if built else None,
    }
