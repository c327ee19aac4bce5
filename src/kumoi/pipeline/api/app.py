"""The pipeline's HTTP surface: one route table, and what every request goes through.

In this order: route, body (bounded), caller by the route's policy, handler, answer. A handler gets
an `Asked` and gives a Response; a plain function runs in a thread. Errors become an envelope here
and nowhere else, but for git's own way of saying them (git.py).
"""

from __future__ import annotations

import enum
import inspect
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route as HttpRoute

from kumoi.base import log
from kumoi.base.clock import Clock
from kumoi.base.errors import (
    Bug,
    Conflict,
    Forbidden,
    Invalid,
    KumoiError,
    NotFound,
    RateLimited,
    TooLarge,
    Transient,
    Unauthenticated,
)
from kumoi.config import CloudSettings, HostSettings
from kumoi.engine.db import Database
from kumoi.engine.serving import TooSlow, reading
from kumoi.engine.wake import Alarm
from kumoi.pipeline.identity import Caller, Identity
from kumoi.pipeline.keys import digest
from kumoi.pipeline.receive import Heads
from kumoi.pipeline.store import runner

STATUS: dict[type[KumoiError], int] = {
    Invalid: 400,
    Unauthenticated: 401,
    Forbidden: 403,
    NotFound: 404,
    Conflict: 409,
    TooLarge: 413,
    RateLimited: 429,
    TooSlow: 408,
    Transient: 503,
}
INTERNAL = 500
NUMBER_DIGITS_MAX = 18
LONG_BODY_MAX_BYTES = 512 << 20


class Policy(enum.StrEnum):
    """Who may ask. MEMBER: a token of the project, which then sees only its own. GIT checks by
    itself, in git's way.
    """

    OPEN = "open"
    GIT = "git"
    MEMBER = "member"
    CLAIM = "claim"  # A runner with its one-time token.
    SESSION = "session"  # A runner that has claimed.


@dataclass(frozen=True, slots=True)
class Pipeline:
    """What handlers work with."""

    cloud: CloudSettings
    host: HostSettings
    database: Database
    clock: Clock
    identity: Identity
    heads: Heads
    alarm: Alarm


@dataclass(frozen=True, slots=True)
class Asked:
    """A request that passed. `caller` is there for MEMBER, `runner` for CLAIM and SESSION."""

    pipeline: Pipeline
    http: Request
    body: bytes
    caller: Caller | None = None
    from_runner: runner.Runner | None = None

    def member(self) -> Caller:
        if self.caller is None:
            raise Bug("this route has no caller")
        return self.caller

    def runner(self) -> runner.Runner:
        if self.from_runner is None:
            raise Bug("this route has no runner")
        return self.from_runner

    def number(self, name: str, default: int, most: int) -> int:
        """A query parameter from 0 to `most`."""
        text = self.http.query_params.get(name, str(default))
        if not text.isdecimal() or len(text) > NUMBER_DIGITS_MAX or int(text) > most:
            raise Invalid(f"{name} must be a number from 0 to {most}", field=name)
        return int(text)


Handler = Callable[[Asked], Response] | Callable[[Asked], Awaitable[Response]]


@dataclass(frozen=True, slots=True)
class Route:
    method: str
    path: str
    handler: Handler
    policy: Policy


def application(pipeline: Pipeline, routes: Sequence[Route]) -> Starlette:
    return Starlette(
        routes=[
            HttpRoute(route.path, _endpoint(pipeline, route), methods=[route.method])
            for route in routes
        ]
    )


def json(value: Any, status: int = 200) -> Response:
    return Response(msgspec.json.encode(value), status, media_type="application/json")


def read(asked: Asked, kind: type[Any]) -> Any:
    """The body as that type. Raises Invalid naming what is wrong."""
    try:
        return msgspec.json.decode(asked.body, type=kind)
    except msgspec.DecodeError as cause:
        raise Invalid(f"the body is not as expected: {cause}") from cause


def _endpoint(pipeline: Pipeline, route: Route) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(http: Request) -> Response:
        try:
            asked = await _admit(pipeline, route, http)
            if inspect.iscoroutinefunction(route.handler):
                answer: Response = await route.handler(asked)
                return answer
            return await run_in_threadpool(route.handler, asked)  # type: ignore[arg-type]
        except KumoiError as error:
            return refused(error)
        except ClientDisconnect:
            return Response(status_code=499)
        except Exception as error:  # noqa: BLE001 - the API's middleware: the outermost place
            log.failure("request.failed", error, method=route.method, path=http.scope["path"])
            return refused(Bug("something went wrong here; it has been logged"))

    return endpoint


def refused(error: KumoiError) -> Response:
    status = next((code for kind, code in STATUS.items() if isinstance(error, kind)), INTERNAL)
    envelope: dict[str, Any] = {"code": error.code, "message": error.message}
    if isinstance(error, Invalid) and error.field:
        envelope["field"] = error.field
    answer = json({"error": envelope}, status)
    if isinstance(error, RateLimited):
        answer.headers["Retry-After"] = str(int(error.retry_after_s) + 1)
    return answer


async def _admit(pipeline: Pipeline, route: Route, http: Request) -> Asked:
    if route.policy == Policy.GIT:
        return Asked(pipeline, http, b"")  # Its body may be long: git.py spools it.
    bare = Asked(pipeline, http, await _body(http, pipeline.cloud.body_max_bytes))
    return await run_in_threadpool(_known, bare, route.policy)


def _known(asked: Asked, policy: Policy) -> Asked:
    """With whoever asks, by the route's policy."""
    pipeline, http = asked.pipeline, asked.http
    if policy == Policy.MEMBER:
        token = http.headers.get("X-Auth-Token", "")
        if not token:
            raise Unauthenticated("this needs a token in X-Auth-Token")
        return Asked(pipeline, http, asked.body, caller=pipeline.identity.validate(token))
    if policy in (Policy.CLAIM, Policy.SESSION):
        scheme, _, token = http.headers.get("Authorization", "").partition(" ")
        find = runner.find_by_token if policy == Policy.CLAIM else runner.find_by_session
        with pipeline.database.read() as connection:
            found = find(connection, digest(token))
        if scheme != "Bearer" or found is None:
            raise Unauthenticated("this token is not of a runner whose run goes on")
        return Asked(pipeline, http, asked.body, from_runner=found)
    return asked


async def _body(http: Request, most: int) -> bytes:
    """At most that many bytes, whatever the headers say."""
    parts: list[bytes] = []
    size = 0
    async with reading():
        async for part in http.stream():
            size += len(part)
            if size > most:
                raise TooLarge(f"the body is larger than {most} bytes")
            parts.append(part)
    return b"".join(parts)
