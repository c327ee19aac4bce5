"""Statements that are compiled once and then passed to the driver without SQLAlchemy's cost per
call.

For a short query SQLAlchemy takes several times as long as SQLite: it computes a cache key of the
statement, and makes an execution context and a result with metadata. Here a query with named
parameters (`sa.bindparam`) is built at import; the first call for a dialect compiles it, and each
call costs only the driver's own time. Used by store/ for the most frequent queries and writes.

Types, transaction and errors are those of `connection.execute`. A parameter cannot be a list. A
query is a function of the database and its parameters: it calls neither a clock nor chance, since its
rows are kept while SQLite's database is unchanged (engine/unchanged.py).
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Dialect

from kumoi.base.errors import Bug
from kumoi.engine import unchanged
from kumoi.engine.memo import BoundedMap
from kumoi.engine.outage import serves_no_more

Convert = Callable[[Any], Any]
Query = sa.Select[Any] | sa.Insert | sa.Update | sa.Delete

UNSTEADY = frozenset(
    {"changes", "clock_timestamp", "current_date", "current_time", "current_timestamp", "date"}
    | {"datetime", "julianday", "last_insert_rowid", "localtime", "localtimestamp", "now", "random"}
    | {"strftime", "time", "total_changes", "transaction_timestamp", "unixepoch"}
)
"""Functions of more than the database and their parameters."""

Noun = TypeVar("Noun")

KEYS_MAX = 4_096  # Databases bound the parameters of one statement. A power of two.


def execute_text(
    connection: Connection, text: str, parameters: Any = (), *, many: bool = False
) -> Any:
    """Execute a text by the driver, once or for `many` parameters; the driver's cursor. Raises what
    `connection.execute` would.
    """
    cursor: Any = connection.connection.cursor()
    try:
        if many:
            cursor.executemany(text, parameters)
        else:
            cursor.execute(text, parameters)
    except Exception as cause:
        raise _sqlalchemy_error(connection, cursor, text, cause) from cause
    return cursor


def _sqlalchemy_error(
    connection: Connection, cursor: Any, text: str, cause: Exception
) -> BaseException:
    """The driver's error as SQLAlchemy raises it. A lost connection is invalidated, and those of
    the engine's pool, which were probably lost with it, are dropped.
    """
    dialect = connection.dialect
    driver_error = dialect.loaded_dbapi.Error
    is_lost = isinstance(cause, driver_error) and (
        dialect.is_disconnect(cause, connection.connection.driver_connection, cursor)
        or serves_no_more(cause)
    )
    if is_lost:
        connection.invalidate(cause)
        connection.engine.dispose()
    else:
        with contextlib.suppress(driver_error):
            cursor.close()
    return sa.exc.DBAPIError.instance(
        text, None, cause, driver_error, connection_invalidated=is_lost, dialect=dialect
    )


def limit(name: str) -> sa.ColumnElement[int]:
    """A parameter for LIMIT. SQLite looks at the value of a bare parameter there when it plans, so
    it would plan again for each call, which costs more than most queries.
    """
    return sa.bindparam(name, type_=sa.Integer, required=True) + 0


class Statement:
    """A SELECT, INSERT, UPDATE or DELETE. Its rows are tuples of the query's columns, in its order;
    those of an UPDATE are what it returns. `names` are the columns that an INSERT or UPDATE takes
    as parameters.
    """

    def __init__(self, query: Query, names: Sequence[str] | None = None) -> None:
        self._query = query
        self._names = names
        self._compiled: dict[str, _Compiled] = {}

    def rows(self, connection: Connection, **values: Any) -> list[tuple[Any, ...]]:
        """All rows. `values` are those of the query's parameters."""
        return self._for(connection).rows(connection, values)

    def row(self, connection: Connection, **values: Any) -> tuple[Any, ...] | None:
        """The first row."""
        found = self._for(connection).rows(connection, values)
        return found[0] if found else None

    def nouns(
        self,
        connection: Connection,
        values: Mapping[str, Any],
        make: Callable[[tuple[Any, ...]], Noun],
        known: BoundedMap[tuple[Any, ...], Noun],
    ) -> list[Noun]:
        """What `make` makes of each row. A row that is in `known`, compared by all of its columns
        as the driver gives them, is the same object as before.
        """
        return self._for(connection).nouns(connection, values, make, known)

    def run(self, connection: Connection, values: Mapping[str, Any]) -> int:
        """Execute an INSERT, UPDATE or DELETE; how many rows it changed."""
        return self._for(connection).run(connection, values)

    def run_all(self, connection: Connection, rows: Iterable[Mapping[str, Any]]) -> None:
        """`run` for each of the rows."""
        self._for(connection).run_all(connection, rows)

    def _for(self, connection: Connection) -> _Compiled:
        dialect = connection.dialect
        compiled = self._compiled.get(dialect.name)
        if compiled is None:
            compiled = _Compiled(self._query, dialect, self._names)
            self._compiled[dialect.name] = compiled
        return compiled


