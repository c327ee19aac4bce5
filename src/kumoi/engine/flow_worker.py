"""Workers of flows: claim a flow that is due, and hold its lease while its step runs
(flow_turn.py).

Several workers, in several processes and of several releases, share the flows: a worker takes only
those whose kind, step and state version it knows, and logs the others once. Called by the roles.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Row

from kumoi.base import log
from kumoi.base.backoff import Backoff
from kumoi.base.clock import Clock
from kumoi.engine import holder
from kumoi.engine.db import Database, now
from kumoi.engine.flow import FlowKind
from kumoi.engine.flow_turn import Turn
from kumoi.engine.schema import flow
from kumoi.engine.wake import Alarm

LEASE_TTL_S = 10.0
STEP_RUN_MAX_S = 120.0  # One call of a step; longer than this and its lease is not renewed.
IDLE_MAX_S = LEASE_TTL_S / 3  # Leases are renewed as often.
FULL_WAIT_S = 0.2  # All workers are busy.
AGAIN = Backoff(first_s=0.2, most_s=10.0)
UNKNOWN_LOGGED_MAX = 50

Makers = Mapping[FlowKind[Any], Callable[[Any], object]]


class Flows:
    """The workers of one process. `makers` has, for each kind of flow, the function that makes the
    steps object from a state.
    """

    def __init__(self, database: Database, clock: Clock, makers: Makers) -> None:
        self._database = database
        self._clock = clock
        self._kinds = {kind.name: (kind, make) for kind, make in makers.items()}
        self._known = sa.or_(sa.false(), *(kind.matches() for kind in makers))
        self._logged: set[tuple[Any, ...]] = set()  # The unknown flows that were logged.
        self._held: dict[str, float] = {}  # When each lease token in use was claimed.
        self._renewed_s = clock.monotonic()
        self._freed = False  # Whether leases of killed workers have been freed.
        self._failures = 0

    async def run(self, *, workers: int) -> None:
        """Run up to `workers` steps at a time, until cancelled; running steps finish first."""
        alarm = Alarm(self._database.listen)
        with ThreadPoolExecutor(workers, "flow") as pool:
            try:
                while True:
                    count = alarm.count
                    idle_s = await asyncio.to_thread(self._round, pool, workers)
                    await alarm.wait(idle_s, after=count)
            finally:
                await alarm.close()

    def _round(self, pool: ThreadPoolExecutor, workers: int) -> float:
        """Renew our leases, and start steps while flows are due and workers are free; how long to
        wait for the next round.
        """
        try:
            if not self._freed:
                self._free_leases_of_killed()
                self._freed = True
            self._renew()
            idle_s = FULL_WAIT_S
            while len(self._held) < workers:
                row = self._claim()
                if row is None:
                    idle_s = self._idle_s()
                    break
                pool.submit(self._work, row)
            self._failures = 0
        except Exception as error:  # noqa: BLE001 - the engine's loop
            log.failure("flow.round_failed", error)
            self._failures += 1
            return AGAIN.after(self._failures)
        return idle_s

    def advance(self) -> bool:
        """Run one step of one due flow in the caller's thread, for tests; false when none is due."""
        row = self._claim()
        if row is not None:
            self._work(row)
        return row is not None

    def _claim(self) -> Row[Any] | None:
        """Claim the flow that has been due for longest and that nobody holds."""
        with self._database.read() as connection:
            at = now(connection)
            if connection.execute(self._due(at).limit(1)).first() is None:
                self._log_unknown(connection, at)
                return None
        token = holder.new_token()
        with self._database.write(wakes=False) as connection:
            at = now(connection)
            first = self._due(at).order_by(flow.c.due_at, flow.c.id).limit(1).scalar_subquery()
            row = connection.execute(
                sa.update(flow)
                .where(flow.c.id == first)
                .values(lease_token=token, lease_expires_at=at + timedelta(seconds=LEASE_TTL_S))
                .returning(*flow.c)
            ).first()
        if row is not None:
            self._held[token] = self._clock.monotonic()
        return row

    def _due(self, at: datetime) -> sa.Select[tuple[str]]:
        free = flow.c.lease_expires_at.is_(None) | (flow.c.lease_expires_at <= at)
        return sa.select(flow.c.id).where(flow.c.due_at <= at, free, self._known)

    def _log_unknown(self, connection: Connection, at: datetime) -> None:
        """Log, once for each of its steps, a flow that waits for a process of another release."""
        columns = sa.select(flow.c.id, flow.c.kind, flow.c.step, flow.c.state_version)
        unknown = columns.where(flow.c.due_at <= at, ~self._known).order_by(flow.c.id)
        rows = {tuple(row) for row in connection.execute(unknown.limit(UNKNOWN_LOGGED_MAX))}
        for id, kind, step, version in sorted(rows - self._logged):  # noqa: A001 - a flow's
            log.warning("flow.not_known_here", flow=id, kind=kind, step=step, state_version=version)
        self._logged = rows

    def _free_leases_of_killed(self) -> None:
        """Called once: leases of this machine's killed workers need not expire."""
        held = sa.select(flow.c.lease_token).where(flow.c.lease_expires_at.is_not(None))
        with self._database.read() as connection:
            gone = [token for token in connection.execute(held).scalars() if holder.is_gone(token)]
        if gone:
            of_killed = flow.c.lease_token.in_(gone)
            with self._database.write() as connection:
                connection.execute(sa.update(flow).where(of_killed).values(lease_expires_at=None))

    def _work(self, row: Row[Any]) -> None:
        with log.bound(flow=row.id, kind=row.kind, step=row.step):
            try:
                Turn(self._database, *self._kinds[row.kind], row).run()
            except Exception as error:  # noqa: BLE001 - the engine's loop; the lease runs out
                log.failure("flow.turn_failed", error)
            finally:
                self._held.pop(row.lease_token, None)

    def _idle_s(self) -> float:
        """How long until a flow is due, or a lease may have expired."""
        with self._database.read() as connection:
            due_at = connection.execute(
                sa.select(sa.func.min(flow.c.due_at, type_=flow.c.due_at.type)).where(
                    flow.c.lease_expires_at.is_(None), self._known
                )
            ).scalar()
            at = now(connection)
        if due_at is None:
            return IDLE_MAX_S
        left_s: float = (due_at - at).total_seconds()
        return min(max(left_s, 0.01), IDLE_MAX_S)

    def _renew(self) -> None:
        """Renew the leases of running steps, so that a short lease does for long steps."""
        now_s = self._clock.monotonic()
        if now_s < self._renewed_s + IDLE_MAX_S:
            return
        self._renewed_s = now_s
        tokens = [token for token, s in self._held.copy().items() if s > now_s - STEP_RUN_MAX_S]
        if tokens:
            ours = flow.c.lease_token.in_(tokens)
            with self._database.write(wakes=False) as connection:
                until = now(connection) + timedelta(seconds=LEASE_TTL_S)
                connection.execute(sa.update(flow).where(ours).values(lease_expires_at=until))
