"""Copies of stores, for backups: taken while roles work on them, and put back.

A copy is always a file of SQLite with the tables of one migration, whichever database the store is
in: so a copy is opened and upgraded in one way, and a store can move from one database to the other.
Several stores are copied as they were at one moment (`frozen`). Called by the commands `backup` and
`restore`; no role comes here.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from kumoi.base.errors import Conflict, Invalid
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
class Copied:
    """What a copy is of. `epoch` and `revision` are empty where the store has no feed."""

    migration: str
    epoch: str
    revision: int


@contextlib.contextmanager
def frozen(
    databases: Sequence[Database], meanwhile: Callable[[], None]
) -> Iterator[list[Connection]]:
    """A connection to each, all of which see one moment: that in which nobody was writing to any and
    `meanwhile` was done. Writers go on as soon as it is.
    """
    with contextlib.ExitStack() as readers:
        with contextlib.ExitStack() as writers:
            for database in databases:
                writers.enter_context(database.write(wakes=False))
            looking = [readers.enter_context(database.read()) for database in databases]
            for connection in looking:
                connection.execute(sa.text("SELECT * FROM alembic_version")).all()
            meanwhile()
        yield looking


def save(connection: Connection, store: Store, into: Path) -> Copied:
    """Write what the connection sees to a file that is not there yet.

    Raises Conflict when it would not be all of the store, whose tables are those of another release.
    """
    migration = migrate.migration_of(connection)
    is_sqlite = connection.dialect.name == "sqlite"
    if not is_sqlite and migration != max(schema_check.revisions(store.folder)):
        raise Conflict(f"the {store.name} store is of another release: run `up` first")
    into.touch(mode=0o600)
    if is_sqlite:
        _copy_file(connection, into)
    else:
        url = f"sqlite:///{into}"
        store.upgrade(url)
        with _opened(url) as copy, copy.begin():
            _copy_rows(connection, copy, store.metadata)
    if "feed_revision" not in store.metadata.tables:
        return Copied(migration, "", 0)
    position = feed.position(connection)
    return Copied(migration, position.epoch, position.revision)


def make_ready(copy: Path, store: Store) -> None:
    """Bring a copy to this release, and say in it that revisions may have gone back.

    Raises Invalid when it is no copy of this store, or of a release to come; Permanent when this
    release cannot bear it.
    """
    url = f"sqlite:///{copy}"
    with _opened(url) as connection:
        _require_known(connection, store)
    store.upgrade(url)
    if "feed_revision" in store.metadata.tables:
        with _opened(url) as connection, connection.begin():
            feed.new_epoch(connection)


def load(copy: Path, store: Store) -> None:
    """Put a copy that was made ready in the place of all that is in a store of PostgreSQL: as one
    transaction.
    """
    store.upgrade(store.url)
    with _opened(f"sqlite:///{copy}") as source, _opened(store.url) as target, target.begin():
        for table in reversed(store.metadata.sorted_tables):
            target.execute(sa.delete(table))
        _copy_rows(source, target, store.metadata)


@contextlib.contextmanager
def _opened(url: str) -> Iterator[Connection]:
    engine = migrate.engine(url)
    try:
        with engine.connect() as connection:
            yield connection
    finally:
        engine.dispose()


def _require_known(connection: Connection, store: Store) -> None:
    try:
        sound = connection.execute(sa.text("PRAGMA integrity_check")).scalar_one()
        migration = migrate.migration_of(connection)
    except sa.exc.DatabaseError as cause:
        raise Invalid(f"the copy of the {store.name} store is no database") from cause
    if sound != "ok":
        raise Invalid(f"the copy of the {store.name} store is damaged: {sound}")
    known = migration in schema_check.revisions(store.folder)
    if not known and not schema_check.is_newer(connection, store.folder):
        raise Invalid(f"the copy of the {store.name} store is of a newer release than this one")


def _copy_file(connection: Connection, into: Path) -> None:
    """By SQLite's own means, from inside the connection's transaction."""
    source: Any = connection.connection.driver_connection
    with contextlib.closing(sqlite.driver().connect(str(into))) as target:
        source.backup(target)
        target.execute("PRAGMA journal_mode = DELETE")  # One file, with nothing beside it.


def _copy_rows(source: Connection, target: Connection, metadata: sa.MetaData) -> None:
    for table in metadata.sorted_tables:
        target.execute(sa.delete(table))  # What migrations put there.
        found = source.execution_options(yield_per=ROWS_AT_ONCE).execute(sa.select(table))
        for rows in found.mappings().partitions():
            target.execute(sa.insert(table), [dict(row) for row in rows])