class KeyedStatement:
    """As a Statement, for the rows whose `column` is one of any number of keys. In the query's
    order as long as there are at most KEYS_MAX keys.
    """

    def __init__(self, query: sa.Select[Any], column: sa.Column[Any]) -> None:
        self._query = query
        self._column = column
        self._statements: dict[int, Statement] = {}  # By the number of keys.

    def rows(
        self, connection: Connection, keys: Collection[Any], **values: Any
    ) -> list[tuple[Any, ...]]:
        all_keys = list(keys)
        found: list[tuple[Any, ...]] = []
        for start in range(0, len(all_keys), KEYS_MAX):
            part = all_keys[start : start + KEYS_MAX]
            size = 1 << (len(part) - 1).bit_length()
            part += [part[-1]] * (size - len(part))  # Repeated keys keep the number of sizes small.
            statement = self._statements.get(size)
            if statement is None:
                type_ = self._column.type
                binds = [sa.bindparam(f"key_{n}", type_=type_, required=True) for n in range(size)]
                statement = Statement(self._query.where(self._column.in_(binds)))
                self._statements[size] = statement
            numbered = {f"key_{n}": key for n, key in enumerate(part)}
            found += statement.rows(connection, **numbered, **values)
        return found


class _Compiled:
    """The text for one dialect, with the converters of its parameters and columns."""

    def __init__(self, query: Query, dialect: Dialect, names: Sequence[str] | None) -> None:
        compiled: Any = query.compile(
            dialect=dialect, column_keys=names, compile_kwargs={"render_postcompile": True}
        )
        self._text = str(compiled)
        self._is_ordered = compiled.positiontup is not None
        binds = {name: bind for bind, name in compiled.bind_names.items()}
        self._parameters = [
            _parameter(name, binds[name], dialect) for name in compiled.positiontup or binds
        ]
        self._is_plain = all(parameter.is_plain for parameter in self._parameters)
        self._order = [parameter.name for parameter in self._parameters]
        self._reads = isinstance(query, sa.Select)
        self._tables: tuple[str, ...] = ()
        self._changes: str | None = None
        """The table that it writes to and no other; a deletion may reach others."""
        if isinstance(query, sa.Select):
            _require_steady(query)
            self._tables = _tables(query)
        elif not isinstance(query, sa.Delete):
            self._changes = query.table.name if isinstance(query.table, sa.Table) else None
        returned: Iterable[Any] = compiled.effective_returning or ()
        if isinstance(query, sa.Select):
            returned = query.selected_columns
        self._types = [column.type.dialect_impl(dialect) for column in returned]
        self._dialect = dialect
        self._converters: list[tuple[int, Convert]] | None = None  # Known from the first cursor.

    def rows(self, connection: Connection, values: Mapping[str, Any]) -> list[tuple[Any, ...]]:
        found, converters = self._fetch(connection, values)
        return [_converted(row, converters) for row in found] if converters else list(found)

    def nouns(
        self,
        connection: Connection,
        values: Mapping[str, Any],
        make: Callable[[tuple[Any, ...]], Noun],
        known: BoundedMap[tuple[Any, ...], Noun],
    ) -> list[Noun]:
        found, converters = self._fetch(connection, values)
        nouns = []
        for row in found:
            noun = known.get(row)
            if noun is None:
                noun = make(_converted(row, converters))
                known.put(row, noun, (row, row))  # The noun has the row's values in its own form.
            nouns.append(noun)
        return nouns

    def _fetch(
        self, connection: Connection, values: Mapping[str, Any]
    ) -> tuple[list[tuple[Any, ...]], list[tuple[int, Convert]]]:
        """The driver's rows, which nobody may change, and what converts their columns."""
        driver_values = self._driver_values(values)
        kept = unchanged.of(connection) if self._reads else None
        if kept is None:
            return self._ask(connection, driver_values)
        ordered = driver_values if self._is_ordered else driver_values.values()
        key = (self._text, *ordered)
        found = kept.get(key, self._tables)
        if found is not None and self._converters is not None:
            return found, self._converters
        found, converters = self._ask(connection, driver_values)
        kept.keep(key, found, self._tables)
        return found, converters

    def _ask(
        self, connection: Connection, driver_values: Any
    ) -> tuple[list[tuple[Any, ...]], list[tuple[int, Convert]]]:
        cursor = self._send(connection, driver_values)
        found: list[tuple[Any, ...]] = cursor.fetchall()
        converters = self._converters
        if converters is None:  # A conversion depends on the type that the database sends, too.
            processors = (
                type_.result_processor(self._dialect, column[1])
                for type_, column in zip(self._types, cursor.description, strict=True)
            )
            converters = [
                (place, read) for place, read in enumerate(processors) if read is not None
            ]
            self._converters = converters
        cursor.close()
        return found, converters

    def run(self, connection: Connection, values: Mapping[str, Any]) -> int:
        cursor = self._send(connection, self._driver_values(values))
        count: int = cursor.rowcount
        cursor.close()
        return count

    def run_all(self, connection: Connection, rows: Iterable[Mapping[str, Any]]) -> None:
        values = [self._driver_values(row) for row in rows]
        self._send(connection, values, many=True).close()

    def _send(self, connection: Connection, driver_values: Any, *, many: bool = False) -> Any:
        if not self._reads:
            unchanged.wrote(connection, self._changes)
        return execute_text(connection, self._text, driver_values, many=many)

    def _driver_values(self, values: Mapping[str, Any]) -> Any:
        if self._is_plain:
            ordered = [values[name] for name in self._order]
        else:
            ordered = [parameter.value(values) for parameter in self._parameters]
        return ordered if self._is_ordered else dict(zip(self._order, ordered, strict=True))


