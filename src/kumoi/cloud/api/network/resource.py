"""The five handlers that every noun of the network service has.

A noun's file says what is its own (shapes, filters, how a row is made and shown) in one Resource;
routes.py puts the handlers into the table.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
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


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Resource(Generic[Row]):
    """`columns` maps an attribute to its column; `shown` renders rows with their tags.

    `make` and `change` get what the body says, by the names of its shape; `change` of None means
    that the noun cannot be changed. `encoded` is `shown` for lists, where what was shown before is
    kept (engine/memo.py).
    """

    word: str
    words: str
    new: type[Body]
    changes: type[Body] | None
    columns: Mapping[str, str]
    booleans: frozenset[str] = frozenset()
    special: frozenset[str] = frozenset()
    make: Callable[[Connection, Request, dict[str, Any]], Row]
    get: Callable[[Connection, Caller, str], Row]
    page: Callable[[Connection, Caller, NetworkQuery], list[Row]]
    change: Callable[[Connection, Request, str, dict[str, Any]], Row] | None
    remove: Callable[[Connection, Request, str], None]
    shown: Callable[[Connection, Request, Sequence[Row], Mapping[str, Sequence[str]]], list[Shown]]
    encoded: Callable[..., list[msgspec.Raw]] | None = None
    prepare: Callable[[Request], None] | None = None

    @property
    def rule(self) -> str:
        """The noun as its rules name it: "create_<rule>"."""
        return self.word

    def create(self, request: Request) -> Reply:
        """One, or several in one transaction: all or none."""
        wanted, is_bulk = body.several(request, self.word, self.words, self.new)
        with request.write() as connection:
            made = [self._made(connection, request, fields_set(one)) for one in wanted]
            rows, tags = [row for row, _ in made], {row.id: words for row, words in made}
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
            shown = self._listed(connection, request, found)
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
            changed = self.change(connection, request, key, values)
            (shown,) = self._shown(connection, request, [changed])
        return Reply(200, {self.word: shown})

    def delete(self, request: Request) -> Reply:
        key = request.path["id"]
        with request.write() as connection:
            rendering.require_revision(request, self.get(connection, request.caller, key))
            self.remove(connection, request, key)
        return Reply(204)

    def _made(
        self, connection: Connection, request: Request, values: dict[str, Any]
    ) -> tuple[Row, Sequence[str]]:
        """The row, and its tags."""
        tags = sorted(set(values.pop("tags", None) or ()))
        values["project_id"] = rendering.owner(request, values, f"create_{self.rule}")
        row = self.make(connection, request, values)
        audit.about(row.id)
        if tags:
            tag_store.replace(connection, row.id, tags)
        return row, tags

    def _listed(self, connection: Connection, request: Request, rows: Sequence[Row]) -> list[Any]:
        if self.encoded is None or query.fields(request):
            shown = self._shown(connection, request, rows)
            return [rendering.only(request, one) for one in shown]
        tags = tag_store.of_many(connection, [row.id for row in rows])
        return self.encoded(connection, request, rows, tags)

    def _shown(self, connection: Connection, request: Request, rows: Sequence[Row]) -> list[Shown]:
        tags = tag_store.of_many(connection, [row.id for row in rows]) if rows else {}
        return self.shown(connection, request, rows, tags)


def _read_query(request: Request, resource: Resource[Any]) -> NetworkQuery:
    return query.read(
        request, resource.columns, booleans=resource.booleans, special=resource.special
    )


_QUERIES = QueryMemo(_read_query)
