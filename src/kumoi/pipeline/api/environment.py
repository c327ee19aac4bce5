"""Environments, for people and the command line. A project sees its own."""

from __future__ import annotations

from typing import Any

from sqlalchemy.engine import Connection
from starlette.responses import Response

from kumoi.base.errors import NotFound
from kumoi.pipeline import deletion
from kumoi.pipeline.api.app import Asked, json
from kumoi.pipeline.store import environment, run
from kumoi.pipeline.store.environment import Environment

ACCEPTED = 202


def list_(asked: Asked) -> Response:
    """Newest first; with `all=1` the deleted ones too."""
    with asked.pipeline.database.read() as connection:
        found = environment.list_of_project(
            connection,
            asked.member().project_id,
            with_deleted=bool(asked.number("all", 0, 1)),
        )
        commits = run.commits(connection, [each.run_id for each in found])
    return json({"environments": [render(each, commits[each.run_id]) for each in found]})


def show(asked: Asked) -> Response:
    with asked.pipeline.database.read() as connection:
        return _answer(connection, _find(connection, asked))


def delete(asked: Asked) -> Response:
    """Begin to delete it. Asked for twice is asked for once."""
    now = asked.pipeline.clock.now()
    with asked.pipeline.database.write() as connection:
        found = _find(connection, asked)
        deletion.request(connection, found, "somebody asked for it", now)
        return _answer(connection, found, ACCEPTED)


def render(found: Environment, commit: str) -> dict[str, Any]:
    return {
        "id": found.id,
        "run_id": found.run_id,
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


def _answer(connection: Connection, found: Environment, status: int = 200) -> Response:
    commit = run.commits(connection, [found.run_id])[found.run_id]
    return json({"environment": render(found, commit)}, status)


def _find(connection: Connection, asked: Asked) -> Environment:
    id = asked.http.path_params["id"]  # noqa: A001 - the path's own word
    found = environment.get(connection, id)
    if found is None or found.project_id != asked.member().project_id:
        raise NotFound("environment", id)
    return found
