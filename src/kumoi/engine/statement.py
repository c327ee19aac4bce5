"""A statement that is built and compiled once, and then handed to the driver as it is.

SQLAlchemy spends several times what SQLite does for a short query: it makes a key of the statement
to find what it compiled before, an execution context, a result with metadata. Here a query with
named parameters (`sa.bindparam`) is written at import; the first call for a dialect compiles it,
and each call costs the driver's own time. Used by store/ for what is asked and written all the time.

Same types, same transaction, same errors as by `connection.execute`. A parameter cannot be a list.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Dialect

Convert = Callable[[Any], Any]
Query = sa.Select[Any] | sa.Insert | sa.Update | sa.Delete

AMONG_MAX = 4_096  # Databases bound the parameters of one statement. A power of two.


def say(connection: Connection, text: str, parameters: Any = (), *, many: bool = False) -> Any:
    """Hand a text to the driver, once or for `many` parameters; its cursor. Raises what
    `connection.execute` would.
    """
    cursor: Any = connection.connection.cursor()
    try:
        if many:
            cursor.executemany(text, parameters)
        else:
            cursor.execute(text, parameters)
    except Exception as cause:  # noqa: BLE001 - whatever it is, SQLAlchemy says it in its words
        connection._handle_dbapi_exception(cause, text, None, cursor, None)  # noqa: SLF001
    return cursor


class Statement:
    """`rows` are tuples of the query's columns, in its order. An UPDATE gives those that it returns;
    `names` are the columns that its parameters of the same names are for.
    """

    def __init__(self, query: Query, names: Sequence[str] | None = None) -> None:
        self._query = query
        self._names = names
        self._compiled: dict[str, _Compiled] = {}

    def rows(self, connection: Connection, **values: Any) -> list[tuple[Any, ...]]:
        """All of them. `values` are those of the query's parameters."""
        return self._for(connection).rows(connection, values)

    def row(self, connection: Connection, **values: Any) -> tuple[Any, ...] | None:
        """The first."""
        found = self._for(connection).rows(connection, values)
        return found[0] if found else None

    def run(self, connection: Connection, values: Mapping[str, Any]) -> int:
        """For an INSERT, UPDATE or DELETE: how many rows it met."""
        return self._for(connection).run(connection, values)

    def run_all(self, connection: Connection, rows: Iterable[Mapping[str, Any]]) -> None:
        """`run` for each."""
        self._for(connection).run_all(connection, rows)

    def _for(self, connection: Connection) -> _Compiled:
        dialect = connection.dialect
        compiled = self._compiled.get(dialect.name)
        if compiled is None:
            compiled = _Compiled(self._query, dialect, self._names)
            self._compiled[dialect.name] = compiled
        return compiled


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

    def __init__(self, query: Query, dialect: Dialect, names: Sequence[str] | None) -> None:
        compiled: Any = query.compile(
            dialect=dialect, column_keys=names, compile_kwargs={"render_postcompile": True}
        )
        self._text = str(compiled)
        self._is_ordered = compiled.positiontup is not None
        binds = {name: bind for bind, name in compiled.bind_names.items()}
        self._places = [
            _place(name, binds[name], dialect) for name in compiled.positiontup or binds
        ]
        self._is_plain = all(place.is_plain for place in self._places)
        self._order = [place.name for place in self._places]
        returned: Iterable[Any] = compiled.effective_returning or ()
        if isinstance(query, sa.Select):
            returned = query.selected_columns
        self._types = [column.type.dialect_impl(dialect) for column in returned]
        self._dialect = dialect
        self._readers: list[tuple[int, Convert]] | None = None

    def rows(self, connection: Connection, values: Mapping[str, Any]) -> list[tuple[Any, ...]]:
        cursor = say(connection, self._text, self._parameters(values))
        found: list[tuple[Any, ...]] = cursor.fetchall()
        readers = self._readers
        if readers is None:
            readers = self._readers = self._find_readers(cursor.description)
        cursor.close()
        return [_read(row, readers) for row in found] if readers else found

    def run(self, connection: Connection, values: Mapping[str, Any]) -> int:
        cursor = say(connection, self._text, self._parameters(values))
        met: int = cursor.rowcount
        cursor.close()
        return met

    def run_all(self, connection: Connection, rows: Iterable[Mapping[str, Any]]) -> None:
        cursor = say(connection, self._text, [self._parameters(row) for row in rows], many=True)
        cursor.close()

    def _parameters(self, values: Mapping[str, Any]) -> Any:
        if self._is_plain:
            told = [values[name] for name in self._order]
        else:
            told = [place.value(values) for place in self._places]
        return told if self._is_ordered else dict(zip(self._order, told, strict=True))

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


@dataclass(frozen=True, slots=True)
class _Place:
    """A parameter: given with each call, or `fixed` by the query."""

    name: str
    convert: Convert | None
    is_given: bool
    fixed: Any

    @property
    def is_plain(self) -> bool:
        return self.is_given and self.convert is None

    def value(self, values: Mapping[str, Any]) -> Any:
        if not self.is_given:
            return self.fixed
        return values[self.name] if self.convert is None else self.convert(values[self.name])


def _place(name: str, bind: sa.BindParameter[Any], dialect: Dialect) -> _Place:
    convert = bind.type.dialect_impl(dialect).bind_processor(dialect)
    if bind.required:
        return _Place(name, convert, is_given=True, fixed=None)
    value = bind.effective_value
    fixed = value if convert is None else convert(value)
    return _Place(name, convert, is_given=False, fixed=fixed)
