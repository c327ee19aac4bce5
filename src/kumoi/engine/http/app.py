"""The ASGI application: finds the route, authenticates the caller, checks the policy, runs the
handler.

A handler gets only requests that passed all checks, in this order: service by prefix, microversion,
route by path and method, caller, policy, body size. Every answer carries a request id.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import anyio
import msgspec
from starlette.requests import ClientDisconnect
from starlette.requests import Request as HttpRequest
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from kumoi.base import log
from kumoi.base.address import source_network
from kumoi.base.errors import (
    Forbidden,
    Invalid,
    KumoiError,
    NotFound,
    OutcomeUnknown,
    RateLimited,
    Transient,
    UserError,
)
from kumoi.base.ids import new_request_id
from kumoi.engine import audit
from kumoi.engine.audit import Record, Recorder
from kumoi.engine.http import errors, limits, shapes, versions
from kumoi.engine.http.connections import CONNECTION, HeldConnection
from kumoi.engine.http.request import Context, Reply, Request
from kumoi.engine.http.routing import KNOWN, OPEN, Route, RouteTable
from kumoi.engine.http.running import READING, HandlerRunner
from kumoi.engine.http.service import Service
from kumoi.engine.http.turns import RETRY_AFTER_S, InFlight
from kumoi.engine.write_turns import CLIENT
from kumoi.engine.write_watch import DOING
from kumoi.policy.caller import PolicySubject

THREADS: Mapping[str, int] = {"": 16, "login": 2}
"""The size of each pool. Hashing has few threads of its own, so that a flood of logins starves no
one.
"""
REQUESTS_MAX = 128
FORWARDED_FOR = re.compile(r"for=([0-9a-fA-F.:]{2,45});")  # As keystoneauth writes it.
DISCONNECTED = 499
REFUSED = 400
ACTIONS = {"POST": "create", "PUT": "update", "PATCH": "update", "DELETE": "delete"}
NOWHERE = Service(type="", prefix="", routes=())


@dataclass(frozen=True, slots=True)
class _Mounted:
    service: Service
    router: RouteTable
    base: str


class App:
    """Several services on one listener. `root` is the public URL that their prefixes follow;
    `requests_max` are those of a client that are in flight. `proxies` are the addresses that are
    believed when they name the one that they ask for. `waits`: handlers wait for other programs. `follows`: who
    asks to be shown something is shown it while the store takes no changes (engine/followers.py).
    """

    def __init__(
        self,
        context: Context,
        services: Iterable[Service],
        *,
        root: str,
        body_max_bytes: int = limits.BODY_MAX_BYTES,
        threads: Mapping[str, int] = THREADS,
        recorder: Recorder | None = None,
        requests_max: int = REQUESTS_MAX,
        proxies: frozenset[str] = frozenset(),
        waits: bool = False,
        follows: bool = False,
    ) -> None:
        shapes.prepare()
        self._recorder = recorder
        self._in_flight = InFlight(requests_max)
        self._proxies = proxies
        self._context = context
        self._root = root
        self._body_max_bytes = body_max_bytes
        self._mounted = {
            item.prefix: _Mounted(item, RouteTable(item.routes), f"{root}/{item.prefix}")
            for item in services
        }
        self._nowhere = _Mounted(NOWHERE, RouteTable(()), root)
        self._runner = HandlerRunner(
            threads,
            is_local=context.database.is_sqlite,
            waits=waits,
            commits=lambda: context.database.commits,
            following=context.database.following if follows else nullcontext,
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        http = HttpRequest(scope, receive)
        flight = _Flight(self._in_flight)
        try:
            response = await self._answer(http, flight)
            await response(scope, receive, send)
        finally:
            client = flight.client
            flight.end()
        if self._runner.is_crowded(client) and (connection := _connection(http)) is not None:
            with connection.unread():
                await self._runner.turn(client)

    async def _answer(self, http: HttpRequest, flight: _Flight) -> Response:
        path: str = http.scope["path"]
        prefix, _, rest = path.lstrip("/").partition("/")
        mounted = self._mounted.get(prefix, self._nowhere)
        service = mounted.service
        request = self._request(http, mounted)
        with log.bound(request=request.request_id):
            try:
                flight.count_for(source_network(request.source))
                reply = await self._handle(request, mounted, "/" + rest, flight)
            except KumoiError as error:
                if isinstance(error, RateLimited):
                    flight.end()
                    await anyio.sleep(RETRY_AFTER_S)  # Who does not wait is made to.
                if not isinstance(error, UserError):
                    log.failure("request.failed", error)
                if isinstance(error, Transient) and not isinstance(error, OutcomeUnknown):
                    request.record = None  # Nothing changed, and the store takes no record now.
                own = service.refusal(request, error) if service.refusal is not None else None
                reply = own if own is not None else errors.reply(error, service)
                error.__traceback__ = None  # Its frames hold it, and all that the request was.
            except ClientDisconnect:
                reply = Reply(DISCONNECTED)
            except Exception as error:  # noqa: BLE001 - the middleware: the outermost place
                log.failure("request.failed", error, method=http.method, path=path)
                reply = errors.internal(service)
                error.__traceback__ = None
            if http.method not in READING and not request.quiet:
                log.event("request.handled", method=http.method, path=path, status=reply.status)
            await self._record(request, reply, flight.client)
        return _response(reply, request, service)

    def _request(self, http: HttpRequest, mounted: _Mounted) -> Request[Any, Any]:
        return Request(
            services=self._context,
            http=http,
            path={},
            raw=b"",
            root=self._root,
            base=mounted.base,
            request_id=new_request_id(),
            source=self._source(http),
        )

    def _source(self, http: HttpRequest) -> str:
        """The address that asks: the client's own, or where that is a proxy's, the one it names."""
        own = http.client.host if http.client else ""
        named = FORWARDED_FOR.match(http.headers.get("Forwarded", ""))
        return named[1] if named is not None and own in self._proxies else own

    async def _handle(
        self, request: Request[Any, Any], mounted: _Mounted, path: str, flight: _Flight
    ) -> Reply:
        http, service = request.http, mounted.service
        if mounted is self._nowhere:
            raise NotFound("resource", http.scope["path"])
        if service.versions is not None:
            request.microversion = service.versions.requested(http.headers)
        if len(http.scope["query_string"]) > limits.QUERY_MAX_BYTES:
            most = limits.QUERY_MAX_BYTES
            raise errors.QueryTooLong(f"a query has at most {most} bytes: ask in parts")
        if "\x00" in path or b"%00" in http.scope["query_string"]:
            raise Invalid("the URL holds a NUL character", field="url")
        route, request.path = _route(mounted.router, http.method, path, request.microversion)
        request.quiet = route.quiet
        DOING.set(f"{http.method} /{service.prefix}{route.path}")
        if self._recorder is not None and http.method not in READING:
            request.record = _record(request, service, route)
            audit.CURRENT.set(request.record if route.audits else None)
        if route.policy != OPEN:
            await self._admit(request, service, route, flight)
        if route.streams:
            streamed: Reply = await route.handler(request)
            return streamed
        client = flight.client
        request.raw = await limits.body(
            http, self._body_max_bytes, lambda: self._runner.turn(client)
        )
        return await self._runner.run(route, request, client)

    async def _admit(
        self, request: Request[Any, Any], service: Service, route: Route, flight: _Flight
    ) -> None:
        """Authenticate the caller and check the policy. Raises Unauthenticated, Forbidden."""
        scheme = service.schemes[route.scheme]
        if scheme.blocks:
            caller = await self._runner.in_thread(
                route.pool, flight.client, lambda: scheme.identify(request)
            )
        else:
            caller = scheme.identify(request)
        request.caller_or_none = caller
        if isinstance(caller, PolicySubject):
            self._belongs_to(request.http, caller, flight)
        if request.record is not None and isinstance(caller, PolicySubject):
            request.record.user_id = caller.user_id
            request.record.project_id = caller.project_id or ""
            request.record.token_id = caller.token_id
        if route.policy != KNOWN and not service.policies[route.policy].allows(caller):
            raise Forbidden(f"Policy doesn't allow {route.policy} to be performed.")

    def _belongs_to(self, http: HttpRequest, caller: PolicySubject, flight: _Flight) -> None:
        """Count the request, and its connection, for its caller's project. Raises RateLimited."""
        client = caller.project_id or caller.user_id
        connection = _connection(http)
        if connection is not None:
            connection.belongs_to(client)
        flight.count_for(client)

    async def _record(self, request: Request[Any, Any], reply: Reply, client: str) -> None:
        """Write the audit record of a request that may change something, unless the handler's
        transaction has written it. It is the client's turn for that as for the rest.
        """
        record = request.record
        if record is None or self._recorder is None or (record.written and reply.status < REFUSED):
            return
        write = self._recorder.failed if reply.status >= REFUSED else self._recorder.succeeded
        try:
            await self._runner.in_thread("", client, lambda: write(record, reply.status))
        except KumoiError as error:  # The store is lost: the answer says so already.
            log.failure("audit.failed", error, path=record.request_path)


