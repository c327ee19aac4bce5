"""The audit: one record for each change, of who changed what, in the change's own transaction.

A request that may change something carries a Record. The first write transaction of the request
writes it, so that there is no change without a record; for a request that wrote nothing it is
written at the end. A denied or failed request is recorded in a transaction of its own, and only so
often per caller, and of a project's records the newest are kept, so that no flood fills the disk. No
API shows the audit; `kumoi audit` does, on the machine. Columns are those of CADF's events (DMTF DSP0262).
"""

from __future__ import annotations

import collections
import contextlib
import contextvars
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from kumoi.base import log
from kumoi.base.address import source_network
from kumoi.base.clock import Clock
from kumoi.base.ids import new_id
from kumoi.engine.db import Database, Mark
from kumoi.engine.schema import audit
from kumoi.engine.statement import Statement

SUCCESS, FAILURE = "success", "failure"
FAILURES_PER_MINUTE = 30  # Recorded of one caller; more are counted.
FAILING_CALLERS_MAX = 10_000
FAILURES_STORED_MAX = 100_000
PROJECT_STORED_MAX = 500_000  # About 300 MiB.
PAGE = 1_000
PRUNE_EVERY_S = 600.0
MINUTE_S = 60.0
TEXT_MAX = 255

CURRENT: contextvars.ContextVar[Record | None] = contextvars.ContextVar("record", default=None)
"""The record of the request that this task or thread works for."""


@dataclass(slots=True)
class Record:
    """A request that may change something. The handler of a new resource sets its id as `target_id`
    (`about`) before the transaction ends. `is_change` is false for a request that turned out to
    change nothing; `written` says that the record is in the store.
    """

    id: str
    action: str
    target_type: str
    target_id: str
    request_id: str
    request_path: str
    observer: str
    address: str
    user_id: str = ""
    project_id: str = ""
    token_id: str = ""
    rule: str = ""
    audits: bool = True
    written: bool = False
    is_change: bool = True


class Recorder:
    """Writes the records to one store. One per process and database."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._failures = _FailureLimit(clock)
        database.before_commit = self._write_current

    def succeeded(self, record: Record, status: int) -> None:
        """Record a request that wrote nothing to the store."""
        if record.is_change and record.audits and not record.written:
            with self._database.write(wakes=False) as connection:
                self._insert(connection, record, SUCCESS, status)

    def failed(self, record: Record, status: int) -> None:
        """Record a request that failed, also one that failed after it wrote to the store."""
        if not record.is_change:
            return
        if not record.written:
            repeated = self._failures.allow(record.user_id or source_network(record.address))
            if repeated is None:
                return
            with self._database.write(wakes=False) as connection:
                self._insert(connection, record, FAILURE, status, repeated=repeated)
            return
        changed = {"outcome": FAILURE, "reason_code": status}
        with self._database.write(wakes=False) as connection:
            query = sa.update(audit).where(audit.c.id == record.id).values(**changed)
            if connection.execute(query).rowcount == 0:  # Its transaction was rolled back.
                self._insert(connection, record, FAILURE, status)

    def _write_current(self, connection: Connection) -> Mark | None:
        """Called at the end of every write transaction. One that has a record is told by it."""
        record = CURRENT.get()
        if record is None or not record.is_change or record.written:
            return None
        self._insert(connection, record, SUCCESS, 0)
        query = sa.select(audit.c.id).where(audit.c.id == record.id)
        return lambda later: later.execute(query).first() is not None

    def _insert(
        self,
        connection: Connection,
        record: Record,
        outcome: str,
        status: int,
        *,
        repeated: int = 0,
    ) -> None:
        values = {
            "id": record.id,
            "event_time": self._clock.now(),
            "action": record.action,
            "outcome": outcome,
            "reason_code": status,
            "rule": record.rule,
            "initiator_id": record.user_id,
            "initiator_project_id": record.project_id,
            "initiator_address": record.address,
            "initiator_token_id": record.token_id,
            "target_type": record.target_type,
            "target_id": record.target_id[:TEXT_MAX],
            "observer": record.observer,
            "request_id": record.request_id,
            "request_path": record.request_path[:TEXT_MAX].replace("\x00", ""),
            "repeated": repeated,
        }
        _INSERT.run(connection, values)
        record.written = True


_INSERT = Statement(
    sa.insert(audit).inline(), [column.name for column in audit.c if column.name != "sequence"]
)


@dataclass(slots=True)
class _FailureCount:
    """Of one caller. `recorded` are those of the minute since `began_s`."""

    began_s: float
    recorded: int = 0
    left_out: int = 0


class _FailureLimit:
    """Bounds the recorded failures per caller and minute; the next record counts those left out."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._counts: collections.OrderedDict[str, _FailureCount] = collections.OrderedDict()

    def allow(self, caller: str) -> int | None:
        """How many of the caller's failures were left out since the last recorded one; None when
        this one is to be left out, too.
        """
        now_s = self._clock.monotonic()
        with self._lock:
            count = self._counts.setdefault(caller, _FailureCount(now_s))
            self._counts.move_to_end(caller)
            while len(self._counts) > FAILING_CALLERS_MAX:
                self._counts.popitem(last=False)
            if now_s - count.began_s >= MINUTE_S:
                count.began_s, count.recorded = now_s, 0
            if count.recorded >= FAILURES_PER_MINUTE:
                count.left_out += 1
                return None
            left_out = count.left_out
            count.recorded, count.left_out = count.recorded + 1, 0
            return left_out


