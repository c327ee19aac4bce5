"""The five handlers that every noun of the network service has.

A noun's file has what is particular to it (bodies, filters, conversions, how a row is shown) in one
Resource, with the functions of its domain; routes.py puts the handlers into the route table.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Generic, TypeVar

import msgspec
from sqlalchemy.engine import Connection

from kumoi.base.errors import UserError
from kumoi.cloud.api.network import body, query, rendering
from kumoi.cloud.api.network.rendering import Shown, Standard
from kumoi.cloud.api.request import Request, fields_set
from kumoi.cloud.domain.caller import Caller
from kumoi.cloud.store.network import tag as tag_store
from kumoi.cloud.store.network.standard import NetworkQuery
from kumoi.engine import audit
from kumoi.engine.http.paging import QueryMemo
from kumoi.engine.http.request import Body, Reply

Row = TypeVar("Row", bound=Standard)


def _keep(_request: Request, _values: dict[str, Any]) -> None:
    """The fields of the body are those of `wanted`."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Resource(Generic[Row]):
    """`new` and `changes` are the bodies of requests, `wanted` what the domain makes a row from.
    `convert` turns the fields that a body sets into those of `wanted`, or into columns, in place.
    `columns` maps an attribute to its column, `booleans`, `special` and `constants` are filters of a list
    (see query.py), and
    `prepare` is called before a list is read. `shown` renders rows with their tags; `encoded` does so
    for lists, and keeps what it has rendered before (engine/memo.py).

    The others are the noun's functions in the domain; `change` of None means that it has none.
    """

    word: str
    words: str
    new: type[Body]
    changes: type[Body] | None
    columns: Mapping[str, str]
    booleans: frozenset[str] = frozenset()
    special: frozenset[str] = frozenset()
    constants: Mapping[str, str] = field(default_factory=dict)
    wanted: Callable[..., Any]
    make: Callable[[Connection, Caller, Any, datetime], Row]
    get: Callable[[Connection, Caller, str], Row]
    page: Callable[[Connection, Caller, NetworkQuery], list[Row]]
    change: Callable[[Connection, Caller, str, dict[str, Any], datetime], Row] | None
    remove: Callable[[Connection, Caller, str, datetime], None]
    shown: Callable[[Connection, Request, Sequence[Row], Mapping[str, Sequence[str]]], list[Shown]]
    encoded: Callable[..., list[msgspec.Raw]] | None = None
    convert: Callable[[Request, dict[str, Any]], None] = _keep
    prepare: Callable[[Request], None] | None = None

    @property
    def rule(self) -> str:
        """The noun in the names of its rules: "create_<rule>"."""
        return self.word

    def create(self, request: Request) -> Reply:
        """One, or several in one transaction: all or none."""
        bodies, is_bulk = body.several(request, self.word, self.words, self.new)
        with request.write() as connection:
            made = [self._make(connection, request, fields_set(each)) for each in bodies]
            rows, tags = [row for row, _ in made], {row.id: words for row, words in made}
            tag_store.insert_all(connection, tags)
            shown = self.shown(connection, request, rows, tags)
        if is_bulk:
            return Reply(201, {self.words: shown})
        return Reply(201, {self.word: shown[0]})

    def index(self, request: Request) -> Reply:
        asked = _QUERIES.of(request, self)
        if self.prepare is not None:
            self.prepare(request)
        with request.read() as connection:
            found = self.page(connection, request.caller, asked)
            shown: list[Any]
            if self.encoded is None or query.fields(request):
                shown = self._shown(connection, request, found)
                shown = [rendering.only(request, each) for each in shown]
            else:
                tags = tag_store.of_many(connection, [row.id for row in found])
                shown = self.encoded(connection, request, found, tags)
        return rendering.page(request, self.words, shown, [row.id for row in found], asked)

    def show(self, request: Request) -> Reply:
        with request.read() as connection:
            found = self.get(connection, request.caller, request.path["id"])
            (shown,) = self._shown(connection, request, [found])
        return Reply(200, {self.word: rendering.only(request, shown)})

    def update(self, request: Request) -> Reply:
        if self.changes is None or self.change is None:
            raise UserError(f"a {self.word} cannot be changed")
        fixed = {*self.columns, *query.STANDARD, *body.names(self.new)}
        values = fields_set(body.one(request, self.word, self.changes, fixed=fixed))
        key = request.path["id"]
        with request.write() as connection:
            rendering.require_revision(request, self.get(connection, request.caller, key))
            self.convert(request, values)
            now = request.services.clock.now()
            changed = self.change(connection, request.caller, key, values, now)
            (shown,) = self._shown(connection, request, [changed])
        return Reply(200, {self.word: shown})

    def delete(self, request: Request) -> Reply:
        key = request.path["id"]
        with request.write() as connection:
            rendering.require_revision(request, self.get(connection, request.caller, key))
            self.remove(connection, request.caller, key, request.services.clock.now())
        return Reply(204)

    def _make(
        self, connection: Connection, request: Request, values: dict[str, Any]
    ) -> tuple[Row, Sequence[str]]:
        """The row, and its tags."""
        tags = sorted(set(values.pop("tags", None) or ()))
        values["project_id"] = rendering.owner(request, values, f"create_{self.rule}")
        self.convert(request, values)
        now = request.services.clock.now()
        row = self.make(connection, request.caller, self.wanted(**values), now)
        audit.about(row.id)
        return row, tags

    def _shown(self, connection: Connection, request: Request, rows: Sequence[Row]) -> list[Shown]:
        tags = tag_store.of_many(connection, [row.id for row in rows]) if rows else {}
        return self.shown(connection, request, rows, tags)


def _read_query(request: Request, resource: Resource[Any]) -> NetworkQuery:
    return query.read(
        request,
        resource.columns,
        booleans=resource.booleans,
        special=resource.special,
        constants=resource.constants,
    )


_QUERIES = QueryMemo(_read_query)
