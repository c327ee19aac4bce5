"""Projects: what is accepted and what is shown."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import msgspec
from sqlalchemy.engine import Connection

from kumoi.base.errors import Invalid, NotFound
from kumoi.cloud.api.identity import domain as domain_project
from kumoi.cloud.api.identity import open_body, rendering
from kumoi.cloud.api.identity.open_body import OpenBody
from kumoi.cloud.api.request import Request
from kumoi.cloud.domain.identity import domain as domains
from kumoi.cloud.domain.identity import project as domain
from kumoi.cloud.domain.identity.domain import DomainRequest
from kumoi.cloud.domain.identity.project import ProjectRequest
from kumoi.cloud.store import tag_filter
from kumoi.cloud.store.identity import domain as domain_store
from kumoi.cloud.store.identity import project as store
from kumoi.cloud.store.identity.project import Project
from kumoi.engine import audit
from kumoi.engine.http.bounds import ENTRIES_MAX, Entries
from kumoi.engine.http.request import UNSET, Body, Reply, Unset

COLUMNS = {"name": "name", "enabled": "enabled", "domain_id": "domain_id", "parent_id": "parent_id"}


class ProjectNew(OpenBody):
    name: rendering.ShortName
    domain_id: rendering.Key | Unset | None = UNSET
    parent_id: rendering.Key | None = None
    description: rendering.Text | None = ""
    enabled: bool = True
    is_domain: bool = False
    tags: Annotated[tuple[rendering.Tag, ...], msgspec.Meta(max_length=ENTRIES_MAX)] = ()
    options: rendering.Options | Unset = UNSET


class ProjectChanges(OpenBody):
    name: rendering.ShortName | Unset = UNSET
    description: rendering.Text | Unset | None = UNSET
    enabled: bool | Unset = UNSET
    domain_id: rendering.Key | Unset = UNSET
    parent_id: rendering.Key | Unset = UNSET
    is_domain: bool | Unset = UNSET
    tags: Entries[rendering.Tag] | Unset = UNSET
    options: rendering.Options | Unset = UNSET


class ProjectCreate(Body):
    project: ProjectNew


class ProjectUpdate(Body):
    project: ProjectChanges


class ProjectTagsReplace(Body):
    tags: Entries[rendering.Tag]


def create(request: Request) -> Reply:
    wanted = request.parse(ProjectCreate).project
    if wanted.is_domain:
        return _create_domain(request, wanted)
    named = rendering.named_domain(wanted.domain_id)
    request.caller.check("identity:create_project", domain_id=named)
    with request.write() as connection:
        made = domain.create(
            connection,
            ProjectRequest(
                name=wanted.name,
                domain_id=rendering.home(request, wanted.domain_id or UNSET),
                parent_id=wanted.parent_id,
                description=wanted.description or "",
                enabled=wanted.enabled,
                options=wanted.options or {},
                extra=open_body.others(request, "project", ProjectNew),
            ),
        )
        audit.about(made.id)
        domain.set_tags(connection, made.id, wanted.tags)
        (shown,) = render(request, connection, [made])
    return Reply(201, {"project": shown})


def _create_domain(request: Request, wanted: ProjectNew) -> Reply:
    """A project that acts as a domain is one: it stands in both lists, by the same id."""
    request.caller.check("identity:create_domain")
    if wanted.parent_id is not None or wanted.domain_id not in (UNSET, None):
        raise Invalid("A project that acts as a domain has no parent", field="parent_id")
    if wanted.tags:
        raise Invalid("A domain has no tags", field="tags")
    with request.write() as connection:
        made = domains.create(
            connection,
            DomainRequest(
                name=wanted.name,
                description=wanted.description or "",
                enabled=wanted.enabled,
                options=wanted.options or {},
                extra=open_body.others(request, "project", ProjectNew),
            ),
        )
        audit.about(made.id)
    return Reply(201, {"project": domain_project.render_as_project(request, made)})


def index(request: Request) -> Reply:
    wanted = rendering.listing(request, COLUMNS, booleans=("enabled",))
    tags = tag_filter.read(request.query_all)
    if request.query.get("is_domain", "").lower() == "true":
        return _index_domains(request)
    with request.read() as connection:
        within = rendering.confined(request, wanted, "identity:list_projects")
        found = store.page(connection, within, tags=tags)
        shown = render(request, connection, found)
    return Reply(200, rendering.page(request, "projects", shown, wanted))


def _index_domains(request: Request) -> Reply:
    wanted = rendering.listing(request, domain_project.COLUMNS, booleans=("enabled",))
    with request.read() as connection:
        found = domain_store.page(
            connection, rendering.confined(request, wanted, "identity:list_domains", "id")
        )
    shown = [domain_project.render_as_project(request, row) for row in found]
    return Reply(200, rendering.page(request, "projects", shown, wanted))


def show(request: Request) -> Reply:
    key = request.path["id"]
    with request.read() as connection:
        if request.caller.may("identity:get_domain", domain_id=key):
            row = domain_store.get(connection, key)
            if row is not None:
                return Reply(200, {"project": domain_project.render_as_project(request, row)})
        found = domain.get_visible(connection, request.caller, "identity:get_project", key)
        (shown,) = render(request, connection, [found])
    return Reply(200, {"project": shown})


def update(request: Request) -> Reply:
    body = request.parse(ProjectUpdate).project
    values = open_body.changes(request, "project", body, without=("is_domain",))
    tags = values.pop("tags", None)
    if values.get("description", "") is None:
        values["description"] = ""
    key, now = request.path["id"], request.services.clock.now()
    with request.write() as connection:
        row = domain_store.get(connection, key)
        if body.is_domain not in (UNSET, row is not None):
            raise Invalid("Update of `is_domain` is not allowed.", field="is_domain")
        if row is not None:
            return _update_domain(request, connection, values)
        domain.get_for(connection, request.caller, "identity:update_project", key)
        changed = domain.update(connection, key, values, now)
        if tags is not None:
            domain.set_tags(connection, changed.id, tags)
        (shown,) = render(request, connection, [changed])
    rendering.ended(request)
    return Reply(200, {"project": shown})


def _update_domain(request: Request, connection: Connection, values: dict[str, Any]) -> Reply:
    request.caller.check("identity:update_domain")
    now = request.services.clock.now()
    own = {name: value for name, value in values.items() if name not in ("domain_id", "parent_id")}
    changed = domains.update(connection, request.path["id"], own, now)
    return Reply(200, {"project": domain_project.render_as_project(request, changed)})


def delete(request: Request) -> Reply:
    key, now = request.path["id"], request.services.clock.now()
    with request.write() as connection:
        if domain_store.get(connection, key) is not None:
            request.caller.check("identity:delete_domain")
            domains.delete(connection, key, now)
        else:
            domain.get_for(connection, request.caller, "identity:delete_project", key)
            domain.delete(connection, key, now)
    rendering.ended(request)
    return Reply(204)


def tags(request: Request) -> Reply:
    with request.read() as connection:
        rule = "identity:list_project_tags"
        found = domain.get_visible(connection, request.caller, rule, request.path["id"])
        listed = store.tags_of(connection, [found.id])[found.id]
    return Reply(200, {"tags": listed})


def set_tags(request: Request) -> Reply:
    wanted = request.parse(ProjectTagsReplace).tags
    with request.write() as connection:
        key = _changed(request, connection, "identity:update_project_tags")
        domain.set_tags(connection, key, wanted)
    return Reply(200, {"tags": sorted(set(wanted))})


def clear_tags(request: Request) -> Reply:
    with request.write() as connection:
        key = _changed(request, connection, "identity:delete_project_tags")
        domain.set_tags(connection, key, [])
    return Reply(204)


def add_tag(request: Request) -> Reply:
    with request.write() as connection:
        key = _changed(request, connection, "identity:create_project_tag")
        listed = _tags(request, connection)
        domain.set_tags(connection, key, [*listed, request.path["tag"]])
    return Reply(201)


def has_tag(request: Request) -> Reply:
    with request.read() as connection:
        rule = "identity:get_project_tag"
        domain.get_visible(connection, request.caller, rule, request.path["id"])
        _require_tag(request, _tags(request, connection))
    return Reply(204)


def remove_tag(request: Request) -> Reply:
    with request.write() as connection:
        key = _changed(request, connection, "identity:delete_project_tag")
        listed = _tags(request, connection)
        _require_tag(request, listed)
        others = [tag for tag in listed if tag != request.path["tag"]]
        domain.set_tags(connection, key, others)
    return Reply(204)


def _changed(request: Request, connection: Connection, rule: str) -> str:
    """The id of the project that the path names. Raises as `domain.get_for` does."""
    return domain.get_for(connection, request.caller, rule, request.path["id"]).id


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
            **(row.extra or {}),
            "id": row.id,
            "name": row.name,
            "description": row.description,
            "domain_id": row.domain_id,
            "parent_id": row.parent_id,
            "enabled": row.enabled,
            "is_domain": False,
            "tags": tags_of[row.id],
            "options": row.options or {},
            "links": rendering.link(request, "projects", row.id),
        }
        for row in rows
    ]
