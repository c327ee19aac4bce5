"""Which endpoints a project's catalogue is held to: endpoints and groups of them, one by one.

The path says it all: /projects/{id}/endpoints/{target_id}, /endpoint_groups/{id}/projects/{project_id}.
"""

from __future__ import annotations

from kumoi.cloud.api.identity import endpoint, endpoint_group, project, rendering
from kumoi.cloud.api.request import Request
from kumoi.cloud.domain.identity import endpoint as endpoint_domain
from kumoi.cloud.domain.identity import endpoint_group as domain
from kumoi.cloud.domain.identity import project as project_domain
from kumoi.cloud.store.identity import endpoint as endpoints
from kumoi.cloud.store.identity import endpoint_group as store
from kumoi.cloud.store.identity import project as projects
from kumoi.cloud.store.identity.endpoint_group import EndpointFilter, FilterKind
from kumoi.cloud.store.listing import Listing
from kumoi.engine.http.request import Reply


def add(request: Request) -> Reply:
    with request.write() as connection:
        domain.add(connection, _named(request))
    return Reply(204)


def check(request: Request) -> Reply:
    """An endpoint is there or not; a group is shown."""
    row = _named(request)
    with request.read() as connection:
        domain.check(connection, row)
        if row.kind == FilterKind.ENDPOINT:
            return Reply(204)
        group = domain.get(connection, row.target_id)
    return Reply(200, {"endpoint_group": endpoint_group.render(request, group)})


def remove(request: Request) -> Reply:
    with request.write() as connection:
        domain.remove(connection, _named(request))
    return Reply(204)


def list_endpoints(request: Request) -> Reply:
    """All that the project's catalogue has, where it is held to some."""
    with request.read() as connection:
        owner = project_domain.get(connection, request.path["id"])
        found = []
        if store.filters(connection, project_id=owner.id):
            every = endpoints.page(connection, Listing(), rendering.off(request))
            found = domain.of_project(connection, owner.id, every)
    shown = [endpoint.render(request, row) for row in found]
    return Reply(200, rendering.page(request, "endpoints", shown))


def list_groups(request: Request) -> Reply:
    with request.read() as connection:
        owner = project_domain.get(connection, request.path["id"])
        rows = store.filters(connection, project_id=owner.id, kind=FilterKind.GROUP)
        found = [domain.get(connection, row.target_id) for row in rows]
    shown = [endpoint_group.render(request, row) for row in found]
    return Reply(200, rendering.page(request, "endpoint_groups", shown))


def list_projects(request: Request) -> Reply:
    """Those that are held to an endpoint, or to a group."""
    kind, key = _kind(request), request.path["id"]
    with request.read() as connection:
        if kind == FilterKind.ENDPOINT:
            endpoint_domain.get(connection, key, rendering.off(request))
        else:
            domain.get(connection, key)
        rows = store.filters(connection, kind=kind, target_id=key)
        ids = [row.project_id for row in rows]
        found = projects.page(connection, Listing(), ids=ids)
        shown = project.render(request, connection, found)
    return Reply(200, rendering.page(request, "projects", shown))


def _kind(request: Request) -> FilterKind:
    is_group = "/endpoint_groups/" in request.url_path
    return FilterKind.GROUP if is_group else FilterKind.ENDPOINT


def _named(request: Request) -> EndpointFilter:
    key = request.path["id"]
    if _kind(request) == FilterKind.GROUP:
        return EndpointFilter(request.path["project_id"], FilterKind.GROUP, key)
    return EndpointFilter(key, FilterKind.ENDPOINT, request.path["target_id"])
