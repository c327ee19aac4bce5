"""Environments, for people and the command line. A project sees its own."""

from __future__ import annotations

from typing import Any

from sqlalchemy.engine import Connection

from kumoi.base.errors import NotFound
from kumoi.engine.http.request import Reply
from kumoi.pipeline import deletion
from kumoi.pipeline.api.request import Request, number
from kumoi.pipeline.store import environment, run
from kumoi.pipeline.store.environment import Environment


def list_(request: Request) -> Reply:
    """Newest first; with `all=1` the deleted ones too."""
    with request.read() as connection:
        found = environment.list_of_project(
            connection,
            request.caller.project_id,
            with_deleted=bool(number(request, "all", 0, 1)),
        )
        commits = run.commits(connection, [each.newest_run_id for each in found])
    shown = [render(each, commits[each.newest_run_id]) for each in found]
    return Reply(200, {"environments": shown})


def show(request: Request) -> Reply:
    with request.read() as connection:
        return _answer(connection, _find(connection, request))


def delete(request: Request) -> Reply:
    """Begin to delete it. A repeated request changes nothing."""
    with request.write() as connection:
        found = _find(connection, request)
        request.caller.check("kumoi:environment:delete", found.project_id)
        deletion.request(connection, found, "somebody asked for it")
        return _answer(connection, found, 202)


def render(found: Environment, commit: str) -> dict[str, Any]:
    return {
        "id": found.id,
        "run_id": found.newest_run_id,
        "name": found.name,
        "commit": commit,
        "branch": found.branch,
        "status": found.status,
        "url": found.url,
        "reason": found.reason,
        "created_at": found.created_at,
        "expires_at": found.expires_at,
        "ended_at": found.ended_at,
        "swept_at": found.swept_at,
    }


def _answer(connection: Connection, found: Environment, status: int = 200) -> Reply:
    commit = run.commits(connection, [found.newest_run_id])[found.newest_run_id]
    return Reply(status, {"environment": render(found, commit)})


def _find(connection: Connection, request: Request) -> Environment:
    key = request.path["id"]
    found = environment.get(connection, key)
    if found is None:
        raise NotFound("environment", key)
    request.caller.require("kumoi:environment:show", "environment", key, found.project_id)
    return found
