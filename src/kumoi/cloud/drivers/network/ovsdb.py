"""A connection to one OVSDB database: a live replica in memory, and transactions on it.

Open vSwitch's own Python library keeps the replica. It has no types and may be used by one thread at
a time, so nothing outside this module uses it. ovn/apply.py connects to the northbound database, ovn/southbound.py to the southbound,
ovs/apply.py to a host's switch. A thread of the connection's own keeps the replica current and
reconnects; whoever works on the replica holds the connection's lock.

It must not know what any table means: callers declare the tables and columns they use, and nothing
else is replicated.
"""

from __future__ import annotations

import contextlib
import os
import select
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self, TypeVar

from ovs.db import idl as ovs_idl
from ovs.poller import Poller
from ovs.stream import Stream

from kumoi.base.errors import Bug, Permanent, Transient

Row = Any
"""A row of the library's. Callers use its `uuid` and hand it to `Replica` and `ReplicaTransaction`."""
Scalar = str | int | bool
Value = Scalar | None | frozenset[Any]
"""A set is a frozenset, a map a frozenset of pairs, an absent optional None."""

DEFAULT_TIMEOUT_S = 10.0
BACKOFF_MIN_MS = 50
BACKOFF_MAX_MS = 250
ATTEMPT_PAUSE_S = 0.02

Result = TypeVar("Result")


class OvsdbRefused(Permanent):
    """The database refused a transaction: it would break one of its constraints."""

    code = "ovsdb.refused"


class Unreachable(Transient):
    """The database did not answer in time. A transaction may or may not have been committed."""

    code = "ovsdb.unreachable"


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """`type` is string, integer, boolean or uuid; `refers` the table that a uuid is of."""

    type: str = "string"
    refers: str | None = None
    optional: bool = False
    many: bool = False
    pairs: bool = False
    counts: bool = False  # With `pairs`: their values are integers.


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """`root` is `isRoot` of the database's schema: a row of another table lives while one refers to it."""

    name: str
    columns: Mapping[str, Column]
    root: bool


class Replica:
    """The database as it is. Valid only while its connection's lock is held."""

    def __init__(self, idl: Any, columns: Mapping[str, Mapping[str, Column]]) -> None:
        self._idl = idl
        self._columns = columns

    def rows(self, table: str) -> Iterable[Row]:
        return list(self._idl.tables[table].rows.values())

    def row(self, table: str, row_id: uuid.UUID) -> Row | None:
        return self._idl.tables[table].rows.get(row_id)

    def value(self, row: Row, table: str, column: str) -> Value:
        """A column's value. A reference is a frozenset of rows, a row, or None."""
        raw = getattr(row, column)
        kind = self._columns[table][column]
        if kind.pairs:
            return frozenset(raw.items())
        if kind.many:
            return frozenset(raw)
        if kind.optional:
            return raw[0] if raw else None
        found: Value = raw
        return found


class ReplicaTransaction(Replica):
    """The replica inside a transaction. Nothing is sent before the whole function has run."""

    def insert(self, table: str) -> Row:
        return self._idl.txn.insert(self._idl.tables[table])

    def write(self, row: Row, table: str, column: str, value: Value) -> None:
        """Set a column. A reference is a row."""
        kind = self._columns[table][column]
        raw: Any = value
        if kind.pairs:
            raw = dict(value)  # type: ignore[arg-type]
        elif kind.many:
            raw = list(value)  # type: ignore[arg-type]
        elif kind.optional:
            raw = [] if value is None else [value]
        setattr(row, column, raw)

    def add(self, row: Row, column: str, value: Row | Scalar) -> None:
        """Add one value to a set, whatever else is in it."""
        row.addvalue(column, value)

    def remove(self, row: Row, column: str, value: Row | Scalar) -> None:
        row.delvalue(column, value)

    def write_key(self, row: Row, column: str, key: str, value: str) -> None:
        """Set one key of a map; other keys stay."""
        row.setkey(column, key, value)

    def delete(self, row: Row) -> None:
        row.delete()

    def expect(self, row: Row, column: str) -> None:
        """Commit only if the server has the column as the replica has it. Before it is written."""
        row.verify(column)


