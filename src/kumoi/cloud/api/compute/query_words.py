"""The words that a query may have, since the version in which Nova refuses all others: before it they are passed over.

Lists that are not here refuse nothing in Nova either, in no version.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import replace
from typing import Any

from kumoi.base.errors import Invalid
from kumoi.cloud.api.request import Request
from kumoi.engine.http.request import Reply
from kumoi.engine.http.routing import Route

Version = tuple[int, int]
Known = Mapping[Version, Collection[str]]
"""The words of each version in which they change, the newest last."""

V_STRICT = (2, 75)
_PAGE = ("limit", "marker")
_USER: Known = {V_STRICT: ("user_id",)}
_FLAVORS: Known = {V_STRICT: (*_PAGE, "is_public", "minRam", "minDisk", "sort_key", "sort_dir")}
_HYPERVISORS: Known = {(2, 53): (*_PAGE, "hypervisor_hostname_pattern", "with_servers")}
_ACTIONS = (*_PAGE, "changes-since")
_MIGRATIONS = (
    *_ACTIONS,
    *("host", "source_compute", "instance_uuid", "status", "migration_type", "hidden"),
)
WORDS: dict[tuple[str, str], Known] = {
    ("GET", "/v2.1/flavors"): _FLAVORS,
    ("GET", "/v2.1/flavors/detail"): _FLAVORS,
    ("GET", "/v2.1/os-keypairs"): {V_STRICT: (*_PAGE, "user_id")},
    ("GET", "/v2.1/os-keypairs/{id}"): _USER,
    ("DELETE", "/v2.1/os-keypairs/{id}"): _USER,
    ("GET", "/v2.1/limits"): {V_STRICT: ("tenant_id",)},
    ("GET", "/v2.1/os-quota-sets/{id}"): _USER,
    ("GET", "/v2.1/os-quota-sets/{id}/detail"): _USER,
    ("PUT", "/v2.1/os-quota-sets/{id}"): _USER,
    ("DELETE", "/v2.1/os-quota-sets/{id}"): _USER,
    ("GET", "/v2.1/os-server-groups"): {V_STRICT: ("all_projects", "limit", "offset")},
    ("GET", "/v2.1/os-hypervisors"): _HYPERVISORS,
    ("GET", "/v2.1/os-hypervisors/detail"): _HYPERVISORS,
    ("GET", "/v2.1/os-hypervisors/{id}"): {(2, 53): ("with_servers",)},
    ("GET", "/v2.1/os-services"): {V_STRICT: ("host", "binary")},
    ("GET", "/v2.1/os-simple-tenant-usage"): {V_STRICT: (*_PAGE, "start", "end", "detailed")},
    ("GET", "/v2.1/os-simple-tenant-usage/{id}"): {V_STRICT: (*_PAGE, "start", "end")},
    ("GET", "/v2.1/os-migrations"): {
        (2, 59): _MIGRATIONS,
        (2, 66): (*_MIGRATIONS, "changes-before"),
        (2, 80): (*_MIGRATIONS, "changes-before", "user_id", "project_id"),
    },
    ("GET", "/v2.1/servers/{id}/os-instance-actions"): {
        (2, 58): _ACTIONS,
        (2, 66): (*_ACTIONS, "changes-before"),
    },
    ("GET", "/v2.1/servers/{id}/os-volume_attachments"): {V_STRICT: ("limit", "offset")},
}
"""By method and path. Those of lists of servers are in server_query.py."""


def require_known(request: Request, known: Known) -> None:
    """Raises Invalid for any other word: without it a list would be of more than was asked for."""
    words = [words for since, words in known.items() if request.microversion >= since]
    for name in request.query if words else ():
        if name not in words[-1]:
            raise Invalid(
                f"Additional properties are not allowed ('{name}' was unexpected)", field=name
            )


def strict(routes: Iterable[Route]) -> tuple[Route, ...]:
    """The routes, of which those above look at their query first."""
    return tuple(
        replace(route, handler=_looking(route.handler, WORDS[route.method, route.path]))
        if (route.method, route.path) in WORDS
        else route
        for route in routes
    )


def _looking(handler: Callable[[Request], Reply], known: Known) -> Callable[..., Any]:
    @functools.wraps(handler)
    def look(request: Request) -> Reply:
        require_known(request, known)
        return handler(request)

    return look