def _require_steady(query: Query) -> None:
    for part in sa.sql.visitors.iterate(query):
        if isinstance(part, sa.sql.functions.FunctionElement) and part.name in UNSTEADY:
            raise Bug(f"a statement whose rows may be kept calls {part.name}()")


def _tables(query: sa.Select[Any]) -> tuple[str, ...]:
    """The tables that a query reads; none where a part of it may read one that it does not name."""
    found: set[str] = set()
    for part in sa.sql.visitors.iterate(query):
        if isinstance(part, sa.Join):
            continue  # Both of its sides come as well.
        table = part.table if isinstance(part, sa.sql.expression.ColumnClause) else part
        if isinstance(table, sa.Table):
            found.add(table.name)
        elif table is None or isinstance(table, (sa.TextClause, sa.sql.expression.FromClause)):
            return ()  # Of a text, or of a query that is read like a table.
    return tuple(sorted(found))


def _converted(row: tuple[Any, ...], converters: Sequence[tuple[int, Convert]]) -> tuple[Any, ...]:
    cells = list(row)
    for place, convert in converters:
        cells[place] = convert(cells[place])
    return tuple(cells)


@dataclass(frozen=True, slots=True)
class _Parameter:
    """A parameter of a statement. Where the query `has_value`, that is `fixed`; else each call
    gives the value.
    """

    name: str
    convert: Convert | None
    has_value: bool
    fixed: Any

    @property
    def is_plain(self) -> bool:
        return not self.has_value and self.convert is None

    def value(self, values: Mapping[str, Any]) -> Any:
        if self.has_value:
            return self.fixed
        return values[self.name] if self.convert is None else self.convert(values[self.name])


def _parameter(name: str, bind: sa.BindParameter[Any], dialect: Dialect) -> _Parameter:
    convert = bind.type.dialect_impl(dialect).bind_processor(dialect)
    if bind.required:
        return _Parameter(name, convert, has_value=False, fixed=None)
    value = bind.effective_value
    fixed = value if convert is None else convert(value)
    return _Parameter(name, convert, has_value=True, fixed=fixed)
