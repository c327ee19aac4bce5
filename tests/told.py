"""Which routes the stories have gone: running_cloud.py puts this before the real APIs."""

from __future__ import annotations

from collections.abc import Iterable

from starlette.types import ASGIApp, Receive, Scope, Send

from kumoi.cloud.api.routing import Router, Service

TOLD: set[str] = set()
UNTOLD = b"x-test-untold"
"""A header of requests that tell no story of the route that they go."""


def named(service: Service, method: str, path: str) -> str:
    """A route in the words of docs/reference/routes.md."""
    return f"{method} /{service.prefix}{path}".rstrip("/")


class Listening:
    """An app that notes the route of each request on its way to the real one."""

    def __init__(self, app: ASGIApp, services: Iterable[Service]) -> None:
        self._app = app
        self._services = {one.prefix: (one, Router(one.routes)) for one in services}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and UNTOLD not in dict(scope["headers"]):
            self._note(scope["method"], scope["path"])
        await self._app(scope, receive, send)

    def _note(self, method: str, path: str) -> None:
        _, prefix, *rest = path.split("/", 2)
        if prefix in self._services:
            service, router = self._services[prefix]
            routes, _ = router.find("/" + (rest[0] if rest else ""))
            if method in routes:
                TOLD.add(named(service, method, routes[method].path))