class Connection:
    """To one database of one server (or of whichever leads of several: "ssl:a:6641,ssl:b:6641").

    `changed` is called, from the connection's own thread, after the replica has changed. `certificate` is the
    key, the certificate and the authority for `ssl:`; the library has one of them for the whole process.
    """

    def __init__(
        self,
        remote: str,
        database: str,
        tables: Iterable[Table],
        *,
        changed: Callable[[], None] | None = None,
        certificate: tuple[Path, Path, Path] | None = None,
    ) -> None:
        tables = tuple(tables)
        if certificate is not None:
            key, public, authority = map(str, certificate)
            Stream.ssl_set_private_key_file(key)
            Stream.ssl_set_certificate_file(public)
            Stream.ssl_set_ca_cert_file(authority)
        self._name = f"{database} at {remote}"
        self._changed = changed
        self._columns = {table.name: table.columns for table in tables}
        self._changed_rows: set[uuid.UUID] = set()
        self._idl = _open(remote, database, tables, self._changed_rows)
        self._lock = threading.Lock()
        self._closing = False
        self._wake_read, self._wake_write = os.pipe()
        os.set_blocking(self._wake_read, False)
        os.set_blocking(self._wake_write, False)
        self._thread = threading.Thread(target=self._follow, name=f"ovsdb {database}", daemon=True)
        self._thread.start()

    def close(self) -> None:
        if self._closing:
            return
        self._closing = True
        self._wake()
        self._thread.join()
        with self._lock:
            self._idl.close()
        os.close(self._wake_read)
        os.close(self._wake_write)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @contextlib.contextmanager
    def reading(self, *, timeout_s: float = DEFAULT_TIMEOUT_S) -> Iterator[Replica]:
        """The replica, with everything that the server has sent. Raises Unreachable."""
        deadline = time.monotonic() + timeout_s
        with self._locked():
            self._connect(deadline)
            yield Replica(self._idl, self._columns)

    def transact(
        self,
        change: Callable[[ReplicaTransaction], Result],
        *,
        timeout_s: float = DEFAULT_TIMEOUT_S,
    ) -> Result:
        """Run `change` and commit what it wrote, all of it or nothing. It runs again, on the replica
        as it is then, when the server asks to try again, has another value than was expected, or is
        lost before it answered: then what was sent may have been committed or may yet be, so `change`
        must expect a column that it writes. Raises OvsdbRefused and Unreachable.
        """
        deadline = time.monotonic() + timeout_s
        with self._locked():
            while True:
                self._connect(deadline)
                transaction = ovs_idl.Transaction(self._idl)
                try:
                    result = change(ReplicaTransaction(self._idl, self._columns))
                except BaseException:
                    transaction.abort()
                    raise
                if self._commit(transaction, deadline):
                    return result
                if time.monotonic() >= deadline:
                    raise Unreachable(f"{self._name} did not take a transaction in time")
                self._block(min(deadline, time.monotonic() + ATTEMPT_PAUSE_S))

    def wait_for(
        self, holds: Callable[[Replica], bool], *, timeout_s: float = DEFAULT_TIMEOUT_S
    ) -> bool:
        """Wait until `holds` is true of the replica; false when the time is up. Raises Unreachable."""
        deadline = time.monotonic() + timeout_s
        with self._locked():
            while True:
                self._connect(deadline)
                if holds(Replica(self._idl, self._columns)):
                    return True
                if time.monotonic() >= deadline:
                    return False
                self._block(deadline)

    def take_changed_rows(self) -> set[uuid.UUID]:
        """Ids of the rows that have changed since the last call. Only with the lock held."""
        changed = set(self._changed_rows)
        self._changed_rows.clear()
        return changed

    # What follows runs with the lock held, except `_follow` and `_wake`.

    def _commit(self, transaction: Any, deadline: float) -> bool:
        """Whether it was committed; False asks to try again."""
        status = transaction.commit()
        while status == transaction.INCOMPLETE:
            if time.monotonic() >= deadline:
                raise Unreachable(f"{self._name} did not answer a transaction in time")
            self._block(deadline)
            self._idl.run()
            status = transaction.commit()
        if status in (transaction.SUCCESS, transaction.UNCHANGED):
            return True
        if status == transaction.TRY_AGAIN:
            return False
        if status == transaction.ERROR:
            raise OvsdbRefused(f"{self._name} refused: {transaction.get_error()}")
        raise Bug(f"a transaction on {self._name} ended {status}")

    def _connect(self, deadline: float) -> None:
        """Process what the server has sent; wait until the replica is complete and connected."""
        while True:
            self._idl.run()
            # The library's state stays "monitoring" while it has lost the server.
            connected = self._idl._session.is_connected()  # noqa: SLF001
            if connected and self._idl.state == ovs_idl.Idl.IDL_S_MONITORING:
                return
            if self._closing or time.monotonic() >= deadline:
                raise Unreachable(f"{self._name} does not answer")
            self._block(min(deadline, time.monotonic() + BACKOFF_MAX_MS / 1000))

    def _block(self, until: float) -> None:
        poller = Poller()
        self._idl.wait(poller)
        poller.timer_wait(max(0, int((until - time.monotonic()) * 1000)))
        poller.block()

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        """Hold the lock; afterwards the thread computes anew what to wait for."""
        if not self._thread.is_alive():
            raise Bug(f"the connection to {self._name} has ended")
        with self._lock:
            try:
                yield
            finally:
                self._wake()

    def _wake(self) -> None:
        with contextlib.suppress(BlockingIOError):
            os.write(self._wake_write, b"w")

    def _follow(self) -> None:
        """The connection's thread: process what the server sends while nobody holds the lock."""
        seen = 0
        while not self._closing:
            with self._lock:
                self._idl.run()
                now = self._idl.change_seqno
                poller = Poller()
                self._idl.wait(poller)
            if now != seen:
                seen = now
                if self._changed is not None:
                    self._changed()
            poller.fd_wait(self._wake_read, select.POLLIN)
            poller.block()
            with contextlib.suppress(BlockingIOError):
                os.read(self._wake_read, 4096)


