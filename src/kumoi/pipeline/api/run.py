"""Runs, for people and the command line. A project sees its own; another's are not found."""

from __future__ import annotations

import contextlib
import functools
from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy.engine import Connection

from kumoi.base.errors import NotFound, Transient
from kumoi.engine import audit
from kumoi.engine import flow as flows
from kumoi.engine.http.request import Reply
from kumoi.pipeline import new_run, report, run_report
from kumoi.pipeline import report_page as html
from kumoi.pipeline.api import environment as environment_api
from kumoi.pipeline.api.request import Request, number
from kumoi.pipeline.run_report import RunReport
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
    look, project_id = functools.partial(_read_log, request, offset), request.caller.project_id
    deadline_s = clock.monotonic() + wait_s
    while True:
        count = alarm.count
        found, text = await request.services.look_turns.run(project_id, look)
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


def show_report(request: Request) -> Reply:
    """All that there is to say of it, as JSON."""
    return Reply(200, {"report": msgspec.to_builtins(_report(request), builtin_types=(datetime,))})


def report_page(request: Request) -> Reply:
    """The same for people; by a token, or where the path names the project, by git's login."""
    page = html.report(_report(request))
    return Reply(200, page.encode(), html.HEADERS, media_type=html.MEDIA_TYPE)


def _report(request: Request) -> RunReport:
    with request.read() as connection:
        found = _find(connection, request)
        owner = repository.get(connection, found.repository_id)
        results = result.list_of_run(connection, found.id)
        built = environment.of_run(connection, found)
        before = run.last_verified(connection, found)
    changes = None
    if owner is not None:
        since = before.commit if before is not None else ""
        with contextlib.suppress(Transient):  # Git may have one of the commits no more.
            where = (owner.project_id, owner.name)
            changes = request.services.repositories.changes(*where, since, found.commit)
    return run_report.make(
        found,
        results,
        built,
        changes,
        now=request.services.clock.now(),
        project=owner.project_name if owner else "",
        repository=owner.name if owner else "",
        lasting_url=environment_api.lasting_url(request, built.id) if built else "",
    )


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
    request.services.copies.require_here(owner)
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
