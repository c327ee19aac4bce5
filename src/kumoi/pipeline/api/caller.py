"""How the pipeline learns who calls it, one scheme per kind of caller; and its error envelope."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any

from sqlalchemy.engine import Connection

from kumoi.base.errors import Invalid, KumoiError, Transient, Unauthenticated
from kumoi.base.secret import Secret
from kumoi.engine.http.routing import TOKEN
from kumoi.engine.http.service import Scheme
from kumoi.pipeline.api.request import Request, RunnerRequest
from kumoi.pipeline.identity import GitLogin, ProjectCaller
from kumoi.pipeline.keys import digest
from kumoi.pipeline.store import runner
from kumoi.pipeline.store.runner import Runner

LOGIN = "login"
CLAIM = "claim"
SESSION = "session"
LAST_SESSION = "last session"
NOT_GOING_ON = "this token is not of a runner whose run goes on"

CHALLENGE = 'Basic realm="Kumoi", charset="UTF-8"'


def by_token(request: Request) -> ProjectCaller:
    """A token of the cloud, in X-Auth-Token, validated by the cloud's identity service."""
    token = request.http.headers.get("X-Auth-Token", "")
    if not token:
        raise Unauthenticated("this needs a token in X-Auth-Token")
    return request.services.identity.validate(token)


def by_login(request: Request) -> ProjectCaller:
    """Git's HTTP login: a user's name and password, or an application credential, for the project
    named in the path. The login itself becomes the request's `claims`.
    """
    scheme, _, coded = request.http.headers.get("Authorization", "").partition(" ")
    try:
        name, _, secret = base64.b64decode(coded, validate=True).decode().partition(":")
    except ValueError as cause:  # No ASCII, no base64, or no UTF-8.
        raise Unauthenticated("the login cannot be read") from cause
    if scheme.lower() != "basic" or not name or not secret:
        raise Unauthenticated("the name or the password is wrong, or missing")
    request.claims = GitLogin(name, Secret(secret))
    return request.services.identity.login(request.claims, request.path["project"], request.source)


def by_claim(request: RunnerRequest) -> Runner:
    """The one-time token in a runner's user data."""
    return _runner(request, runner.find_by_token)


def by_session(request: RunnerRequest) -> Runner:
    """The session secret of a runner that has claimed its job, whose run goes on."""
    found = _runner(request, runner.find_by_session)
    if found.job is None:
        raise Unauthenticated(NOT_GOING_ON)
    return found


def by_last_session(request: RunnerRequest) -> Runner:
    """That of a runner whose run may have ended, which asks for the next one."""
    return _runner(request, runner.find_by_session)


SCHEMES = {
    TOKEN: Scheme(by_token, blocks=True),
    LOGIN: Scheme(by_login, blocks=True),
    CLAIM: Scheme(by_claim, blocks=True),
    SESSION: Scheme(by_session, blocks=True),
    LAST_SESSION: Scheme(by_last_session, blocks=True),
}


def envelope(_status: int, message: str, error: KumoiError) -> Any:
    """{"error": {"code", "message", "field"}}; a Transient's own message says what to wait for."""
    text = error.message if isinstance(error, Transient) else message
    body = {"code": error.code, "message": text}
    if isinstance(error, Invalid) and error.field:
        body["field"] = error.field
    return {"error": body}


def _runner(request: RunnerRequest, find: Callable[[Connection, str], Runner | None]) -> Runner:
    scheme, _, token = request.http.headers.get("Authorization", "").partition(" ")
    with request.read() as connection:
        found = find(connection, digest(token))
    if scheme != "Bearer" or found is None:
        raise Unauthenticated(NOT_GOING_ON)
    return found
