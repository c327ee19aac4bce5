"""A service as data: everything in which one differs from another. The framework has no `if` for
any.

A service's Service, with its table of routes, is in its routes.py; a role passes it to app.App.
Adding a service changes nothing here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Protocol

from kumoi.base.errors import KumoiError
from kumoi.engine.http.request import Reply, Request
from kumoi.engine.http.routing import Route
from kumoi.engine.http.versions import Microversions

Envelope = Callable[[int, str, KumoiError], Any]
"""Makes the body of an error's answer, from the status, the message and the error."""

Statuses = Mapping[type[KumoiError], int]


class PolicyRule(Protocol):
    """A row of a policy table."""

    def allows(self, caller: Any, /) -> bool:
        """Whether a caller with these roles may do it at all."""


Refusal = Callable[[Request[Any, Any], KumoiError], Reply | None]
"""An error's answer in another protocol, such as git's; None where the envelope is right."""


@dataclass(frozen=True, slots=True)
class Scheme:
    """A way to authenticate: `identify` returns the caller, or raises Unauthenticated. A scheme
    that waits for the store or another service `blocks`, and runs in a thread.
    """

    identify: Callable[[Request[Any, Any]], Any]
    blocks: bool = False


def plain(status: int, message: str, _error: KumoiError) -> Any:
    """The envelope of Keystone, and of paths that belong to no service."""
    title = HTTPStatus(status).phrase
    return {"error": {"code": status, "message": message, "title": title}}


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """`prefix` is the first word of its paths, "" for the root alone. `schemes` are the ways to
    authenticate that its routes name. Every answer has `headers`, and the request's id in each of
    the headers that `id_headers` names.
    """

    type: str
    prefix: str
    routes: tuple[Route, ...]
    policies: Mapping[str, PolicyRule] = field(default_factory=dict)
    schemes: Mapping[str, Scheme] = field(default_factory=dict)
    envelope: Envelope = plain
    statuses: Statuses = field(default_factory=dict)
    refusal: Refusal | None = None
    challenge: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    id_headers: tuple[str, ...] = ("X-Openstack-Request-Id",)
    versions: Microversions | None = None
