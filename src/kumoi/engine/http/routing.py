"""Routes, and the table that finds the route of a path."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from kumoi.base.errors import Bug

OPEN = "open"  # The policy of a route without authentication: versions and logins.
KNOWN = "known"  # Any authenticated caller: a host, a runner; or the handler checks a rule itself.
TOKEN = "token"  # noqa: S105 - a scheme's name


@dataclass(frozen=True, slots=True)
class Route:
    """`policy` names a rule of the service, or is OPEN or KNOWN. `since` is the first microversion
    that has the route, `until` the last. A handler that `streams` is a coroutine and reads the body
    itself; any other runs in a thread of `pool`, see App. `scheme` names the service's way to
    authenticate the caller. A route with a changing method is audited; where `audits` is false,
    only refusals are. With `slash`, its path may end in one though a placeholder may stand there.
    What comes every few seconds is `quiet`: no line in the log says that it was handled. One that `reads` changes
    nothing, whatever its method.
    """

    method: str
    path: str
    handler: Callable[..., Any]
    policy: str
    since: tuple[int, int] | None = None
    until: tuple[int, int] | None = None
    streams: bool = False
    pool: str = ""
    scheme: str = TOKEN
    audits: bool = True
    slash: bool = False
    quiet: bool = False
    reads: bool = False


@dataclass(slots=True)
class _Node:
    children: dict[str, _Node] = field(default_factory=dict)
    placeholder: tuple[str, _Node] | None = None
    methods: dict[str, Route] = field(default_factory=dict)


class RouteTable:
    """Finds a route by segments: a literal before a placeholder."""

    def __init__(self, routes: Iterable[Route]) -> None:
        self._root = _Node()
        for route in routes:
            node = self._root
            for segment in _segments(route.path):
                node = _child(node, segment)
            if route.method in node.methods:
                raise Bug(f"two routes for {route.method} {route.path}")
            node.methods[route.method] = route

    def find(self, path: str) -> tuple[dict[str, Route], dict[str, str]]:
        """The routes by method at a path, and its placeholders; no routes where there is none.

        `/images/` names an image without an id: there is none, unless a route allows the slash.
        """
        found: dict[str, str] = {}
        node: _Node | None = self._root
        for segment in _segments(path):
            if node is None:
                break
            if segment in node.children:
                node = node.children[segment]
            elif node.placeholder is not None:
                name, node = node.placeholder
                found[name] = segment
            else:
                node = None
        if node is None:
            return {}, found
        if path.endswith("/") and node.placeholder is not None:
            return {name: route for name, route in node.methods.items() if route.slash}, found
        return node.methods, found


def _segments(path: str) -> list[str]:
    return [segment for segment in path.split("/") if segment]


def _child(node: _Node, segment: str) -> _Node:
    if not segment.startswith("{"):
        return node.children.setdefault(segment, _Node())
    name = segment.strip("{}")
    if node.placeholder is None:
        node.placeholder = (name, _Node())
    if node.placeholder[0] != name:
        raise Bug(f"two names for one place: {node.placeholder[0]} and {name}")
    return node.placeholder[1]