def discard_record() -> None:
    """The current request changes nothing after all, so it leaves no record."""
    record = CURRENT.get()
    if record is not None:
        record.is_change = False


def about(target_id: str, *, action: str | None = None) -> None:
    """Set the id of the resource that the current request makes or changes."""
    record = CURRENT.get()
    if record is not None:
        record.target_id = target_id
        record.action = action or record.action


@contextlib.contextmanager
def recording(record: Record) -> Iterator[None]:
    """The first write transaction within writes this record, of a change that no request makes."""
    token = CURRENT.set(record)
    try:
        yield
    finally:
        CURRENT.reset(token)


def new_record(**known: Any) -> Record:
    return Record(id=new_id(), **known)


def find(
    connection: Connection,
    columns: Mapping[str, str],
    *,
    since: datetime | None = None,
    after: int = 0,
    last: int | None = None,
) -> list[sa.RowMapping]:
    """The records with these values of columns, oldest first: the `last` ones, or up to PAGE of
    those that follow the sequence number `after`.
    """
    query = sa.select(audit).where(audit.c.sequence > after)
    for name, value in columns.items():
        query = query.where(audit.c[name] == value)
    if since is not None:
        query = query.where(audit.c.event_time >= since)
    if last is None:
        rows = connection.execute(query.order_by(audit.c.sequence).limit(PAGE))
        return list(rows.mappings())
    rows = connection.execute(query.order_by(audit.c.sequence.desc()).limit(last))
    return list(rows.mappings())[::-1]


def newest(connection: Connection) -> int:
    """The newest record's sequence number; 0 where there is none."""
    return connection.execute(sa.select(sa.func.max(audit.c.sequence))).scalar() or 0


class Pruner:
    """The round of a loop that prunes the audit, at most once in PRUNE_EVERY_S however often the
    store's hints wake the loop: records older than `days`, the oldest failures beyond FAILURES_STORED_MAX, and
    each project's oldest beyond PROJECT_STORED_MAX.
    """

    def __init__(self, database: Database, clock: Clock, days: int) -> None:
        self._database = database
        self._clock = clock
        self._age = timedelta(days=days)
        self._due_at_s = 0.0
        self._counted_to = 0

    def round(self) -> None:
        if self._clock.monotonic() < self._due_at_s:
            return
        with self._database.read() as connection:
            surplus = [
                audit.c.event_time < self._clock.now() - self._age,
                *_oldest(connection, audit.c.outcome == FAILURE, FAILURES_STORED_MAX),
                *self._of_projects(connection),
            ]
        deleted = sum(map(self._delete, surplus))
        self._due_at_s = self._clock.monotonic() + PRUNE_EVERY_S
        if deleted:
            log.event("audit.pruned", records=deleted)

    def _of_projects(self, connection: Connection) -> list[sa.ColumnElement[bool]]:
        """Counted where there is so much more that it matters, as all records are read for it."""
        last = newest(connection)
        if last - self._counted_to < PROJECT_STORED_MAX // 10:
            return []
        self._counted_to = last
        project = audit.c.initiator_project_id
        counts = sa.select(project).where(project != "").group_by(project)
        crowded = connection.execute(counts.having(sa.func.count() > PROJECT_STORED_MAX))
        return [
            which
            for one in crowded.scalars().all()
            for which in _oldest(connection, project == one, PROJECT_STORED_MAX)
        ]

    def _delete(self, which: sa.ColumnElement[bool]) -> int:
        """A PAGE in each transaction, so that nobody waits long to write. How many there were."""
        deleted = 0
        while True:
            with self._database.read() as connection:
                some = sa.select(audit.c.sequence).where(which).limit(PAGE)
                found = connection.execute(some).scalars().all()
            if not found:
                return deleted
            with self._database.write(wakes=False) as connection:
                connection.execute(sa.delete(audit).where(audit.c.sequence.in_(found)))
            deleted += len(found)


def _oldest(
    connection: Connection, mine: sa.ColumnElement[bool], kept: int
) -> list[sa.ColumnElement[bool]]:
    """Those beyond the newest `kept` of some, if there are any."""
    sequences = sa.select(audit.c.sequence).where(mine)
    beyond = sequences.order_by(audit.c.sequence.desc()).offset(kept).limit(1)
    last = connection.execute(beyond).scalar()
    return [] if last is None else [mine & (audit.c.sequence <= last)]


def events(rows: Sequence[sa.RowMapping]) -> Iterator[dict[str, Any]]:
    """The records as CADF events."""
    for row in rows:
        yield {
            "typeURI": "http://schemas.dmtf.org/cloud/audit/1.0/event",
            "eventType": "activity",
            "id": row["id"],
            "eventTime": row["event_time"].isoformat(),
            "action": row["action"],
            "outcome": row["outcome"],
            "reason": {"reasonCode": row["reason_code"], "policyId": row["rule"]},
            "initiator": {
                "typeURI": "service/security/account/user",
                "id": row["initiator_id"],
                "project_id": row["initiator_project_id"],
                "host": {"address": row["initiator_address"]},
                "credential": {"token": row["initiator_token_id"]},
            },
            "target": {"typeURI": row["target_type"], "id": row["target_id"]},
            "observer": {"typeURI": f"service/{row['observer']}"},
            "requestPath": row["request_path"],
            "request_id": row["request_id"],
            "repeated": row["repeated"],
        }
