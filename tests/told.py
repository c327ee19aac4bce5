"""Which routes the stories have gone: running_cloud.py puts this before the real APIs.

A route that was only ever refused has not been gone; one that is there to say that it is not
implemented has.
"""

from __future__ import annotations

from collections.abc import Iterable

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from kumoi.engine.http.routing import Route, RouteTable
from kumoi.engine.http.running import READING
from kumoi.engine.http.service import Service

TOLD: set[str] = set()
REFUSED, NOT_IMPLEMENTED = 400, 501
UNTOLD = b"x-test-untold"
"""A header of requests that tell no story of the route that they go."""


def named(service: Service, method: str, path: str) -> str:
    """A route in the words of docs/reference/routes.md."""
    return f"{method} /{service.prefix}{path}".rstrip("/")


class Listening:
    """An app that notes the route of each request that the real one answers."""

    def __init__(self, app: ASGIApp, services: Iterable[Service]) -> None:
        self._app = app
        self._services = {one.prefix: (one, RouteTable(one.routes)) for one in services}
        self.changed: dict[str, Route] = {}  # What succeeded, by the request's id.

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def answered(message: Message) -> None:
            status = message.get("status", REFUSED)
            if status < REFUSED or status == NOT_IMPLEMENTED:
                route = self._note(scope["method"], scope["path"])
                if route is not None and status < REFUSED:
                    headers = dict(message["headers"])
                    self.changed[headers[b"x-openstack-request-id"].decode()] = route
            await send(message)

        tells = scope["type"] == "http" and UNTOLD not in dict(scope["headers"])
        await self._app(scope, receive, answered if tells else send)

    def _note(self, method: str, path: str) -> Route | None:
        """The route, when its requests are to leave a record."""
        _, prefix, *rest = path.split("/", 2)
        if prefix in self._services:
            service, router = self._services[prefix]
            routes, _ = router.find("/" + (rest[0] if rest else ""))
            taken = "GET" if method == "HEAD" and "HEAD" not in routes else method
            route = routes[taken]
            TOLD.add(named(service, taken, route.path))
            return route if taken not in READING and route.audits else None
        return None
