"""The words that the query of a list may have since 2.75: until then compute passes over what it does not know."""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection, Iterable
from dataclasses import replace
from typing import Any

from kumoi.base.errors import Invalid
from kumoi.cloud.api.request import Request
from kumoi.engine.http.request import Reply
from kumoi.engine.http.routing import Route

V_STRICT = (2, 75)
_PAGE = ("limit", "marker")
_FLAVORS = (*_PAGE, "is_public", "minRam", "minDisk", "sort_key", "sort_dir")
_HYPERVISORS = (*_PAGE, "hypervisor_hostname_pattern", "with_servers")
_MIGRATIONS = (
    *_PAGE,
    *("host", "source_compute", "instance_uuid", "status", "migration_type", "hidden"),
    *("user_id", "project_id", "changes-since", "changes-before"),
)
WORDS = {
    "/v2.1/extensions": (),
    "/v2.1/flavors": _FLAVORS,
    "/v2.1/flavors/detail": _FLAVORS,
    "/v2.1/os-keypairs": (*_PAGE, "user_id"),
    "/v2.1/limits": ("tenant_id",),
    "/v2.1/os-server-groups": ("all_projects", "limit", "offset"),
    "/v2.1/os-availability-zone": (),
    "/v2.1/os-availability-zone/detail": (),
    "/v2.1/os-aggregates": (),
    "/v2.1/os-hypervisors": _HYPERVISORS,
    "/v2.1/os-hypervisors/detail": _HYPERVISORS,
    "/v2.1/os-hypervisors/statistics": (),
    "/v2.1/os-services": ("host", "binary"),
    "/v2.1/os-simple-tenant-usage": (*_PAGE, "start", "end", "detailed"),
    "/v2.1/os-migrations": _MIGRATIONS,
    "/v2.1/os-instance_usage_audit_log": (),
}
"""By the path of the list. Those of servers are in server_query.py."""


def require_known(request: Request, known: Collection[str]) -> None:
    """Raises Invalid for any other word: without it a list would be of more than was asked for."""
    if request.microversion < V_STRICT:
        return
    for name in request.query:
        if name not in known:
            raise Invalid(
                f"Additional properties are not allowed ('{name}' was unexpected)", field=name
            )


def strict(routes: Iterable[Route]) -> tuple[Route, ...]:
    """The routes, of which each list looks at its query first."""
    return tuple(
        replace(route, handler=_looking(route.handler, frozenset(WORDS[route.path])))
        if route.method == "GET" and route.path in WORDS
        else route
        for route in routes
    )


def _looking(handler: Callable[[Request], Reply], known: frozenset[str]) -> Callable[..., Any]:
    @functools.wraps(handler)
    def look(request: Request) -> Reply:
        require_known(request, known)
        return handler(request)

    return look
