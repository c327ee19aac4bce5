"""Which routes the stories cover: running_cloud.py puts this before the real APIs.

A route is covered by a request that succeeds, or that is answered with "not implemented" or "gone"; a
request that is refused does not count. Of what there is never one, "not found" is the answer, and what
never goes by itself is in use.
"""

from __future__ import annotations

from collections.abc import Iterable

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from kumoi.engine.http.routing import Route, RouteTable
from kumoi.engine.http.running import READING
from kumoi.engine.http.service import Service

COVERED: set[str] = set()
REFUSED, NOT_FOUND, CONFLICT, GONE, NOT_IMPLEMENTED = 400, 404, 409, 410, 501
AMPHORA = "/load-balancer/v2.0/octavia/amphorae/{id}"
ALWAYS_ANSWERED = {
    "GET /compute/v2.1/servers/{id}/migrations/{key}": NOT_FOUND,
    f"GET {AMPHORA}": NOT_FOUND,
    f"GET {AMPHORA}/stats": NOT_FOUND,
    f"PUT {AMPHORA}/config": NOT_FOUND,
    f"PUT {AMPHORA}/failover": NOT_FOUND,
    f"DELETE {AMPHORA}": NOT_FOUND,
    "DELETE /network/v2.0/agents/{id}": CONFLICT,
}
"""Routes that have no other answer: there are no amphorae, and an agent goes with its host."""
NOT_COUNTED = b"x-test-not-counted"
"""A header of requests that are no story of their route."""


def route_name(service: Service, method: str, path: str) -> str:
    """A route as docs/reference/routes.md writes it."""
    return f"{method} /{service.prefix}{path}".rstrip("/")


class RouteCoverage:
    """An app that records the route of each request that the real app answers."""

    def __init__(self, app: ASGIApp, services: Iterable[Service]) -> None:
        self._app = app
        self._services = {each.prefix: (each, RouteTable(each.routes)) for each in services}
        self.changed: dict[str, Route] = {}  # Routes of successful requests, by the request's id.

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def answered(message: Message) -> None:
            status = message.get("status", REFUSED)
            if status < REFUSED or status in {NOT_IMPLEMENTED, GONE, NOT_FOUND, CONFLICT}:
                route = self._record(scope["method"], scope["path"], status)
                if route is not None and status < REFUSED:
                    headers = dict(message["headers"])
                    self.changed[headers[b"x-openstack-request-id"].decode()] = route
            await send(message)

        counts = scope["type"] == "http" and NOT_COUNTED not in dict(scope["headers"])
        await self._app(scope, receive, answered if counts else send)

    def _record(self, method: str, path: str, status: int) -> Route | None:
        """Count the route as covered; the route itself, when its requests must leave a record."""
        _, prefix, *rest = path.split("/", 2)
        if prefix in self._services:
            service, router = self._services[prefix]
            routes, _ = router.find("/" + (rest[0] if rest else ""))
            served = "GET" if method == "HEAD" and "HEAD" not in routes else method
            route = routes.get(served)
            if route is None:
                return None
            name = route_name(service, served, route.path)
            if status in {NOT_FOUND, CONFLICT} and ALWAYS_ANSWERED.get(name) != status:
                return None
            COVERED.add(name)
            return route if served not in READING and route.audits else None
        return None
