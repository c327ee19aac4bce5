"""Environments, for people and the command line. A project sees its own."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Annotated, Any

import msgspec
from sqlalchemy.engine import Connection

from kumoi.base.errors import Conflict, NotFound
from kumoi.engine import audit
from kumoi.engine.http.request import Body, Reply
from kumoi.pipeline import deletion
from kumoi.pipeline import report_page as html
from kumoi.pipeline.api.request import Request, number
from kumoi.pipeline.environment import EXTENSION_MIN_S, TTL_MAX_S
from kumoi.pipeline.store import environment, environment_key, run
from kumoi.pipeline.store import repository as repositories
from kumoi.pipeline.store.environment import Environment, EnvironmentStatus

USER = "debian"


class Extension(Body):
    seconds: Annotated[int, msgspec.Meta(ge=EXTENSION_MIN_S, le=TTL_MAX_S)]


def list_(request: Request) -> Reply:
    """Newest first; with `all=1` the deleted ones too."""
    with request.read() as connection:
        found = environment.list_of_project(
            connection,
            request.caller.project_id,
            with_deleted=bool(number(request, "all", 0, 1)),
        )
        commits = run.commits(connection, [each.newest_run_id for each in found])
        names = repositories.names(connection, {each.repository_id for each in found})
    shown = [render(each, commits[each.newest_run_id], names[each.repository_id]) for each in found]
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
        return _answer(connection, _find(connection, request), 202)


def extend(request: Request) -> Reply:
    """Let it live for so much longer, up to TTL_MAX_S from now."""
    longer_s = request.parse(Extension).seconds
    with request.write() as connection:
        found = _find(connection, request)
        request.caller.check("kumoi:environment:extend", found.project_id)
        if found.status != EnvironmentStatus.LIVE:
            raise Conflict(f"environment {found.id} is {found.status}")
        latest = request.services.clock.now() + timedelta(seconds=TTL_MAX_S)
        expires_at = min(found.expires_at + timedelta(seconds=longer_s), latest)
        environment.set_expiry(connection, found.id, expires_at)
        audit.about(found.id)
        return _answer(connection, replace(found, expires_at=expires_at))


def key(request: Request) -> Reply:
    """The SSH key of its servers, for whoever may push there."""
    with request.read() as connection:
        found = _find(connection, request)
        request.caller.check("kumoi:environment:key", found.project_id)
        mine = environment_key.get(connection, found.id)
    if mine is None:
        raise NotFound("key", found.id, message=f"environment {found.id} has no key any more")
    audit.about(found.id)
    return Reply(200, {"key": {"user": USER, "private_key": mine.private_key}})


def visit(request: Request) -> Reply:
    """Lead to an environment's URL for as long as it lives, and then say what stood there, or why there
    is no URL. Whoever knows the link may ask.
    """
    key = request.path["id"]
    with request.read() as connection:
        found = environment.get(connection, key)
        if found is None:
            raise NotFound("environment", key)
        commit = run.commits(connection, [found.newest_run_id])[found.newest_run_id]
        name = repositories.names(connection, {found.repository_id})[found.repository_id]
    if found.status == EnvironmentStatus.LIVE and found.url:
        return Reply(302, headers={"Location": found.url, "Cache-Control": "no-store"})
    if found.status == EnvironmentStatus.LIVE:
        page = html.without_url(found, name, commit)
        return Reply(200, page.encode(), html.HEADERS, media_type=html.MEDIA_TYPE)
    page = html.ended(found, name, commit)
    return Reply(410, page.encode(), html.HEADERS, media_type=html.MEDIA_TYPE)


def lasting_url(request: Request, id: str) -> str:
    """A link to the environment that answers also when it has ended."""
    return f"{request.services.cloud.pipeline_url}/e/{id}"


def render(found: Environment, commit: str, repository: str) -> dict[str, Any]:
    return {
        "id": found.id,
        "run_id": found.newest_run_id,
        "name": found.name,
        "commit": commit,
        "branch": found.branch,
        "repository": repository,
        "wanted": found.wanted,
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
    name = repositories.names(connection, {found.repository_id})[found.repository_id]
    return Reply(status, {"environment": render(found, commit, name)})


def _find(connection: Connection, request: Request) -> Environment:
    key = request.path["id"]
    found = environment.get(connection, key)
    if found is None:
        raise NotFound("environment", key)
    request.caller.require("kumoi:environment:show", "environment", key, found.project_id)
    return found
