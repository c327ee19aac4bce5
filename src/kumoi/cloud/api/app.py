"""The ASGI application: finds the route, the caller and the policy, runs the handler, answers.

In this order, and a handler sees only requests that passed all of it: service by prefix, route by
path and method, microversion, token, policy, body size. Every answer carries a request id.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import anyio.to_thread
import msgspec
from anyio import CapacityLimiter
from starlette.requests import ClientDisconnect
from starlette.requests import Request as HttpRequest
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from kumoi.base import log
from kumoi.base.errors import Invalid, KumoiError, NotFound, TooLarge, Unauthenticated, UserError
from kumoi.base.ids import new_request_id
from kumoi.cloud.api import errors, policy, versions
from kumoi.cloud.api.request import Reply, Request
from kumoi.cloud.api.routing import OPEN, Route, Router, Service
from kumoi.cloud.api.services import Services
from kumoi.cloud.domain.caller import Caller
from kumoi.engine.serving import reading

THREADS = {"": 16, "login": 2}  # Hashing has its own few, so that a flood of logins starves no one.
READING = frozenset({"GET", "HEAD", "OPTIONS"})


@dataclass(slots=True)
class _Mounted:
    service: Service
    router: Router


class App:
    """All services of one cloud. An ASGI application."""

    def __init__(self, services: Services, mounted: Iterable[Service]) -> None:
        self._services = services
        self._mounted = {item.prefix: _Mounted(item, Router(item.routes)) for item in mounted}
        self._limiters: dict[str, CapacityLimiter] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        http = HttpRequest(scope, receive)
        response = await self._answer(http)
        await response(scope, receive, send)

    async def _answer(self, http: HttpRequest) -> Response:
        request_id = new_request_id()
        path: str = http.scope["path"]
        prefix, _, rest = path.lstrip("/").partition("/")
        mounted = self._mounted.get(prefix)
        service_type = mounted.service.type if mounted else ""
        with log.bound(request=request_id):
            try:
                if mounted is None:
                    raise NotFound("resource", path)
                reply = await self._handle(http, mounted, "/" + rest, request_id)
            except KumoiError as error:
                reply = _refused(error, service_type)
            except ClientDisconnect:
                reply = Reply(499)
            except Exception as error:  # noqa: BLE001 - the middleware: the outermost place
                log.failure("request.failed", error, method=http.method, path=path)
                reply = errors.internal(service_type)
            if http.method not in READING:
                log.event("request.handled", method=http.method, path=path, status=reply.status)
        headers = versions.headers(http, service_type)
        return _response(reply, request_id, service_type, headers)

    async def _handle(
        self, http: HttpRequest, mounted: _Mounted, path: str, request_id: str
    ) -> Reply:
        service = mounted.service
        request = Request(
            services=self._services,
            http=http,
            path={},
            raw=b"",
            base=f"{self._services.cloud.api_url}/{service.prefix}",
            request_id=request_id,
            source=http.client.host if http.client else "",
            microversion=versions.requested(http, service.type),
        )
        if "\x00" in path or b"%00" in http.scope["query_string"]:
            raise Invalid("the URL holds a NUL character", field="url")
        route, request.path = self._route(mounted, http.method, path, request.microversion)
        if route.policy != OPEN:
            self._authenticate(request)
            policy.check(service.policies, route.policy, request.caller)
        if route.streams:
            streamed: Reply = await route.handler(request)
            return streamed
        request.raw = await self._body(http)
        handled: Reply = await anyio.to_thread.run_sync(
            route.handler, request, limiter=self._threads(route.pool)
        )
        return handled

    def _route(
        self, mounted: _Mounted, method: str, path: str, version: versions.Version
    ) -> tuple[Route, dict[str, str]]:
        methods, found = mounted.router.find(path)
        route = methods.get("GET" if method == "HEAD" and "HEAD" not in methods else method)
        if route is None and methods:
            raise errors.MethodNotAllowed(methods)
        if (
            route is None
            or (route.since or version) > version
            or version > (route.until or version)
        ):
            raise NotFound("resource", path)
        return route, found

    def _authenticate(self, request: Request) -> None:
        """Raises Unauthenticated."""
        token = request.http.headers.get("X-Auth-Token")
        if not token:
            raise Unauthenticated("The request you have made requires authentication.")
        claims = self._services.tokens.check(token, now=self._services.clock.now())
        request.claims = claims
        request.caller_or_none = Caller(
            user_id=claims.user_id,
            project_id=claims.project.id if claims.project else None,
            roles=frozenset(name for _, name in claims.roles),
            request_id=request.request_id,
        )

    async def _body(self, http: HttpRequest) -> bytes:
        """The body. Raises TooLarge before it is held in memory."""
        limit = self._services.cloud.body_max_bytes
        declared = http.headers.get("Content-Length", "")
        if declared.isdecimal() and int(declared) > limit:
            raise TooLarge(f"Request is too large: at most {limit} bytes")
        body = bytearray()
        async with reading():
            async for chunk in http.stream():
                body += chunk
                if len(body) > limit:
                    raise TooLarge(f"Request is too large: at most {limit} bytes")
        return bytes(body)

    def _threads(self, pool: str) -> CapacityLimiter:
        """Made inside the running loop, once."""
        if pool not in self._limiters:
            self._limiters[pool] = CapacityLimiter(THREADS[pool])
        return self._limiters[pool]


def _refused(error: KumoiError, service_type: str) -> Reply:
    if not isinstance(error, UserError):
        log.failure("request.failed", error)
    return errors.reply(error, service_type)


def _response(
    reply: Reply, request_id: str, service_type: str, version: Mapping[str, str]
) -> Response:
    headers = {"X-Openstack-Request-Id": request_id, **version, **reply.headers}
    if service_type == "compute":
        headers |= {"X-Compute-Request-Id": request_id}
        headers["Vary"] = "OpenStack-API-Version, X-OpenStack-Nova-API-Version"
    if service_type == "identity":
        headers["Vary"] = "X-Auth-Token"
    if reply.stream is not None:
        return StreamingResponse(
            reply.stream, reply.status, headers=headers, media_type=reply.media_type
        )
    body: Any = reply.body
    if body is None:
        return Response(status_code=reply.status, headers=headers)
    content = body if isinstance(body, bytes) else msgspec.json.encode(body)
    return Response(content, reply.status, headers=headers, media_type=reply.media_type)
