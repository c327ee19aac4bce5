"""Copies stores for backups while roles work on them, and restores them from copies.

A copy is always a file of SQLite with the tables of one migration, whichever database the store is
in: so a copy is opened and upgraded in one way, and a store can move from one database to the
other. Several stores are copied as they were at one moment (`frozen`). Called by the commands
`backup`, `restore` and `cluster create` only.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from kumoi.base.errors import Conflict, Invalid, Permanent, Transient
from kumoi.engine import feed, migrate, schema_check, sqlite
from kumoi.engine.db import Database

ROWS_AT_ONCE = 1_000


@dataclass(frozen=True, slots=True)
class Store:
    """`upgrade` brings a database to the newest of the migrations in `folder`."""

    name: str
    url: str
    metadata: sa.MetaData
    folder: Path
    upgrade: Callable[[str], None]


@dataclass(frozen=True, slots=True)
class StoreCopy:
    """The state that a copy holds. `epoch` and `revision` are empty where the store has no feed."""

    migration: str
    epoch: str
    revision: int


@contextlib.contextmanager
def frozen(
    databases: Sequence[Database], meanwhile: Callable[[], None]
) -> Iterator[list[Connection]]:
    """A connection to each database, all of which read the state of one moment. `meanwhile` is
    called in that moment, while no writer is at work; writers go on as soon as it has returned.
    """
    with contextlib.ExitStack() as readers:
        with contextlib.ExitStack() as writers:
            for database in databases:
                writers.enter_context(database.write(wakes=False))
            connections = [readers.enter_context(database.read()) for database in databases]
            for connection in connections:  # Its first read fixes the state that it sees.
                connection.execute(sa.text("SELECT * FROM alembic_version")).all()
            meanwhile()
        yield connections


def save(connection: Connection, store: Store, into: Path) -> StoreCopy:
    """Write the state that the connection reads to a new file.

    Raises Conflict when the tables are those of another release: the copy would lack some.
    """
    migration = migrate.migration_of(connection)
    is_sqlite = connection.dialect.name == "sqlite"
    if not is_sqlite and migration != max(schema_check.revisions(store.folder)):
        raise Conflict(f"the {store.name} store is of another release: run `up` first")
    into.touch(mode=0o600)
    if is_sqlite:  # SQLite's own means of copying, inside the connection's transaction.
        source: Any = connection.connection.driver_connection
        with contextlib.closing(sqlite.driver().connect(str(into))) as target:
            source.backup(target)
            target.execute("PRAGMA journal_mode = DELETE")  # One file, with nothing beside it.
    else:
        url = f"sqlite:///{into}"
        store.upgrade(url)
        with _connected(url) as copy, copy.begin():
            _copy_rows(connection, copy, store.metadata)
    if "feed_revision" not in store.metadata.tables:
        return StoreCopy(migration, "", 0)
    position = feed.position(connection)
    return StoreCopy(migration, position.epoch, position.revision)


def make_ready(copy: Path, store: Store) -> None:
    """Migrate a copy to this release, and give it a new epoch, since revisions may have gone back.

    Raises Invalid when it is no copy of this store, or is of a newer release; Permanent when this
    release cannot work on it.
    """
    url = f"sqlite:///{copy}"
    with _connected(url) as connection:
        _check(connection, store)
    store.upgrade(url)
    if "feed_revision" in store.metadata.tables:
        with _connected(url) as connection, connection.begin():
            feed.new_epoch(connection)


def load(copy: Path, store: Store) -> None:
    """Replace all rows of a store in PostgreSQL by those of a copy that was made ready, in one
    transaction.
    """
    store.upgrade(store.url)
    with _connected(f"sqlite:///{copy}") as source, _connected(store.url) as target, target.begin():
        for table in reversed(store.metadata.sorted_tables):
            target.execute(sa.delete(table))
        _copy_rows(source, target, store.metadata)


def move(source: Connection, store: Store) -> int:
    """Put all rows that the connection reads into a store that is in PostgreSQL, in the place of those
    that are there, and compare both, table by table, before that is committed. How many they were.

    Raises Permanent when a table is not the same there.
    """
    store.upgrade(store.url)
    count = 0
    with _connected(store.url) as target, target.begin():
        for table in reversed(store.metadata.sorted_tables):
            target.execute(sa.delete(table))
        _copy_rows(source, target, store.metadata)
        for table in store.metadata.sorted_tables:
            count += _compare(source, target, table)
    return count


def has_same_rows(url: str, store: Store, *, but: Collection[str]) -> bool:
    """Whether the database and the store have the same rows in all tables, `but` for some."""
    with _connected(url) as source, _connected(store.url) as target:
        try:
            for table in store.metadata.sorted_tables:
                if table.name not in but:
                    _compare(source, target, table)
        except Permanent:
            return False
    return True


def _compare(source: Connection, target: Connection, table: sa.Table) -> int:
    """How many rows both have. Each is compared by all its values, and the databases sort texts
    differently, so rows are told apart by their hashes.
    """
    here, there = (Counter(_hashes(connection, table)) for connection in (source, target))
    if here != there:
        lost, more = (here - there).total(), (there - here).total()
        raise Permanent(
            f"the table {table.name} differs: {lost} rows are not there, {more} are new"
        )
    return here.total()


def _hashes(connection: Connection, table: sa.Table) -> Iterator[bytes]:
    selected = connection.execution_options(yield_per=ROWS_AT_ONCE).execute(sa.select(table))
    for rows in selected.partitions():
        for row in rows:
            values = [_plain(value) for value in row]
            yield hashlib.sha256(repr(values).encode()).digest()


def _plain(value: Any) -> Any:
    """The drivers have different objects for the same time zone."""
    return value.astimezone(UTC) if isinstance(value, datetime) else value


@contextlib.contextmanager
def _connected(url: str) -> Iterator[Connection]:
    """Raises Transient where the database does not answer, or ends."""
    engine = migrate.engine(url)
    try:
        with engine.connect() as connection:
            yield connection
    except sa.exc.OperationalError as cause:
        raise Transient(f"work on the database {engine.url.database}") from cause
    finally:
        engine.dispose()


def _check(connection: Connection, store: Store) -> None:
    """Raises as `make_ready` does."""
    try:
        verdict = connection.execute(sa.text("PRAGMA integrity_check")).scalar_one()
        migration = migrate.migration_of(connection)
    except sa.exc.DatabaseError as cause:
        raise Invalid(f"the copy of the {store.name} store is no database") from cause
    if verdict != "ok":
        raise Invalid(f"the copy of the {store.name} store is damaged: {verdict}")
    known = migration in schema_check.revisions(store.folder)
    if not known and not schema_check.is_newer(connection, store.folder):
        raise Invalid(f"the copy of the {store.name} store is of a newer release than this one")


def _copy_rows(source: Connection, target: Connection, metadata: sa.MetaData) -> None:
    for table in metadata.sorted_tables:
        target.execute(sa.delete(table))  # Rows that migrations inserted.
        selected = source.execution_options(yield_per=ROWS_AT_ONCE).execute(sa.select(table))
        for rows in selected.mappings().partitions():
            target.execute(sa.insert(table), [dict(row) for row in rows])
        if target.dialect.name == "postgresql":
            _continue_numbers(target, table)


def _continue_numbers(target: Connection, table: sa.Table) -> None:
    """PostgreSQL counts for itself what it numbers, and has not seen the rows that came with numbers."""
    column = table.autoincrement_column
    if column is None or not isinstance(column.type, sa.Integer):
        return
    newest = target.execute(sa.select(sa.func.max(column))).scalar()
    if newest is not None:
        sequence = sa.func.pg_get_serial_sequence(table.name, column.name)
        target.execute(sa.select(sa.func.setval(sequence, newest)))
