"""Repositories and limits, for people and the command line. A project sees its own."""

from __future__ import annotations

import dataclasses

from kumoi.base.errors import Conflict, NotFound
from kumoi.engine import audit
from kumoi.engine.http.request import Reply
from kumoi.pipeline import limits
from kumoi.pipeline.api.request import Request
from kumoi.pipeline.store import repository, retention
from kumoi.pipeline.store.repository import Repository


def list_(request: Request) -> Reply:
    """By name. As many as a project may have."""
    with request.read() as connection:
        found = repository.list_of_project(connection, request.caller.project_id)
    return Reply(200, {"repositories": [_render(each) for each in found]})


def delete(request: Request) -> Reply:
    """With its runs and their reports. Nothing of it may be deployed."""
    name, project_id = request.path["name"], request.caller.project_id
    request.caller.check("kumoi:repository:delete", project_id)
    services = request.services
    with request.read() as connection:
        found = repository.find(connection, project_id, name)
    if found is None:
        raise NotFound("repository", name)
    with services.pushing.one_at_a_time(found.id):
        with request.read() as connection:
            why = retention.in_use(connection, found.id)
            logs = retention.runs_with_log(connection, found.id)
        if why:
            raise Conflict(f"repository {name} cannot be deleted: {why}")
        services.repositories.remove(project_id, name)
        for run_id in logs:
            with services.database.write(wakes=False) as connection:
                retention.forget_log(connection, run_id)
        with request.write() as connection:
            retention.forget_repository(connection, found.id)
            audit.about(found.id)
    return Reply(200, {"repository": _render(found)})


def show_limits(request: Request) -> Reply:
    """What the project may have, and has."""
    settings = request.services.cloud
    with request.read() as connection:
        found = limits.table(connection, settings, request.caller.project_id)
    shown = [dataclasses.asdict(each) for each in found]
    kept = {"run_log_days": settings.run_log_days, "run_days": settings.run_days}
    return Reply(200, {"limits": shown, "kept": kept})


def _render(found: Repository) -> dict[str, object]:
    return {
        "id": found.id,
        "name": found.name,
        "size_bytes": found.size_bytes,
        "created_at": found.created_at,
    }
