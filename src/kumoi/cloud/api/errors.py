"""The envelope of each service's errors, as the real one has them. Nowhere else.

Identity: {"error": {"code", "message", "title"}}, which is the framework's plain one. Compute:
{"<type word>": {"code", "message"}}. Network: {"NeutronError": {"type", "message", "detail"}}.
Image: {"code", "title", "message"}, or a page for who does not ask for JSON (image/error_page.py).
Load balancer: {"faultcode", "faultstring", "debuginfo"}. Key manager: {"code", "title",
"description"}. Placement: {"errors": [{"status", "title", "detail", "code"}]}.
"""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from kumoi.base.errors import (
    Bug,
    Conflict,
    Forbidden,
    Invalid,
    KumoiError,
    NotFound,
    OverQuota,
    Stale,
    Transient,
    Unauthenticated,
)

SERVERS_FAULT = 500
CHALLENGE = 'Keystone uri="/identity"'

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

NETWORK_STATUSES: Mapping[type[KumoiError], int] = {OverQuota: 409}
NETWORK_WORDS: dict[type[KumoiError], str] = {
    OverQuota: "OverQuota",
    Stale: "RevisionNumberConstraintFailed",
    Unauthenticated: "HTTPUnauthorized",
    Forbidden: "PolicyNotAuthorized",
    Transient: "ServiceUnavailable",
    Bug: "InternalServerError",
}


def compute(status: int, message: str, _error: KumoiError) -> Any:
    return {COMPUTE_WORDS.get(status, "computeFault"): {"code": status, "message": message}}


def network(_status: int, message: str, error: KumoiError) -> Any:
    return {"NeutronError": {"type": _network_word(error), "message": message, "detail": ""}}


def image(status: int, message: str, _error: KumoiError) -> Any:
    title = HTTPStatus(status).phrase
    return {"code": f"{status} {title}", "title": title, "message": message}


def load_balancer(status: int, message: str, _error: KumoiError) -> Any:
    code = "Client" if status < SERVERS_FAULT else "Server"
    return {"faultcode": code, "faultstring": message, "debuginfo": None}


def key_manager(status: int, message: str, _error: KumoiError) -> Any:
    return {"code": status, "title": HTTPStatus(status).phrase, "description": message}


def placement(status: int, message: str, _error: KumoiError) -> Any:
    title = HTTPStatus(status).phrase
    shown = {
        "status": status,
        "title": title,
        "detail": message,
        "code": "placement.undefined_code",
    }
    return {"errors": [shown]}


def _network_word(error: KumoiError) -> str:
    """Neutron's exception name, which its clients show: "NetworkNotFound"."""
    if isinstance(error, NotFound | Invalid | Conflict) and error.kind is not None:
        return error.kind
    if isinstance(error, NotFound):
        return "".join(word.capitalize() for word in error.noun.split()) + "NotFound"
    for kind, word in NETWORK_WORDS.items():
        if isinstance(error, kind):
            return word
    return "HTTPBadRequest"
