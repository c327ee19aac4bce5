"""A database, SQLite or PostgreSQL, with one rule on both: one writer at a time.

`write` opens a transaction that no other writer's overlaps: BEGIN IMMEDIATE on SQLite, an advisory
lock on PostgreSQL. So a check made inside (a quota, a free address) still holds at the commit, and
revisions (feed.py) commit in the order they were given. Transactions are short: no network, no
process, no hashing, no sleep inside.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.engine import Connection, Dialect, Engine
from sqlalchemy.types import TypeDecorator

from kumoi.base.errors import Invalid, Transient
from kumoi.engine import sqlite
from kumoi.engine.wake import CHANNEL, Listener, PostgresWake, Wake

WRITER_LOCK = 0x6B756D6F69  # "kumoi"
BUSY_TIMEOUT_MS = 10_000
POOL_SIZE = 16


class Timestamp(TypeDecorator[datetime]):
    """A time in UTC. SQLite keeps no zone, so one is put back on the way out."""

    impl = sa.DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is not None and dialect.name == "sqlite":
            return value.astimezone(UTC).replace(tzinfo=None)
        return value

    def result_processor(self, dialect: Dialect, _coltype: object) -> Any:
        """One step instead of SQLAlchemy's three: lists of a thousand rows are made of this."""
        return _time_from_text if dialect.name == "sqlite" else None


class Json(TypeDecorator[Any]):
    """Any JSON value in a text column."""

    impl = sa.Text
    cache_ok = True

    def process_bind_param(self, value: Any, _dialect: Dialect) -> str:
        return msgspec.json.encode(value).decode()

    def result_processor(self, _dialect: Dialect, _coltype: object) -> Any:
        """As above."""
        return _json_from_text


def _time_from_text(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(f"{text}+00:00")


def _json_from_text(text: str | None) -> Any:
    return None if text is None else msgspec.json.decode(text)


class Database:
    """`url` is SQLAlchemy's: `sqlite:///path` or `postgresql+psycopg://…`. `wake_dir` holds the
    sockets of SQLite's wake-ups and is not used on PostgreSQL.
    """

    def __init__(self, url: str, *, wake_dir: Path) -> None:
        self.url = sa.make_url(url)
        self.is_sqlite = self.url.get_backend_name() == "sqlite"
        self.engine = _sqlite_engine(self.url) if self.is_sqlite else _postgres_engine(self.url)
        self.wake: Wake | PostgresWake = (
            Wake(wake_dir) if self.is_sqlite else PostgresWake(_libpq_url(self.url))
        )
        self._writer = threading.Lock()

    @contextlib.contextmanager
    def read(self) -> Iterator[Connection]:
        """One consistent look. Nothing written inside is kept."""
        with self.engine.connect() as connection:
            if not self.is_sqlite:
                connection.exec_driver_sql("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            yield connection

    @contextlib.contextmanager
    def write(self, *, wakes: bool = True) -> Iterator[Connection]:
        """The only writer; committed at the end, rolled back by any exception. Listeners are told
        unless `wakes` is false, as for a lease that is renewed.

        Raises Transient when another process keeps writing for longer than BUSY_TIMEOUT_MS.
        """
        with self._writer, self.engine.connect() as connection:
            connection.info["writing"] = True
            try:
                with connection.begin():
                    if not self.is_sqlite:
                        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({WRITER_LOCK})")
                    yield connection
                    if wakes and not self.is_sqlite:
                        connection.exec_driver_sql(f"NOTIFY {CHANNEL}")
            except sa.exc.OperationalError as cause:
                raise Transient("write to the store") from cause
            except sa.exc.DataError as cause:
                raise Invalid("a value is too long or too large to be kept") from cause
            finally:
                connection.info["writing"] = False
        if wakes:
            self.wake.ring()

    def listen(self) -> Listener:
        """Readable whenever somebody, here or in another process, has written."""
        return self.wake.listen()

    def close(self) -> None:
        self.engine.dispose()


def _sqlite_engine(url: sa.URL) -> Engine:
    engine = sa.create_engine(
        url,
        module=sqlite.driver(),
        pool_size=POOL_SIZE,
        max_overflow=POOL_SIZE,
        connect_args={"check_same_thread": False, "timeout": BUSY_TIMEOUT_MS / 1000},
    )

    @event.listens_for(engine, "connect")
    def _connected(raw: Any, _record: object) -> None:
        raw.isolation_level = None  # We say BEGIN ourselves.
        for pragma in (
            "journal_mode = WAL",
            "synchronous = FULL",  # An acknowledged write survives a power cut.
            f"busy_timeout = {BUSY_TIMEOUT_MS}",
            "foreign_keys = ON",
        ):
            raw.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def _begun(connection: Connection) -> None:
        writing = connection.info.get("writing", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writing else "BEGIN")

    return engine


def _postgres_engine(url: sa.URL) -> Engine:
    return sa.create_engine(url, pool_size=POOL_SIZE, max_overflow=POOL_SIZE, pool_pre_ping=True)


def _libpq_url(url: sa.URL) -> str:
    return url.set(drivername="postgresql").render_as_string(hide_password=False)
