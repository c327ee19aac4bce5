"""HTTP status and envelope of every error, as each real service has them. Nowhere else.

Identity: {"error": {"code", "message", "title"}}. Compute: {"<type word>": {"code", "message"}}.
Network: {"NeutronError": {"type", "message", "detail"}}. Image: {"code", "title", "message"}, which
its clients accept beside Glance's HTML.
"""

from __future__ import annotations

from collections.abc import Iterable
from http import HTTPStatus
from typing import Any

from kumoi.base.errors import (
    Conflict,
    Forbidden,
    Invalid,
    KumoiError,
    NotFound,
    OverQuota,
    RateLimited,
    Stale,
    TooLarge,
    Transient,
    Unauthenticated,
    Unsupported,
    UserError,
)
from kumoi.cloud.api.request import Reply
from kumoi.cloud.api.versions import NotAcceptable
from kumoi.engine.serving import TooSlow


class MethodNotAllowed(UserError):
    """`allowed` are the methods the resource has."""

    code = "request.method_not_allowed"

    def __init__(self, allowed: Iterable[str]) -> None:
        super().__init__("The method is not allowed for this resource.")
        self.allowed = ", ".join(sorted(allowed))


class UnsupportedMediaType(UserError):
    """The body is of a type that the resource does not take; 415."""

    code = "request.unsupported_media_type"


STATUS: dict[type[KumoiError], int] = {
    Invalid: 400,
    Unauthenticated: 401,
    Forbidden: 403,
    NotFound: 404,
    Conflict: 409,
    Stale: 412,
    TooLarge: 413,
    Unsupported: 501,
    NotAcceptable: 406,
    MethodNotAllowed: 405,
    UnsupportedMediaType: 415,
    RateLimited: 429,
    TooSlow: 408,
    OverQuota: 403,
    UserError: 400,
    Transient: 503,
}


COMPUTE_WORDS = {
    400: "badRequest",
    401: "unauthorized",
    403: "forbidden",
    404: "itemNotFound",
    405: "badMethod",
    406: "computeFault",
    409: "conflictingRequest",
    413: "overLimit",
    415: "badMediaType",
    429: "overLimit",
    500: "computeFault",
    501: "notImplemented",
    503: "serviceUnavailable",
}


NETWORK_WORDS: dict[type[KumoiError], str] = {
    OverQuota: "OverQuota",
    Stale: "RevisionNumberConstraintFailed",
    Unauthenticated: "HTTPUnauthorized",
    Forbidden: "PolicyNotAuthorized",
}


def status_of(error: KumoiError, service_type: str) -> int:
    """The status a service answers this error with."""
    if isinstance(error, OverQuota) and service_type == "network":
        return 409
    for kind in type(error).__mro__:
        if kind in STATUS:
            return STATUS[kind]
    return 500


def reply(error: KumoiError, service_type: str) -> Reply:
    """The answer to a request that failed."""
    headers = {}
    if isinstance(error, RateLimited):
        headers["Retry-After"] = str(max(1, round(error.retry_after_s)))
    if isinstance(error, MethodNotAllowed):
        headers["Allow"] = error.allowed
    if isinstance(error, Unauthenticated):
        headers["WWW-Authenticate"] = 'Keystone uri="/identity"'
    status = status_of(error, service_type)
    message = error.message if isinstance(error, UserError) else "The service is not available now"
    return Reply(status, envelope(service_type, status, message, type_word(error)), headers)


def internal(service_type: str) -> Reply:
    """The answer when we failed; the log has the reason under the request's id."""
    message = "An unexpected error prevented the server from fulfilling your request."
    return Reply(500, envelope(service_type, 500, message, "InternalServerError"))


def envelope(service_type: str, status: int, message: str, word: str) -> dict[str, Any]:
    title = HTTPStatus(status).phrase
    if service_type == "compute":
        return {COMPUTE_WORDS.get(status, "computeFault"): {"code": status, "message": message}}
    if service_type == "network":
        return {"NeutronError": {"type": word, "message": message, "detail": ""}}
    if service_type == "image":
        return {"code": f"{status} {title}", "title": title, "message": message}
    return {"error": {"code": status, "message": message, "title": title}}


def type_word(error: KumoiError) -> str:
    """Neutron's exception name, which its clients show: "NetworkNotFound"."""
    if isinstance(error, NotFound | Invalid | Conflict) and error.kind is not None:
        return error.kind
    if isinstance(error, NotFound):
        return "".join(word.capitalize() for word in error.noun.split()) + "NotFound"
    for kind, word in NETWORK_WORDS.items():
        if isinstance(error, kind):
            return word
    return "HTTPBadRequest"
