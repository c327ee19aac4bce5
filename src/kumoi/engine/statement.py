"""A SELECT that is built and compiled once, and then handed to the driver as it is.

SQLAlchemy spends several times what SQLite does for a short query: it makes a key of the statement
to find what it compiled before, an execution context, a result with metadata. Here a query with
named parameters (`sa.bindparam`) is written at import; the first call for a dialect compiles it,
and each call costs the driver's own time. Used by store/ for what is asked all the time.

Same types, same transaction, same errors as by `connection.execute`. A parameter cannot be a list.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Dialect

Convert = Callable[[Any], Any]

AMONG_MAX = 4_096  # Databases bound the parameters of one statement. A power of two.


def say(connection: Connection, text: str, parameters: Any = ()) -> Any:
    """Hand a text to the driver; its cursor. Raises what `connection.execute` would."""
    cursor: Any = connection.connection.cursor()
    try:
        cursor.execute(text, parameters)
    except Exception as cause:  # noqa: BLE001 - whatever it is, SQLAlchemy says it in its words
        connection._handle_dbapi_exception(cause, text, None, cursor, None)  # noqa: SLF001
    return cursor


class Statement:
    """`rows` are tuples of the query's columns, in its order."""

    def __init__(self, query: sa.Select[Any]) -> None:
        self._query = query
        self._compiled: dict[str, _Compiled] = {}

    def rows(self, connection: Connection, **values: Any) -> list[tuple[Any, ...]]:
        """All of them. `values` are those of the query's parameters."""
        dialect = connection.dialect
        compiled = self._compiled.get(dialect.name)
        if compiled is None:
            compiled = self._compiled[dialect.name] = _Compiled(self._query, dialect)
        return compiled.rows(connection, values)

    def row(self, connection: Connection, **values: Any) -> tuple[Any, ...] | None:
        """The first."""
        found = self.rows(connection, **values)
        return found[0] if found else None


class Among:
    """As a Statement, for the rows whose `column` is one of some keys, however many there are. In
    the query's order as long as there are at most AMONG_MAX keys.
    """

    def __init__(self, query: sa.Select[Any], column: sa.Column[Any]) -> None:
        self._query = query
        self._column = column
        self._of_size: dict[int, Statement] = {}

    def rows(
        self, connection: Connection, keys: Collection[Any], **values: Any
    ) -> list[tuple[Any, ...]]:
        listed = list(keys)
        found: list[tuple[Any, ...]] = []
        for start in range(0, len(listed), AMONG_MAX):
            some = listed[start : start + AMONG_MAX]
            size = 1 << (len(some) - 1).bit_length()
            some += [some[-1]] * (size - len(some))  # So there are few sizes.
            numbered = {f"among_{place}": key for place, key in enumerate(some)}
            found += self._statement(size).rows(connection, **numbered, **values)
        return found

    def _statement(self, size: int) -> Statement:
        statement = self._of_size.get(size)
        if statement is None:
            type_ = self._column.type
            places = [sa.bindparam(f"among_{n}", type_=type_, required=True) for n in range(size)]
            statement = Statement(self._query.where(self._column.in_(places)))
            self._of_size[size] = statement
        return statement


class _Compiled:
    """The text for one dialect, and what turns values into the driver's and back."""

    def __init__(self, query: sa.Select[Any], dialect: Dialect) -> None:
        compiled = query.compile(dialect=dialect, compile_kwargs={"render_postcompile": True})
        self._text = str(compiled)
        self._order: Sequence[str] | None = compiled.positiontup
        self._fixed = {
            name: _bound(bind.type, dialect, bind.effective_value)
            for bind, name in compiled.bind_names.items()
            if not bind.required
        }
        self._given = {
            name: bind.type.dialect_impl(dialect).bind_processor(dialect)
            for bind, name in compiled.bind_names.items()
            if bind.required
        }
        self._types = [column.type.dialect_impl(dialect) for column in query.selected_columns]
        self._dialect = dialect
        self._readers: list[tuple[int, Convert]] | None = None

    def rows(self, connection: Connection, values: Mapping[str, Any]) -> list[tuple[Any, ...]]:
        told = {**self._fixed}
        for name, convert in self._given.items():
            told[name] = values[name] if convert is None else convert(values[name])
        parameters = told if self._order is None else [told[name] for name in self._order]
        cursor = say(connection, self._text, parameters)
        found: list[tuple[Any, ...]] = cursor.fetchall()
        readers = self._readers
        if readers is None:
            readers = self._readers = self._find_readers(cursor.description)
        cursor.close()
        return [_read(row, readers) for row in found] if readers else found

    def _find_readers(self, description: Sequence[Any]) -> list[tuple[int, Convert]]:
        """How a column is read depends on what the database sends for it as well."""
        readers = [
            type_.result_processor(self._dialect, column[1])
            for type_, column in zip(self._types, description, strict=True)
        ]
        return [(place, reader) for place, reader in enumerate(readers) if reader is not None]


def _read(row: tuple[Any, ...], readers: Sequence[tuple[int, Convert]]) -> tuple[Any, ...]:
    cells = list(row)
    for place, read in readers:
        cells[place] = read(cells[place])
    return tuple(cells)


def _bound(type_: Any, dialect: Dialect, value: Any) -> Any:
    convert = type_.dialect_impl(dialect).bind_processor(dialect)
    return value if convert is None else convert(value)
