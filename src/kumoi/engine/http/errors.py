"""The HTTP status of every error, and the answer to a failed request. No other file has them.

The form of the body is the service's own, its `envelope`. A service that answers an error with
another status than the others do lists it in its `statuses`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from kumoi.base.errors import (
    Bug,
    Conflict,
    Forbidden,
    Gone,
    Invalid,
    KumoiError,
    NotFound,
    OutcomeUnknown,
    OverQuota,
    RateLimited,
    Stale,
    StoreBehind,
    StoreDamaged,
    StoreFull,
    StoreLost,
    TooLarge,
    Transient,
    Unauthenticated,
    Unsupported,
    UserError,
)
from kumoi.engine.http.request import Reply

if TYPE_CHECKING:
    from kumoi.engine.http.service import Service

INTERNAL = 500
FULL = "The disk of this cloud's store is full. Nothing was changed; try again when its operator has made room"
DAMAGED = "This cloud's store is damaged; its operator has to bring a backup back"
STORE_AWAY = (
    "This cloud's store takes no changes now, and nothing was changed; try again in a moment"
)
BEHIND = (
    "This API has not reached enough of the store's servers for too long to know whose access was withdrawn meanwhile, so "
    "it shows nothing; ask another control host, or try again when it does"
)
UNKNOWN = "It is not known whether this was done: look before you try again"


class MethodNotAllowed(UserError):
    """`allowed` are the methods the resource has."""

    code = "request.method_not_allowed"

    def __init__(self, allowed: Iterable[str]) -> None:
        super().__init__("The method is not allowed for this resource.")
        self.allowed = ", ".join(sorted(allowed))


class UnsupportedMediaType(UserError):
    """The body is of a type that the resource does not accept; 415."""

    code = "request.unsupported_media_type"


class QueryTooLong(UserError):
    """The query string is longer than any list needs; 414."""

    code = "request.query_too_long"


class NotAcceptable(UserError):
    """The microversion is outside the range; 406."""

    code = "version.not_acceptable"


class TooSlow(UserError):
    """The client sends its request too slowly; it may send it again."""

    code = "request.too_slow"


STATUS: Mapping[type[KumoiError], int] = {
    Invalid: 400,
    Unauthenticated: 401,
    Forbidden: 403,
    NotFound: 404,
    Conflict: 409,
    Gone: 410,
    Stale: 412,
    TooLarge: 413,
    Unsupported: 501,
    NotAcceptable: 406,
    MethodNotAllowed: 405,
    QueryTooLong: 414,
    UnsupportedMediaType: 415,
    RateLimited: 429,
    TooSlow: 408,
    OverQuota: 403,
    UserError: 400,
    Transient: 503,
    OutcomeUnknown: 504,
    StoreDamaged: 503,
}


def status_of(error: KumoiError, statuses: Mapping[type[KumoiError], int]) -> int:
    """The status with which a service answers an error; its own `statuses` come first."""
    for kind in type(error).__mro__:
        status = statuses.get(kind) or STATUS.get(kind)
        if status is not None:
            return status
    return INTERNAL


def reply(error: KumoiError, service: Service) -> Reply:
    """The answer to a request that raised this error."""
    status = status_of(error, service.statuses)
    headers = {}
    if isinstance(error, RateLimited | Transient) and not isinstance(error, OutcomeUnknown):
        headers["Retry-After"] = str(max(1, round(error.retry_after_s)))
    if isinstance(error, MethodNotAllowed):
        headers["Allow"] = error.allowed
    if isinstance(error, Unauthenticated) and service.challenge:
        headers["WWW-Authenticate"] = service.challenge
    message = error.message if isinstance(error, UserError) else "The service is not available now"
    if isinstance(error, OutcomeUnknown):
        message = UNKNOWN
    if isinstance(error, StoreLost):
        message = STORE_AWAY
    if isinstance(error, StoreBehind):
        message = BEHIND
    if isinstance(error, StoreFull):
        message = FULL
    if isinstance(error, StoreDamaged):
        message = DAMAGED
    return Reply(status, service.envelope(status, message, error), headers)


def internal(service: Service) -> Reply:
    """The answer to an unexpected exception, which the log has under the request's id."""
    message = "An unexpected error prevented the server from fulfilling your request."
    return Reply(INTERNAL, service.envelope(INTERNAL, message, Bug(message)))
