"""A database, SQLite or PostgreSQL, with one rule on both: one writer at a time.

`write` opens a transaction that no other writer's overlaps: BEGIN IMMEDIATE on SQLite, an advisory
lock on PostgreSQL. So a check made inside (a quota, a free address) still holds at the commit, and
revisions (feed.py) commit in the order in which they were assigned. Transactions are short: no
network, no process, no hashing, no sleep inside.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.engine import Connection, Dialect
from sqlalchemy.types import TypeDecorator

from kumoi.base.clock import Clock
from kumoi.base.errors import (
    Invalid,
    KumoiError,
    OutcomeUnknown,
    StoreDamaged,
    StoreFull,
    StoreLost,
    Transient,
)
from kumoi.engine import engines, unchanged
from kumoi.engine.followers import Followers, Following
from kumoi.engine.idle_connections import IdleConnections
from kumoi.engine.memo import BoundedMap
from kumoi.engine.outage import Outage
from kumoi.engine.statement import execute_text
from kumoi.engine.unchanged import KeptRows
from kumoi.engine.wake import CHANNEL, PostgresWake, Wake, WakeListener
from kumoi.engine.write_turns import WriteTurns
from kumoi.engine.write_watch import WriteWatch

CLOCK = "kumoi_clock"
WRITER_LOCK = 0x6B756D6F69  # "kumoi"
DISK_FULL, SQLITE_FULL = "53100", "SQLITE_FULL"  # As PostgreSQL and SQLite say it.
SQLITE_DAMAGED = ("SQLITE_CORRUPT", "SQLITE_NOTADB")
WRITER_WAIT_S = 10.0  # How long a writer waits for those of its own process.
# A process that is frozen, or cut off, while it writes is put out after this, less than others wait for it.
SILENT_WRITER_MS = 5_000
OUTAGE_WAIT_S = 10.0  # A database server restarts in less,
FAILOVER_WAIT_S = 32.0  # and another takes over when its host is lost.
FOLLOW_WAIT_S, FOLLOW_AGAIN_S = 8.0, 0.2
LEADER_S = 1.0  # So long a leader may need to begin a read that others would do as well.
_PENDING = "kumoi_pending_writes"

WritePending = Callable[[Connection, Any], None]


@dataclass(frozen=True, slots=True)
class _TransactionSql:
    """What begins a transaction, and what wakes listeners at its commit; the latter is empty where
    a database has no such statement.
    """

    read: str
    write: str
    wake: str


SQLITE = _TransactionSql("BEGIN", "BEGIN IMMEDIATE", "")
POSTGRESQL = _TransactionSql(
    "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
    f"BEGIN; SET LOCAL idle_in_transaction_session_timeout = {SILENT_WRITER_MS}; "
    f"SELECT pg_advisory_xact_lock({WRITER_LOCK})",
    f"NOTIFY {CHANNEL}",
)


class Timestamp(TypeDecorator[datetime]):
    """A time in UTC. SQLite stores no zone, so it is added when a row is read."""

    impl = sa.DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is not None and dialect.name == "sqlite":
            return value.astimezone(UTC).replace(tzinfo=None)
        return value

    def result_processor(self, dialect: Dialect, _coltype: object) -> Any:
        """One function instead of SQLAlchemy's three, since lists have a thousand rows."""
        return _time_from_text if dialect.name == "sqlite" else None


class Json(TypeDecorator[Any]):
    """Any JSON value in a text column."""

    impl = sa.Text
    cache_ok = True

    def process_bind_param(self, value: Any, _dialect: Dialect) -> str:
        return msgspec.json.encode(value).decode()

    def result_processor(self, _dialect: Dialect, _coltype: object) -> Any:
        return _json_from_text


def pending(connection: Connection, write: WritePending) -> dict[Any, None]:
    """What `write` is called with at the end of the write transaction, as far as it is known: the
    caller adds to it.
    """
    every: dict[WritePending, dict[Any, None]] = connection.info.setdefault(_PENDING, {})
    return every.setdefault(write, {})


def write_pending(connection: Connection) -> None:
    """Now, for somebody who reads it in the same transaction."""
    for write, what in connection.info.pop(_PENDING, {}).items():
        write(connection, what)


