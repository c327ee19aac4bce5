"""Projects: what is accepted and what is shown."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy.engine import Connection

from kumoi.base.errors import Invalid, NotFound
from kumoi.cloud.api.identity import rendering
from kumoi.cloud.api.request import Request, fields_set
from kumoi.cloud.domain.identity import project as domain
from kumoi.cloud.domain.identity.project import ProjectRequest
from kumoi.cloud.store import tag_filter
from kumoi.cloud.store.identity import project as store
from kumoi.cloud.store.identity.project import Project
from kumoi.engine import audit
from kumoi.engine.http.request import UNSET, Body, Reply, Unset

COLUMNS = {"name": "name", "enabled": "enabled", "domain_id": "domain_id", "parent_id": "parent_id"}


class ProjectNew(Body):
    name: rendering.ShortName
    domain_id: rendering.Key | Unset = UNSET
    parent_id: rendering.Key | None = None
    description: rendering.Text | None = ""
    enabled: bool = True
    is_domain: bool = False
    tags: tuple[rendering.Tag, ...] = ()
    options: rendering.NoOptions | Unset = UNSET


class ProjectChanges(Body):
    name: rendering.ShortName | Unset = UNSET
    description: rendering.Text | Unset | None = UNSET
    enabled: bool | Unset = UNSET
    domain_id: rendering.Key | Unset = UNSET
    parent_id: rendering.Key | Unset = UNSET
    is_domain: bool | Unset = UNSET
    tags: list[rendering.Tag] | Unset = UNSET
    options: rendering.NoOptions | Unset = UNSET


class ProjectCreate(Body):
    project: ProjectNew


class ProjectUpdate(Body):
    project: ProjectChanges


class ProjectTagsReplace(Body):
    tags: list[rendering.Tag]


def create(request: Request) -> Reply:
    wanted = request.parse(ProjectCreate).project
    if wanted.is_domain:
        raise Invalid("A project that acts as a domain is made as a domain", field="is_domain")
    with request.write() as connection:
        made = domain.create(
            connection,
            ProjectRequest(
                name=wanted.name,
                domain_id=rendering.home(request, wanted.domain_id),
                parent_id=wanted.parent_id,
                description=wanted.description or "",
                enabled=wanted.enabled,
            ),
        )
        audit.about(made.id)
        domain.set_tags(connection, made.id, wanted.tags)
        (shown,) = render(request, connection, [made])
    return Reply(201, {"project": shown})


def index(request: Request) -> Reply:
    wanted = rendering.listing(request, COLUMNS, booleans=("enabled",))
    tags = tag_filter.read(request.query_all)
    with request.read() as connection:
        is_domain = request.query.get("is_domain", "").lower() == "true"
        found = [] if is_domain else store.page(connection, wanted, tags=tags)
        shown = render(request, connection, found)
    return Reply(200, rendering.page(request, "projects", shown, wanted))


def show(request: Request) -> Reply:
    with request.read() as connection:
        found = domain.get_visible(connection, request.caller, request.path["id"])
        (shown,) = render(request, connection, [found])
    return Reply(200, {"project": shown})


def update(request: Request) -> Reply:
    values = fields_set(request.parse(ProjectUpdate).project, without=("options", "is_domain"))
    tags = values.pop("tags", None)
    if values.get("description", "") is None:
        values["description"] = ""
    with request.write() as connection:
        now = request.services.clock.now()
        changed = domain.update(connection, request.path["id"], values, now)
        if tags is not None:
            domain.set_tags(connection, changed.id, tags)
        (shown,) = render(request, connection, [changed])
    rendering.ended(request)
    return Reply(200, {"project": shown})


def delete(request: Request) -> Reply:
    with request.write() as connection:
        domain.delete(connection, request.path["id"], request.services.clock.now())
    rendering.ended(request)
    return Reply(204)


def tags(request: Request) -> Reply:
    with request.read() as connection:
        found = domain.get_visible(connection, request.caller, request.path["id"])
        listed = store.tags_of(connection, [found.id])[found.id]
    return Reply(200, {"tags": listed})


def set_tags(request: Request) -> Reply:
    wanted = request.parse(ProjectTagsReplace).tags
    with request.write() as connection:
        domain.set_tags(connection, request.path["id"], wanted)
    return Reply(200, {"tags": sorted(set(wanted))})


def clear_tags(request: Request) -> Reply:
    with request.write() as connection:
        domain.set_tags(connection, request.path["id"], [])
    return Reply(204)


def add_tag(request: Request) -> Reply:
    with request.write() as connection:
        listed = _tags(request, connection)
        domain.set_tags(connection, request.path["id"], [*listed, request.path["tag"]])
    return Reply(201)


def has_tag(request: Request) -> Reply:
    with request.read() as connection:
        domain.get_visible(connection, request.caller, request.path["id"])
        _require_tag(request, _tags(request, connection))
    return Reply(204)


def remove_tag(request: Request) -> Reply:
    with request.write() as connection:
        listed = _tags(request, connection)
        _require_tag(request, listed)
        others = [tag for tag in listed if tag != request.path["tag"]]
        domain.set_tags(connection, request.path["id"], others)
    return Reply(204)


def _tags(request: Request, connection: Connection) -> list[str]:
    found = domain.get(connection, request.path["id"])
    return store.tags_of(connection, [found.id])[found.id]


def _require_tag(request: Request, listed: Sequence[str]) -> None:
    if request.path["tag"] not in listed:
        raise NotFound("project tag", request.path["tag"])


def render(
    request: Request, connection: Connection, rows: Sequence[Project]
) -> list[dict[str, Any]]:
    tags_of = store.tags_of(connection, [row.id for row in rows])
    return [
        {
            "id": row.id,
            "name": row.name,
            "description": row.description,
            "domain_id": row.domain_id,
            "parent_id": row.parent_id,
            "enabled": row.enabled,
            "is_domain": False,
            "tags": tags_of[row.id],
            "options": {},
            "links": rendering.link(request, "projects", row.id),
        }
        for row in rows
    ]
