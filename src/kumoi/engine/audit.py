"""Who changed what: one record a change, kept in the change's own transaction.

A request that may change something carries a Record. The first write transaction of the request
keeps it, so that a change without its record cannot be; a request that changed nothing has it kept
at the end. What was denied or failed is kept in a transaction of its own, and only so often for
each who fails: a flood fills no disk. Nobody reads it by an API; `kumoi audit` does, on the
machine. Columns are those of CADF's events (DMTF DSP0262).
"""

from __future__ import annotations

import collections
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
from kumoi.engine.db import Database
from kumoi.engine.schema import audit
from kumoi.engine.statement import Statement

SUCCESS, FAILURE = "success", "failure"
FAILURES_PER_MINUTE = 30  # Kept of one who fails; more are counted.
FAILING_MAX = 10_000
FAILURES_KEPT_MAX = 100_000
PAGE = 1_000
PRUNE_EVERY_S = 3_600.0
MINUTE_S = 60.0
TEXT_MAX = 255

CURRENT: contextvars.ContextVar[Record | None] = contextvars.ContextVar("record", default=None)
"""The record of the request that this task or thread works for."""


@dataclass(slots=True)
class Record:
    """What is known of a request that may change something. `target_id` of a new thing is told by
    its handler, before the transaction ends.
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
    kept: bool = False
    wanted: bool = True


class Recorder:
    """Keeps the records of one store. One per process and database."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._failures = _Failures(clock)
        database.before_commit = self._keep_current

    def succeeded(self, record: Record, status: int) -> None:
        """For a request that wrote nothing."""
        if record.wanted and record.audits and not record.kept:
            with self._database.write(wakes=False) as connection:
                self._insert(connection, record, SUCCESS, status)

    def failed(self, record: Record, status: int) -> None:
        """Also for one that wrote, and then failed."""
        if not record.wanted:
            return
        if not record.kept:
            repeated = self._failures.allow(record.user_id or source_network(record.address))
            if repeated is None:
                return
            with self._database.write(wakes=False) as connection:
                self._insert(connection, record, FAILURE, status, repeated=repeated)
            return
        changed = {"outcome": FAILURE, "reason_code": status}
        with self._database.write(wakes=False) as connection:
            query = sa.update(audit).where(audit.c.id == record.id).values(**changed)
            if connection.execute(query).rowcount == 0:  # Its transaction was not kept.
                self._insert(connection, record, FAILURE, status)

    def _keep_current(self, connection: Connection) -> None:
        """In every write transaction, at its end."""
        record = CURRENT.get()
        if record is not None and record.wanted and not record.kept:
            self._insert(connection, record, SUCCESS, 0)

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
        _KEEP.run(connection, values)
        record.kept = True


_KEEP = Statement(
    sa.insert(audit).inline(), [column.name for column in audit.c if column.name != "sequence"]
)


class _Failures:
    """How often each may have a failure kept; those that were not are counted in the next."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._seen: collections.OrderedDict[str, list[float]] = collections.OrderedDict()

    def allow(self, who: str) -> int | None:
        """How many were left out since the last that was kept; None: leave this one out too."""
        now_s = self._clock.monotonic()
        with self._lock:
            seen = self._seen.setdefault(who, [now_s, 0, 0])
            self._seen.move_to_end(who)
            while len(self._seen) > FAILING_MAX:
                self._seen.popitem(last=False)
            if now_s - seen[0] >= MINUTE_S:
                seen[0], seen[1] = now_s, 0
            if seen[1] >= FAILURES_PER_MINUTE:
                seen[2] += 1
                return None
            left_out = int(seen[2])
            seen[1], seen[2] = seen[1] + 1, 0
            return left_out


def unrecorded() -> None:
    """What this request does is no change after all."""
    record = CURRENT.get()
    if record is not None:
        record.wanted = False


def about(target_id: str, *, action: str | None = None) -> None:
    """Which thing it is that this request makes or changes."""
    record = CURRENT.get()
    if record is not None:
        record.target_id = target_id
        record.action = action or record.action


def new_record(**known: Any) -> Record:
    return Record(id=new_id(), **known)


def find(
    connection: Connection,
    among: Mapping[str, str],
    *,
    since: datetime | None = None,
    after: int = 0,
    last: int | None = None,
) -> list[sa.RowMapping]:
    """Oldest first: the `last` of them, or up to PAGE behind `after`."""
    query = sa.select(audit).where(audit.c.sequence > after)
    for name, value in among.items():
        query = query.where(audit.c[name] == value)
    if since is not None:
        query = query.where(audit.c.event_time >= since)
    if last is None:
        rows = connection.execute(query.order_by(audit.c.sequence).limit(PAGE))
        return list(rows.mappings())
    rows = connection.execute(query.order_by(audit.c.sequence.desc()).limit(last))
    return list(rows.mappings())[::-1]


def newest(connection: Connection) -> int:
    """The newest record's number; 0 where there is none."""
    return connection.execute(sa.select(sa.func.max(audit.c.sequence))).scalar() or 0


def prune(connection: Connection, before: datetime) -> int:
    """Forget what is older, and the oldest failures when they are too many."""
    gone = connection.execute(sa.delete(audit).where(audit.c.event_time < before)).rowcount
    failures = sa.select(audit.c.sequence).where(audit.c.outcome == FAILURE)
    newest = failures.order_by(audit.c.sequence.desc()).offset(FAILURES_KEPT_MAX).limit(1)
    oldest_kept = connection.execute(newest).scalar()
    if oldest_kept is not None:
        too_many = sa.delete(audit).where(
            audit.c.outcome == FAILURE, audit.c.sequence <= oldest_kept
        )
        gone += connection.execute(too_many).rowcount
    return gone


class Pruner:
    """A loop's round: forgets in time. Every write wakes a loop; this has nothing to do as often."""

    def __init__(self, database: Database, clock: Clock, days: int) -> None:
        self._database = database
        self._clock = clock
        self._kept = timedelta(days=days)
        self._due_at_s = 0.0

    def round(self) -> None:
        if self._clock.monotonic() < self._due_at_s:
            return
        with self._database.write(wakes=False) as connection:
            gone = prune(connection, self._clock.now() - self._kept)
        self._due_at_s = self._clock.monotonic() + PRUNE_EVERY_S
        if gone:
            log.event("audit.pruned", records=gone)


def events(rows: Sequence[sa.RowMapping]) -> Iterator[dict[str, Any]]:
    """As CADF writes them."""
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
