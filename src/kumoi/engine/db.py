"""A database, SQLite or PostgreSQL, with one rule on both: one writer at a time.

`write` opens a transaction that no other writer's overlaps: BEGIN IMMEDIATE on SQLite, an advisory
lock on PostgreSQL. So a check made inside (a quota, a free address) still holds at the commit, and
revisions (feed.py) commit in the order they were given. Transactions are short: no network, no
process, no hashing, no sleep inside.
"""

from __future__ import annotations

import contextlib
import threading
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.engine import Connection, Dialect, Engine
from sqlalchemy.types import TypeDecorator

from kumoi.base.clock import Clock
from kumoi.base.errors import Invalid, OutcomeUnknown, StoreLost, Transient
from kumoi.engine import sqlite
from kumoi.engine.outage import Outage
from kumoi.engine.statement import say
from kumoi.engine.wake import CHANNEL, CONNECT, PostgresWake, Wake, WakeListener

CLOCK = "kumoi_clock"
WRITER_LOCK = 0x6B756D6F69  # "kumoi"
BUSY_TIMEOUT_MS = 10_000
OUTAGE_WAIT_S = 10.0  # Longer than a server takes that is started again.
POOL_SIZE = 16

# What PostgreSQL calls errors.
GOING_DOWN = "57P"  # It shuts down, it crashed, or it does not serve yet.
READ_ONLY = "25006"  # It was the primary, and is no more.


@dataclass(frozen=True, slots=True)
class _Words:
    """How a transaction begins, and how it tells listeners from within; empty where it does not."""

    read: str
    write: str
    wake: str


SQLITE = _Words("BEGIN", "BEGIN IMMEDIATE", "")
POSTGRESQL = _Words(
    "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
    f"BEGIN; SELECT pg_advisory_xact_lock({WRITER_LOCK})",
    f"NOTIFY {CHANNEL}",
)


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


def now(connection: Connection) -> datetime:
    """The database's time, which all that share it agree on, whatever their own clocks say. Leases,
    silences and deadlines are kept by it. A test may have set another: `set_clock`.
    """
    clock: Clock | None = connection.get_execution_options().get(CLOCK)
    if clock is not None:
        return clock.now()
    if connection.dialect.name == "sqlite":
        told = connection.exec_driver_sql("SELECT strftime('%Y-%m-%dT%H:%M:%f+00:00', 'now')")
        return datetime.fromisoformat(told.scalar_one())
    at: datetime = connection.exec_driver_sql("SELECT clock_timestamp()").scalar_one()
    return at.astimezone(UTC)