class _Flight:
    """For which client a request is counted, from its begin to the end of its answer."""

    def __init__(self, in_flight: InFlight) -> None:
        self._in_flight = in_flight
        self.client = ""

    def count_for(self, client: str) -> None:
        """Instead of whom it was counted for. Raises RateLimited."""
        self.end()
        self._in_flight.begin(client)
        self.client = client
        CLIENT.set(client)

    def end(self) -> None:
        if self.client:
            self._in_flight.end(self.client)
            self.client = ""


def _connection(http: HttpRequest) -> HeldConnection | None:
    connection: HeldConnection | None = http.scope.get("extensions", {}).get(CONNECTION)
    return connection


def _route(
    router: RouteTable, method: str, path: str, version: versions.Version
) -> tuple[Route, dict[str, str]]:
    """The route and its placeholders. Raises MethodNotAllowed, or NotFound, also where the route
    does not exist in this microversion.
    """
    methods, found = router.find(path)
    route = methods.get("GET" if method == "HEAD" and "HEAD" not in methods else method)
    if route is None and methods:
        raise errors.MethodNotAllowed(methods)
    if route is None or (route.since or version) > version or version > (route.until or version):
        raise NotFound("resource", path)
    return route, found


def _record(request: Request[Any, Any], service: Service, route: Route) -> Record:
    """The target's type is made of the path's words, and its id is the last id in the path."""
    words = [word for word in route.path.split("/")[2:] if word and not word.startswith("{")]
    return audit.new_record(
        action=ACTIONS.get(route.method, "update"),
        target_type="/".join((service.type, *words)),
        target_id=next(reversed(request.path.values()), ""),
        request_id=request.request_id,
        request_path=request.url_path,
        observer=service.type,
        address=request.source,
        rule="" if route.policy in (OPEN, KNOWN) else route.policy,
        audits=route.audits,
    )


def _response(reply: Reply, request: Request[Any, Any], service: Service) -> Response:
    headers = dict.fromkeys(service.id_headers, request.request_id)
    if service.versions is not None:
        headers |= service.versions.headers(request.microversion)
    headers |= service.headers
    headers |= reply.headers
    if reply.stream is not None:
        return StreamingResponse(
            reply.stream, reply.status, headers=headers, media_type=reply.media_type
        )
    body: Any = reply.body
    if body is None:
        return Response(status_code=reply.status, headers=headers)
    content = body if isinstance(body, bytes) else msgspec.json.encode(body)
    return Response(content, reply.status, headers=headers, media_type=reply.media_type)