class OvsdbClient:
    """What one database is used for, by a connection of its own, which is closed with it."""

    def __init__(self, connection: Connection, timeout_s: float) -> None:
        self._connection = connection
        self._timeout_s = timeout_s

    def close(self) -> None:
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _open(remote: str, database: str, tables: Iterable[Table], changed: set[uuid.UUID]) -> Any:
    """The library's replica of these tables; it adds the ids of rows that change to `changed`."""

    class RecordingIdl(ovs_idl.Idl):  # type: ignore[misc]
        def notify(self, event: str, row: Any, updates: Any = None) -> None:
            del event, updates
            changed.add(row.uuid)

    schema = {
        "name": database,
        "version": "0.0.0",
        "tables": {
            table.name: {
                "isRoot": table.root,
                "columns": {
                    name: {"type": _type(column)} for name, column in table.columns.items()
                },
            }
            for table in tables
        },
    }
    helper = ovs_idl.SchemaHelper(schema_json=schema)
    helper.register_all()
    idl = RecordingIdl(remote, helper)
    # The library waits 1 to 8 s between attempts, and lets nobody ask for less than 1 s. A restart of the
    # server, or finding who leads of several, need not cost that.
    reconnect = idl._session.reconnect  # noqa: SLF001
    reconnect.min_backoff, reconnect.max_backoff = BACKOFF_MIN_MS, BACKOFF_MAX_MS
    return idl


def _type(column: Column) -> Any:
    """The column's type as the database's schema writes it (RFC 7047)."""
    key: Any = {"type": column.type}
    if column.refers is not None:
        key = {"type": "uuid", "refTable": column.refers, "refType": "weak"}
    kind: dict[str, Any] = {"key": key}
    if column.pairs:
        kind["value"] = "integer" if column.counts else "string"
    if column.many or column.pairs:
        kind |= {"min": 0, "max": "unlimited"}
    elif column.optional:
        kind |= {"min": 0, "max": 1}
    return kind
