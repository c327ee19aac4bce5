"""Which routes the stories cover: running_cloud.py puts this before the real APIs.

A route is covered by a request that succeeds, or that is answered with "not implemented"; a request
that is refused does not count.
"""

from __future__ import annotations

from collections.abc import Iterable

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from kumoi.engine.http.routing import Route, RouteTable
from kumoi.engine.http.running import READING
from kumoi.engine.http.service import Service

COVERED: set[str] = set()
REFUSED, NOT_IMPLEMENTED = 400, 501
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
            if status < REFUSED or status == NOT_IMPLEMENTED:
                route = self._record(scope["method"], scope["path"])
                if route is not None and status < REFUSED:
                    headers = dict(message["headers"])
                    self.changed[headers[b"x-openstack-request-id"].decode()] = route
            await send(message)

        counts = scope["type"] == "http" and NOT_COUNTED not in dict(scope["headers"])
        await self._app(scope, receive, answered if counts else send)

    def _record(self, method: str, path: str) -> Route | None:
        """Count the route as covered; the route itself, when its requests must leave a record."""
        _, prefix, *rest = path.split("/", 2)
        if prefix in self._services:
            service, router = self._services[prefix]
            routes, _ = router.find("/" + (rest[0] if rest else ""))
            served = "GET" if method == "HEAD" and "HEAD" not in routes else method
            route = routes[served]
            COVERED.add(route_name(service, served, route.path))
            return route if served not in READING and route.audits else None
        return None
