"""The five handlers that every noun of the load balancer service has.

A noun's file has what is particular to it (bodies, filters, conversions, how a row is shown) in one
Resource, with the functions of its domain; routes.py puts the handlers into the route table.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, Protocol, TypeVar

from sqlalchemy.engine import Connection

from kumoi.cloud.api.load_balancer import body, query
from kumoi.cloud.api.load_balancer.rendering import Shown, TagsOf
from kumoi.cloud.api.request import Request
from kumoi.cloud.store.network import tag as tag_store
from kumoi.engine import audit
from kumoi.engine.http import paging
from kumoi.engine.http.request import Body, Reply


class Identified(Protocol):
    @property
    def id(self) -> str: ...


Row = TypeVar("Row", bound=Identified)


def _keep(_request: Request, _values: dict[str, Any]) -> None:
    """The fields of the body are columns."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BalancingResource(Generic[Row]):
    """`new` and `changes` are the bodies of requests, `wanted` makes of what is said of a
    new one what the domain makes a row from; `convert` turns the fields that a change sets into
    columns, in place.
    `columns` are what a list may be filtered by, beside the `standard` ones, `order` is which
    it is sorted by, `defaults` what null says in a change. `keys` are the
    path's placeholders: of what it is within, and of one.

    `shown` renders rows with their tags, `shown_new` one that was made, where it is shown otherwise.
    The others are the noun's functions in the domain, called with what the path names.
    """

    word: str
    words: str
    keys: tuple[str, ...] = ("id",)
    new: type[Body]
    changes: type[Body]
    columns: Mapping[str, type]
    order: str = "created_at"
    standard: Mapping[str, type] = field(default_factory=lambda: query.STANDARD)
    defaults: dict[str, Any] = field(default_factory=dict)
    wanted: Callable[[Request, dict[str, Any]], Any]
    convert: Callable[[Request, dict[str, Any]], None] = _keep
    make: Callable[..., Row]
    get: Callable[..., Row]
    page: Callable[..., list[Row]]
    change: Callable[..., Row]
    remove: Callable[..., None]
    shown: Callable[[Connection, Sequence[Row], TagsOf], list[Shown]]
    shown_new: Callable[[Connection, Row], Shown] | None = None

    def create(self, request: Request) -> Reply:
        said = body.said(body.one(request, self.word, self.new))
        wanted, now = self.wanted(request, said), request.services.clock.now()
        with request.write() as connection:
            row = self.make(connection, request.caller, *self._within(request), wanted, now)
            audit.about(row.id)
            shown = (self.shown_new or self._one)(connection, row)
        return Reply(201, {self.word: shown})

    def index(self, request: Request) -> Reply:
        asked = query.read(request, {**self.standard, **self.columns}, self.order)
        with request.read() as connection:
            rows = self.page(connection, request.caller, *self._within(request), asked)
            shown = self._shown(connection, rows)
        links = paging.links(request, [row.id for row in rows], asked.listing.limit)
        selected = [one for one in shown if _has_states(one, asked.special)]
        reply: dict[str, Any] = {self.words: [_only(request, one) for one in selected]}
        return Reply(200, reply | ({f"{self.words}_links": links} if links else {}))

    def show(self, request: Request) -> Reply:
        with request.read() as connection:
            row = self.get(connection, request.caller, *self._named(request))
            shown = self._one(connection, row)
        return Reply(200, {self.word: _only(request, shown)})

    def update(self, request: Request) -> Reply:
        values = body.changes(body.one(request, self.word, self.changes), self.defaults)
        tags = values.pop("tags", None)
        self.convert(request, values)
        keys, now = self._named(request), request.services.clock.now()
        with request.write() as connection:
            row = self.change(connection, request.caller, *keys, values, now=now)
            if tags is not None:
                tag_store.replace(connection, row.id, tags)
            shown = self._one(connection, row)
        return Reply(200, {self.word: shown})

    def delete(self, request: Request) -> Reply:
        keys, now = self._named(request), request.services.clock.now()
        with request.write() as connection:
            self.remove(connection, request.caller, *keys, now=now)
        return Reply(204)

    def _named(self, request: Request) -> list[str]:
        return [request.path[key] for key in self.keys]

    def _within(self, request: Request) -> list[str]:
        return [request.path[key] for key in self.keys[:-1]]

    def _one(self, connection: Connection, row: Row) -> Shown:
        return self._shown(connection, [row])[0]

    def _shown(self, connection: Connection, rows: Sequence[Row]) -> list[Shown]:
        if not rows:
            return []
        return self.shown(connection, rows, tag_store.of_many(connection, [row.id for row in rows]))


def _has_states(shown: Shown, states: Mapping[str, Sequence[str]]) -> bool:
    return all(shown[name] in wanted for name, wanted in states.items())


def _only(request: Request, shown: Shown) -> Shown:
    """The attributes that the request asks for."""
    wanted = query.fields(request)
    return {name: value for name, value in shown.items() if name in wanted} if wanted else shown
