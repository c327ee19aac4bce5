"""What is particular to one service, as data: the framework has no `if` for any of them.

A service's route table and its Service stand in its routes.py; whoever serves it hands them to
app.App. Adding one changes nothing here.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Protocol

from kumoi.base.errors import KumoiError
from kumoi.engine.http.request import Reply, Request
from kumoi.engine.http.routing import Route
from kumoi.engine.http.versions import Microversions

Envelope = Callable[[int, str, KumoiError], Any]
"""The body of an answer to a request that failed: of its status, what to say, and the error."""

Statuses = Mapping[type[KumoiError], int]


class PolicyRule(Protocol):
    """A row of a policy table."""

    def allows(self, caller: Any, /) -> bool:
        """Whether such a caller may at all."""


Refusal = Callable[[Request[Any, Any], KumoiError], Reply | None]
"""The answer in the words of another protocol; None where the envelope will do."""


@dataclass(frozen=True, slots=True)
class Scheme:
    """How a caller is known: `identify` returns who it is, or raises Unauthenticated. One that
    waits for somebody else, or for the store, `blocks` and runs in a thread.
    """

    identify: Callable[[Request[Any, Any]], Any]
    blocks: bool = False


def plain(status: int, message: str, _error: KumoiError) -> Any:
    """Keystone's envelope, and that of whatever belongs to no service."""
    title = HTTPStatus(status).phrase
    return {"error": {"code": status, "message": message, "title": title}}


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """`prefix` is the first word of its paths, "" for the root alone. `schemes` are the ways to know
    a caller that its routes name. `headers` go with every answer, and the request's id under each
    of the names in `id_headers`.
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


Handler = Callable[[Request[Any, Any]], Reply] | Callable[[Request[Any, Any]], Awaitable[Reply]]