@contextlib.contextmanager
def undone_together(connection: Connection) -> Iterator[None]:
    """A part of a write transaction that an exception undoes, and not what was written before."""
    write_pending(connection)
    try:
        with connection.begin_nested():
            yield
    except BaseException:
        connection.info.pop(_PENDING, None)
        raise


def _time_from_text(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(f"{text}+00:00")


def _json_from_text(text: str | None) -> Any:
    return None if text is None else msgspec.json.decode(text)


Mark = Callable[[Connection], bool]
"""Whether the transaction that it was made in was committed."""


def now(connection: Connection) -> datetime:
    """The database's time, for leases, silences and deadlines: all that share the database agree on
    it, whatever their own clocks show. A test may set another one by `set_clock`.
    """
    clock: Clock | None = connection.get_execution_options().get(CLOCK)
    if clock is not None:
        return clock.now()
    if connection.dialect.name == "sqlite":
        row = connection.exec_driver_sql("SELECT strftime('%Y-%m-%dT%H:%M:%f+00:00', 'now')")
        return datetime.fromisoformat(row.scalar_one())
    at: datetime = connection.exec_driver_sql("SELECT clock_timestamp()").scalar_one()
    return at.astimezone(UTC)


class Database:
    """`url` is SQLAlchemy's: `sqlite:///path` or `postgresql+psycopg://…`. `wake_dir` holds the
    sockets of SQLite's wake-ups and is not used on PostgreSQL.

    Where PostgreSQL does not answer, the beginning of a transaction waits for it, OUTAGE_WAIT_S at
    most, or FAILOVER_WAIT_S where there are several servers. A transaction that loses its connection raises:
    StoreLost when it was not committed, and OutcomeUnknown when that cannot be known.
    """

    def __init__(self, url: str, *, wake_dir: Path) -> None:
        self.url = sa.make_url(url)
        self.is_sqlite = self.url.get_backend_name() == "sqlite"
        self.engine = (
            engines.sqlite_engine(self.url) if self.is_sqlite else engines.postgres_engine(self.url)
        )
        libpq_url = self.url.set(drivername="postgresql").render_as_string(hide_password=False)
        self.wake: Wake | PostgresWake = (
            Wake(wake_dir) if self.is_sqlite else PostgresWake(libpq_url)
        )
        event.listen(self.engine, "before_cursor_execute", unchanged.sent)
        self._sql = SQLITE if self.is_sqlite else POSTGRESQL
        has_others = "," in str(self.url.query.get("host", ""))
        self._failover_s = FAILOVER_WAIT_S if has_others else 0.0
        self._outage = Outage(wait_s=self._failover_s or OUTAGE_WAIT_S)
        self._followers = Followers(self.url, engines.postgres_engine) if has_others else None
        self._of_thread = threading.local()
        self._idle = IdleConnections()
        self.kept_rows: KeptRows = BoundedMap()
        self._turns = WriteTurns()
        self.write_watch = WriteWatch()
        self.before_commit: Callable[[Connection], Mark | None] = lambda _connection: None
        """The last part of every write transaction, and what tells later whether it was committed;
        audit.py sets it.
        """

    @property
    def commits(self) -> int:
        """How many transactions this thread has committed."""
        return getattr(self._of_thread, "commits", 0)

    @property
    def takes_changes(self) -> bool:
        """As far as is known: false while a server is missed that does."""
        return not self._outage.goes_on_now()

    @contextlib.contextmanager
    def following(self) -> Iterator[Following]:
        """In this thread, transactions that read do not wait for a server that takes writes: see followers.py,
        also for who may not have that.
        """
        before: Following | None = getattr(self._of_thread, "following", None)
        following = self._of_thread.following = Following()
        try:
            yield following
        finally:
            self._of_thread.following = before

    def read(self) -> contextlib.AbstractContextManager[Connection]:
        """A transaction whose reads are consistent; whatever it writes is rolled back."""
        return _Transaction(self, "read from the store", self._sql.read)

    @contextlib.contextmanager
    def write(self, *, wakes: bool = True) -> Iterator[Connection]:
        """The transaction of the only writer; committed at the end, rolled back by any exception.
        Listeners are woken unless `wakes` is false, as for the renewal of a lease.

        Raises Transient when others keep writing for longer than WRITER_WAIT_S, or in another
        process for longer than engines.BUSY_TIMEOUT_MS.
        """
        sql = self._sql
        with (
            self._turns.turn(WRITER_WAIT_S + self._failover_s),  # Whose turn it is may wait, too.
            _Transaction(self, "write to the store", sql.write) as connection,
        ):
            began_s, began_computing_s = time.perf_counter(), time.thread_time()
            try:
                yield connection
                mark = self.before_commit(connection)
                write_pending(connection)
                if wakes and sql.wake:
                    execute_text(connection, sql.wake)
                self._commit(connection, mark)
            finally:
                self.write_watch.ended(
                    time.perf_counter() - began_s, time.thread_time() - began_computing_s
                )
        if wakes:
            self.wake.ring()

    def _commit(self, connection: Connection, mark: Mark | None) -> None:
        """Where the connection breaks meanwhile, the next writer sees what became of it: whoever commits
        has the writers' lock until that is decided. Raises StoreLost when it was not committed.
        """
        try:
            _commit(connection)
        except OutcomeUnknown:
            if mark is None:
                raise
            what = "look whether a change was kept"
            with _Transaction(self, what, self._sql.write) as later:
                is_kept = mark(later)
            if not is_kept:
                raise StoreLost("the store went away while it was told to keep a change") from None
        self._of_thread.commits = self.commits + 1

    def begin(self, what: str, begin: str) -> Connection:
        """A connection in a new transaction. Raises StoreLost when the database has not answered
        for too long.
        """
        following: Following | None = getattr(self._of_thread, "following", None)
        if self._followers is not None and begin == self._sql.read and following is not None:
            return self._begin_anywhere(self._followers, following, what)
        while True:
            try:
                connection = self._try_to_begin(begin)
            except sa.exc.OperationalError as cause:
                connects = cause.statement is None
                if self.is_sqlite or not (connects or cause.connection_invalidated):
                    raise
                if not self._outage.goes_on():
                    raise StoreLost(what) from cause
            else:
                self._outage.is_over()
                return connection

    def _begin_anywhere(self, followers: Followers, following: Following, what: str) -> Connection:
        """By the leader, as long as it is not missed; raises StoreLost where no server answers."""
        begin = self._sql.read
        try:
            if not self._outage.goes_on_now():
                connection = followers.within(
                    LEADER_S,
                    lambda: self._try_to_begin(begin),
                    self._outage.note_failure,
                    self._keep,
                )
                if connection is not None:
                    return connection
            elif self._outage.is_to_be_tried():
                followers.look_for_leader(lambda: self._try_to_begin(begin), self._keep)
        except sa.exc.OperationalError as cause:
            raise StoreLost(what) from cause
        ends_s = time.monotonic() + FOLLOW_WAIT_S
        while True:  # A leader that gives up begins anew as a follower, in some seconds.
            try:
                return followers.begin(begin, following)
            except sa.exc.OperationalError as cause:
                if time.monotonic() > ends_s:
                    raise StoreLost(what) from cause
                time.sleep(FOLLOW_AGAIN_S)

    def _keep(self, late: Connection) -> None:
        """The leader answered after all."""
        self._outage.is_over()
        self.end(late, failed=False)

    def now(self) -> datetime:
        """The database's time, outside of a transaction; see `now`."""
        with self.read() as connection:
            return now(connection)

    def set_clock(self, clock: Clock) -> None:
        """Replace the database's own clock. For tests only."""
        self.engine.update_execution_options(**{CLOCK: clock})
        self._idle.close()  # Open connections have the options from before.

    def _try_to_begin(self, begin: str) -> Connection:
        connection = self._idle.take() or self.engine.connect()
        try:
            connection.begin()
            execute_text(connection, begin)
            if begin == self._sql.write:
                unchanged.begin_write(connection)
            elif self.is_sqlite:
                ((version,),) = execute_text(connection, unchanged.DATA_VERSION).fetchall()
                unchanged.begin_read(connection, self.kept_rows, version)
        except BaseException:
            self._idle.close()  # They have probably been lost, too.
            connection.close()
            raise
        return connection

    def end(self, connection: Connection, *, failed: bool) -> None:
        """Roll back, and keep the connection for the next transaction: taking one from SQLAlchemy's
        pool costs as much as a short query.
        """
        if connection.closed:
            return  # It was lost, and what became of its transaction is known.
        try:
            if not (connection.closed or connection.invalidated):
                connection.info.pop(_PENDING, None)
                unchanged.end(connection)
            if not (failed or self.is_sqlite):  # A ROLLBACK would end prepared statements too.
                connection.commit()
            connection.rollback()
            is_as_made = connection.get_execution_options() == self.engine.get_execution_options()
            is_as_made &= connection.engine is self.engine
            if is_as_made and not (connection.closed or connection.invalidated):
                self._idle.keep(connection)
                return
        except sa.exc.DBAPIError:
            pass  # Gone: so is its transaction.
        with contextlib.suppress(sa.exc.DBAPIError):
            connection.close()

    def listen(self) -> WakeListener:
        """A descriptor that turns readable whenever this or another process has written."""
        return self.wake.listen()

    def close(self) -> None:
        self._idle.close()
        self.engine.dispose()
        if self._followers is not None:
            self._followers.close()


def _commit(connection: Connection) -> None:
    """Raises OutcomeUnknown when the connection breaks meanwhile: the database may have committed."""
    try:
        connection.commit()
    except BaseException as cause:
        connection.rollback()  # Else SQLAlchemy's pool believes that the transaction has ended;
        connection.close()  # closing ends it on the server.
        if not (isinstance(cause, sa.exc.DBAPIError) and cause.connection_invalidated):
            raise
        raise OutcomeUnknown("the store went away while it was told to keep a change") from cause


class _Transaction:
    """Ended when it is left: what was not committed is rolled back. Errors of the database and its
    driver become errors of ours. A class, since a generator costs a short read more than its query.
    """

    __slots__ = ("_begin", "_connection", "_database", "_what")

    def __init__(self, database: Database, what: str, begin: str) -> None:
        self._database = database
        self._what = what
        self._begin = begin

    def __enter__(self) -> Connection:
        try:
            self._connection = self._database.begin(self._what, self._begin)
        except sa.exc.SQLAlchemyError as cause:
            self._raise_ours(cause)
            raise
        return self._connection

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        self._database.end(self._connection, failed=error is not None)
        if error is not None:
            self._raise_ours(error)

    def _raise_ours(self, cause: BaseException) -> None:
        """Raises nothing for an error that is not the database's."""
        error = error_of(cause, self._what, self._database.engine.url)
        if error is not None:
            raise error from cause


def error_of(cause: BaseException, what: str, url: sa.URL) -> KumoiError | None:
    """Ours for an error of the database or its driver, met while we did `what`; None for another."""
    if isinstance(cause, sa.exc.DataError):
        return Invalid("a value is too long or too large to be kept")
    if isinstance(cause, sa.exc.DBAPIError):
        if cause.connection_invalidated:
            return StoreLost(what)
        if _is_full(cause):
            return StoreFull(f"{what}: its disk is full. Make room and try again; nothing is lost")
        if str(getattr(cause.orig, "sqlite_errorname", "")).startswith(SQLITE_DAMAGED):
            return StoreDamaged(
                f"{what}: the file {url.database} is damaged. `kumoi down`, put it aside, and bring "
                "the newest backup back with `kumoi restore`"
            )
    if isinstance(cause, sa.exc.OperationalError):
        return Transient(what)
    is_busy = isinstance(cause, sa.exc.TimeoutError)
    return Transient(f"{what}: all connections are busy") if is_busy else None


def _is_full(cause: sa.exc.DBAPIError) -> bool:
    """Whether the database has no room on its disk."""
    state = getattr(cause.orig, "sqlstate", None)
    return state == DISK_FULL or getattr(cause.orig, "sqlite_errorname", "") == SQLITE_FULL