class Database:
    """`url` is SQLAlchemy's: `sqlite:///path` or `postgresql+psycopg://…`. `wake_dir` holds the
    sockets of SQLite's wake-ups and is not used on PostgreSQL.

    A PostgreSQL that has gone away is waited for where a transaction begins, for OUTAGE_WAIT_S at
    most. A transaction that it went away from raises: StoreLost when nothing was kept, and
    OutcomeUnknown when nobody knows.
    """

    def __init__(self, url: str, *, wake_dir: Path) -> None:
        self.url = sa.make_url(url)
        self.is_sqlite = self.url.get_backend_name() == "sqlite"
        self.engine = _sqlite_engine(self.url) if self.is_sqlite else _postgres_engine(self.url)
        self.wake: Wake | PostgresWake = (
            Wake(wake_dir) if self.is_sqlite else PostgresWake(_libpq_url(self.url))
        )
        self._words = SQLITE if self.is_sqlite else POSTGRESQL
        self._outage = Outage(wait_s=OUTAGE_WAIT_S)
        self._idle: deque[Connection] = deque()
        self._writer = threading.Lock()
        self.before_commit: Callable[[Connection], None] = _nothing_more

    @contextlib.contextmanager
    def read(self) -> Iterator[Connection]:
        """One consistent look. Nothing written inside is kept."""
        with self._transaction("read from the store", self._words.read) as connection:
            yield connection
            if not self.is_sqlite:  # A ROLLBACK would end prepared statements too.
                with contextlib.suppress(sa.exc.DBAPIError):
                    connection.commit()

    @contextlib.contextmanager
    def write(self, *, wakes: bool = True) -> Iterator[Connection]:
        """The only writer; committed at the end, rolled back by any exception. Listeners are told
        unless `wakes` is false, as for a lease that is renewed.

        Raises Transient when another process keeps writing for longer than BUSY_TIMEOUT_MS.
        """
        words = self._words
        with (
            self._writer,
            self._transaction("write to the store", words.write) as connection,
        ):
            yield connection
            self.before_commit(connection)
            if wakes and words.wake:
                say(connection, words.wake)
            _commit(connection)
        if wakes:
            self.wake.ring()

    @contextlib.contextmanager
    def _transaction(self, what: str, begin: str) -> Iterator[Connection]:
        """Rolled back at the end. What the database says is wrong becomes an error of ours."""
        with _named(what):
            connection = self._begin(what, begin)
            try:
                yield connection
            finally:
                self._end(connection)

    def _begin(self, what: str, begin: str) -> Connection:
        """A connection that has said `begin`. Raises StoreLost when there is none for too long."""
        while True:
            try:
                connection = self._begun(begin)
            except sa.exc.OperationalError as cause:
                connects = cause.statement is None
                if self.is_sqlite or not (connects or cause.connection_invalidated):
                    raise
                if not self._outage.goes_on():
                    raise StoreLost(what) from cause
            else:
                self._outage.is_over()
                return connection

    def now(self) -> datetime:
        """The database's time, outside of a transaction; see `now`."""
        with self.read() as connection:
            return now(connection)

    def set_clock(self, clock: Clock) -> None:
        """In place of the database's own. For tests: nobody else may."""
        self.engine.update_execution_options(**{CLOCK: clock})
        self._close_idle()  # Those that are open go by the clock before.

    def _begun(self, begin: str) -> Connection:
        try:
            connection = self._idle.pop()
        except IndexError:
            connection = self.engine.connect()
        try:
            connection.begin()
            say(connection, begin)
        except BaseException:
            self._close_idle()  # What one of them has met awaits the others.
            connection.close()
            raise
        return connection

    def _end(self, connection: Connection) -> None:
        """Kept for the next one: to take it from the pool costs as much as a short query does."""
        with contextlib.suppress(sa.exc.DBAPIError):  # Gone: so is its transaction.
            connection.rollback()
            is_as_made = connection.get_execution_options() == self.engine.get_execution_options()
            if is_as_made and not (connection.closed or connection.invalidated):
                self._idle.append(connection)
                return
        with contextlib.suppress(sa.exc.DBAPIError):
            connection.close()

    def _close_idle(self) -> None:
        while self._idle:
            with contextlib.suppress(sa.exc.DBAPIError, IndexError):
                self._idle.pop().close()

    def listen(self) -> WakeListener:
        """Readable whenever somebody, here or in another process, has written."""
        return self.wake.listen()

    def close(self) -> None:
        self._close_idle()
        self.engine.dispose()


def _nothing_more(_connection: Connection) -> None:
    """See audit.py, which has a last word in a transaction."""


def _commit(connection: Connection) -> None:
    """Raises OutcomeUnknown when the connection breaks meanwhile: it may be kept, or not."""
    try:
        connection.commit()
    except BaseException as cause:
        connection.rollback()  # Or SQLAlchemy's pool takes it for ended;
        connection.close()  # and this is what ends it.
        if not (isinstance(cause, sa.exc.DBAPIError) and cause.connection_invalidated):
            raise
        raise OutcomeUnknown("the store went away while it was told to keep a change") from cause


@contextlib.contextmanager
def _named(what: str) -> Iterator[None]:
    """Errors of the database and its driver, in our words."""
    try:
        yield
    except sa.exc.DataError as cause:
        raise Invalid("a value is too long or too large to be kept") from cause
    except sa.exc.DBAPIError as cause:
        if cause.connection_invalidated:
            raise StoreLost(what) from cause
        if isinstance(cause, sa.exc.OperationalError):
            raise Transient(what) from cause
        raise
    except sa.exc.TimeoutError as cause:
        raise Transient(f"{what}: all connections are busy") from cause


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

    return engine


def _postgres_engine(url: sa.URL) -> Engine:
    """Its connections are in autocommit, as SQLite's: we say BEGIN ourselves."""
    engine = sa.create_engine(
        url,
        pool_size=POOL_SIZE,
        max_overflow=POOL_SIZE,
        pool_timeout=BUSY_TIMEOUT_MS / 1000,
        isolation_level="AUTOCOMMIT",
        connect_args={**CONNECT, "options": f"-c lock_timeout={BUSY_TIMEOUT_MS}"},
    )

    @event.listens_for(engine, "handle_error")
    def _failed(context: sa.engine.ExceptionContext) -> None:
        """What the server says as it goes down comes before the connection is seen to be closed."""
        state = str(getattr(context.original_exception, "sqlstate", None) or "")
        if state.startswith(GOING_DOWN) or state == READ_ONLY:
            context.is_disconnect = True

    return engine


def _libpq_url(url: sa.URL) -> str:
    return url.set(drivername="postgresql").render_as_string(hide_password=False)
