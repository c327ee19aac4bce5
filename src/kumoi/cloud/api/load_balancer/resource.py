"""The five requests that every noun of the load balancer service has.

A noun's file says what is its own (shapes, filters, how a row is made and shown) in one Resource;
routes.py puts the handlers into the table.
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
from kumoi.cloud.store.network.standard import NetworkQuery
from kumoi.engine import audit
from kumoi.engine.http import paging
from kumoi.engine.http.request import Body, Reply


class Identified(Protocol):
    @property
    def id(self) -> str: ...


Row = TypeVar("Row", bound=Identified)


@dataclass(frozen=True, slots=True, kw_only=True)
class BalancingResource(Generic[Row]):
    """`columns` are what a list may be filtered by, `defaults` what null says in a change, `key` is the path's placeholder for one. All but
    `page` and `shown` are asked with what the path names.
    """

    word: str
    words: str
    key: str = "id"
    new: type[Body]
    changes: type[Body]
    columns: Mapping[str, type]
    defaults: dict[str, Any] = field(default_factory=dict)
    make: Callable[[Connection, Request, Any], Row]
    get: Callable[[Connection, Request, str], Row]
    page: Callable[[Connection, Request, NetworkQuery], list[Row]]
    change: Callable[[Connection, Request, str, dict[str, Any]], Row]
    remove: Callable[[Connection, Request, str], None]
    shown: Callable[[Connection, Sequence[Row], TagsOf], list[Shown]]

    def create(self, request: Request) -> Reply:
        wanted = body.one(request, self.word, self.new)
        with request.write() as connection:
            row = self.make(connection, request, wanted)
            audit.about(row.id)
            shown = self._one(connection, row)
        return Reply(201, {self.word: shown})

    def index(self, request: Request) -> Reply:
        asked = query.read(request, self.columns)
        with request.read() as connection:
            rows = self.page(connection, request, asked)
            shown = self._shown(connection, rows)
        links = paging.links(request, [row.id for row in rows], asked.listing.limit)
        selected = [one for one in shown if _has_states(one, asked.special)]
        reply: dict[str, Any] = {self.words: [_only(request, one) for one in selected]}
        return Reply(200, reply | ({f"{self.words}_links": links} if links else {}))

    def show(self, request: Request) -> Reply:
        with request.read() as connection:
            row = self.get(connection, request, request.path[self.key])
            shown = self._one(connection, row)
        return Reply(200, {self.word: _only(request, shown)})

    def update(self, request: Request) -> Reply:
        values = body.changes(body.one(request, self.word, self.changes), self.defaults)
        tags = values.pop("tags", None)
        key = request.path[self.key]
        with request.write() as connection:
            row = self.change(connection, request, key, values)
            if tags is not None:
                tag_store.replace(connection, key, tags)
            shown = self._one(connection, row)
        return Reply(200, {self.word: shown})

    def delete(self, request: Request) -> Reply:
        with request.write() as connection:
            self.remove(connection, request, request.path[self.key])
        return Reply(204)

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
