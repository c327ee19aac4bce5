"""Flows: work whose steps are known and whose end somebody waits for, kept in the store.

A flow is a row: its kind, the step it is at, its state as JSON, and what must be undone if it
fails. `Flows.advance` takes one flow that is due under a lease, runs its step and writes the
outcome where the lease still matches. A worker may be killed between any two statements: the row
says where to go on, and the step runs again, so every step is safe to repeat. docs/design/0002
says why this is ours.

A step returns `Next`, `Wait` or `Done`; raising `Transient` tries it again, `Permanent` fails the
flow, and anything else is a bug that is tried again until the step's deadline. A flow that fails or
is cancelled runs the undos of the steps it reached, last first; an undo returns `Wait` or `Done`.
This module knows no nouns: a noun's row follows through `Kind.moved`, in the same transaction.
"""

from __future__ import annotations

import asyncio
import enum
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Generic, TypeVar

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection, Row

from kumoi.base import log
from kumoi.base.backoff import Backoff
from kumoi.base.clock import Clock
from kumoi.base.errors import Bug, Permanent, Transient, chain
from kumoi.engine import holder
from kumoi.engine.db import Database
from kumoi.engine.schema import flow
from kumoi.engine.wake import Alarm

LEASE_TTL_S = 10.0
STEP_RUN_MAX_S = 120.0  # One call of a step; longer than this and its lease is not renewed.
FIRST_DEADLINE_S = 600.0  # Of the first step, which `start` does not know by more than its name.
IDLE_MAX_S = LEASE_TTL_S / 3  # Leases are renewed as often.
FULL_WAIT_S = 0.2  # All workers busy, or the store was.
BACKOFF = Backoff(first_s=0.5, most_s=30.0, factor=1.5)
UNDO_DEADLINE_S = 600.0

State = TypeVar("State", bound=msgspec.Struct)
Function = TypeVar("Function", bound=Callable[..., Any])


class Status(enum.StrEnum):
    """UNDOING leads to FAILED, or to CANCELLED when somebody asked for the end."""

    RUNNING = "running"
    UNDOING = "undoing"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True)
class Next:
    """The step is over; go on with this one."""

    step: str


@dataclass(frozen=True, slots=True)
class Wait:
    """Look again in `again_s`, or when woken. The step's deadline bounds it."""

    reason: str
    again_s: float


@dataclass(frozen=True, slots=True)
class Done:
    """The flow is over, or the undo is."""


Outcome = Next | Wait | Done


@dataclass(frozen=True, slots=True)
class Rule:
    """What a step declares about itself."""

    undo: str | None
    deadline_s: float


def step(*, undo: str | None, deadline_s: float) -> Callable[[Function], Function]:
    """Mark a method as a step. `undo` names the method that takes its effect back; None must be
    explained beside it. All runs of the step together, waits included, end by the deadline.
    """

    def mark(function: Function) -> Function:
        function.__dict__["flow_rule"] = Rule(undo, deadline_s)
        return function

    return mark


@dataclass(frozen=True, slots=True)
class Moved:
    """Where a flow has come to. `step` is the undo's name while it is undoing."""

    flow_id: str
    status: Status
    step: str
    waits_for: str
    failure: str
    cancelled: bool
    at: datetime


@dataclass(frozen=True, slots=True)
class Kind(Generic[State]):
    """An entry of the explicit table of flows. `steps` makes the object whose methods the steps
    are; `moved` lets the noun's row follow, inside the transaction that moves the flow.
    """

    name: str
    state: type[State]
    steps: Callable[[State], object]
    first: str
    moved: Callable[[Connection, State, Moved], None] = lambda _connection, _state, _moved: None


def start(connection: Connection, kind: Kind[State], id: str, state: State, now: datetime) -> bool:
    """Begin a flow inside the caller's transaction; false when one of that id exists already."""
    if connection.execute(sa.select(flow.c.id).where(flow.c.id == id)).first():
        return False
    row: dict[str, Any] = {"id": id, "kind": kind.name, "status": Status.RUNNING}
    row |= {"step": kind.first, "created_at": now}
    row |= dict.fromkeys(("waits_for", "failure", "cancelled", "lease_token"), "")
    row |= {"state": msgspec.to_builtins(state), "undos": [], "attempts": 0, "wakes": 0}
    row |= {"due_at": now, "deadline_at": now + timedelta(seconds=FIRST_DEADLINE_S)}
    connection.execute(sa.insert(flow).values(**row))
    return True


def wake(connection: Connection, id: str, now: datetime) -> None:
    """Let it look now; a hint. A flow whose step is running right now looks again after it."""
    running = (flow.c.id == id) & flow.c.due_at.is_not(None)
    connection.execute(sa.update(flow).where(running).values(wakes=flow.c.wakes + 1, due_at=now))


def cancel(connection: Connection, id: str, reason: str, now: datetime) -> bool:
    """Ask it to stop and undo what it did; false when it is not running."""
    asked = connection.execute(
        sa.update(flow)
        .where(flow.c.id == id, flow.c.status == Status.RUNNING)
        .values(cancelled=reason, wakes=flow.c.wakes + 1, due_at=now)
    )
    return asked.rowcount == 1


def status(connection: Connection, id: str) -> Status | None:
    found = connection.execute(sa.select(flow.c.status).where(flow.c.id == id)).scalar()
    return Status(found) if found else None


def ended_at(connection: Connection, id: str) -> datetime | None:
    """None while it runs, and for one that never was."""
    return connection.execute(sa.select(flow.c.ended_at).where(flow.c.id == id)).scalar()


class Flows:
    """What a worker does with flows. Several, in several processes, share the work."""

    def __init__(self, database: Database, clock: Clock, kinds: Iterable[Kind[Any]]) -> None:
        self._database = database
        self._clock = clock
        self._kinds = {kind.name: kind for kind in kinds}
        self._held: dict[str, float] = {}  # Lease tokens in use, since when.
        self._renewed_s = clock.monotonic()

    async def run(self, *, workers: int) -> None:
        """Until cancelled: keep up to `workers` steps running. Steps that run finish first."""
        alarm = Alarm(self._database.listen())
        await asyncio.to_thread(self._free_the_dead)
        with ThreadPoolExecutor(workers, "flow") as pool:
            try:
                while True:
                    seen = alarm.count
                    idle_s = await asyncio.to_thread(self._round, pool, workers)
                    await alarm.wait(idle_s, after=seen)
            finally:
                alarm.close()

    def _round(self, pool: ThreadPoolExecutor, workers: int) -> float:
        """Renew our leases, start what is due and free; how long nothing more can be done."""
        try:
            self._renew()
            while len(self._held) < workers:
                row = self._claim()
                if row is None:
                    return self._idle_s()
                pool.submit(self._work, row)
        except Exception as error:  # noqa: BLE001 - the engine's loop
            log.failure("flow.round_failed", error)
        return FULL_WAIT_S

    def advance(self) -> bool:
        """Run one step of one flow that is due; false when none is."""
        row = self._claim()
        if row is not None:
            self._work(row)
        return row is not None

    def _claim(self) -> Row[Any] | None:
        """Take the flow that has been due for longest, unless somebody holds it."""
        now = self._clock.now()
        free = flow.c.lease_expires_at.is_(None) | (flow.c.lease_expires_at <= now)
        due = sa.select(flow.c.id).where(flow.c.due_at <= now, free, flow.c.kind.in_(self._kinds))
        with self._database.read() as connection:
            if connection.execute(due.limit(1)).first() is None:
                return None
        token = holder.new_token()
        with self._database.write(wakes=False) as connection:
            first = due.order_by(flow.c.due_at, flow.c.id).limit(1).scalar_subquery()
            row = connection.execute(
                sa.update(flow)
                .where(flow.c.id == first)
                .values(lease_token=token, lease_expires_at=now + timedelta(seconds=LEASE_TTL_S))
                .returning(*flow.c)
            ).first()
        if row is not None:
            self._held[token] = self._clock.monotonic()
        return row

    def _free_the_dead(self) -> None:
        """What a killed worker of this machine held is free at once."""
        held = sa.select(flow.c.lease_token).where(flow.c.lease_expires_at.is_not(None))
        with self._database.read() as connection:
            gone = [token for token in connection.execute(held).scalars() if holder.is_gone(token)]
        if gone:
            theirs = flow.c.lease_token.in_(gone)
            with self._database.write() as connection:
                connection.execute(sa.update(flow).where(theirs).values(lease_expires_at=None))

    def _work(self, row: Row[Any]) -> None:
        with log.bound(flow=row.id, kind=row.kind, step=row.step):
            try:
                _Turn(self._database, self._clock, self._kinds[row.kind], row).run()
            except Exception as error:  # noqa: BLE001 - the engine's loop; the lease runs out
                log.failure("flow.turn_failed", error)
            finally:
                self._held.pop(row.lease_token, None)

    def _idle_s(self) -> float:
        """How long until something is due or a lease may have run out."""
        with self._database.read() as connection:
            due_at = connection.execute(
                sa.select(sa.func.min(flow.c.due_at, type_=flow.c.due_at.type)).where(
                    flow.c.lease_expires_at.is_(None)
                )
            ).scalar()
        if due_at is None:
            return IDLE_MAX_S
        left_s: float = (due_at - self._clock.now()).total_seconds()
        return min(max(left_s, 0.01), IDLE_MAX_S)

    def _renew(self) -> None:
        """Keep the leases of steps that run, so that a short lease serves long steps."""
        now_s = self._clock.monotonic()
        if now_s < self._renewed_s + IDLE_MAX_S:
            return
        self._renewed_s = now_s
        tokens = [token for token, s in self._held.copy().items() if s > now_s - STEP_RUN_MAX_S]
        if tokens:
            until = self._clock.now() + timedelta(seconds=LEASE_TTL_S)
            ours = flow.c.lease_token.in_(tokens)
            with self._database.write(wakes=False) as connection:
                connection.execute(sa.update(flow).where(ours).values(lease_expires_at=until))


class _Turn:
    """One step of one flow, from its row to its outcome in the store."""

    def __init__(self, database: Database, clock: Clock, kind: Kind[Any], row: Row[Any]) -> None:
        self._database = database
        self._clock = clock
        self._kind = kind
        self._row = row
        self._state = msgspec.convert(row.state, kind.state)
        self._steps = kind.steps(self._state)
        self._undoing = row.status == Status.UNDOING

    def run(self) -> None:
        if self._row.cancelled and not self._undoing:
            self._fail(self._row.cancelled)
            return
        try:
            outcome = self._call(self._row.step)
        except Permanent as error:
            self._give_up(error)
        except Exception as error:  # noqa: BLE001 - the engine's loop
            self._again(error)
        else:
            self._take(outcome)

    def _call(self, name: str) -> Outcome:
        """Run it. Nothing but an outcome is taken for one."""
        rule = self._rule(name)
        if rule.undo is not None and not callable(getattr(self._steps, rule.undo, None)):
            raise Bug(f"{self._kind.name}.{name} names an undo that does not exist: {rule.undo}")
        outcome: Outcome = getattr(self._steps, name)()
        if not isinstance(outcome, Wait | Done if self._undoing else Outcome):
            raise Bug(f"{self._kind.name}.{name} returned {type(outcome).__name__}")
        if isinstance(outcome, Next):
            self._rule(outcome.step)
        return outcome

    def _rule(self, name: str) -> Rule:
        if self._undoing:
            return Rule(None, UNDO_DEADLINE_S)
        rule = getattr(getattr(self._steps, name, None), "flow_rule", None)
        if not isinstance(rule, Rule):
            raise Bug(f"{self._kind.name} has no step {name}")
        return rule

    def _take(self, outcome: Outcome) -> None:
        if isinstance(outcome, Wait):
            self._wait(outcome.reason, outcome.again_s, attempts=0)
        elif self._undoing:
            self._undo_next(self._row.undos, self._row.failure)
        elif isinstance(outcome, Next):
            undo = self._rule(self._row.step).undo
            undos = [*self._row.undos, undo] if undo else self._row.undos
            self._save(Status.RUNNING, step=outcome.step, undos=undos)
        else:
            self._save(Status.DONE, step=self._row.step)

    def _again(self, error: Exception) -> None:
        """Transient, or a bug: that is tried again with back-off too, and logged each time."""
        attempts = self._row.attempts + 1
        asked_s = error.retry_after_s if isinstance(error, Transient) else None
        if asked_s is None:
            log.failure("flow.bug_met", error, attempts=attempts)
        self._wait(str(error), BACKOFF.after(attempts, asked_s=asked_s), attempts=attempts)

    def _wait(self, reason: str, again_s: float, *, attempts: int) -> None:
        """Not now. Past the deadline: never."""
        now = self._clock.now()
        deadline_at = self._row.deadline_at
        if now >= deadline_at:
            self._give_up(Permanent(f"{self._row.step} did not end in time: {reason}"))
            return
        self._save(
            Status(self._row.status),
            step=self._row.step,
            attempts=attempts,
            waits_for=reason,
            due_at=min(now + timedelta(seconds=again_s), deadline_at),
            deadline_at=deadline_at,
        )

    def _give_up(self, error: Permanent) -> None:
        if self._undoing:
            # What an undo leaves is for the noun's sweeper; the undos below it still run.
            log.failure("flow.undo_failed", error)
            left = f"{self._row.failure}; {self._row.step}: {error.message}"
            self._undo_next(self._row.undos, left)
        else:
            log.warning("flow.failed", error=chain(error))
            self._fail(error.message)

    def _fail(self, failure: str) -> None:
        """Turn around. The step we are in may have had its effect, so its undo runs too."""
        rule = getattr(getattr(self._steps, self._row.step, None), "flow_rule", None)
        undo = rule.undo if isinstance(rule, Rule) else None
        self._undo_next([*self._row.undos, undo] if undo else self._row.undos, failure)

    def _undo_next(self, undos: list[str], failure: str) -> None:
        if undos:
            self._save(Status.UNDOING, step=undos[-1], undos=undos[:-1], failure=failure)
        else:
            ended = Status.CANCELLED if self._row.cancelled else Status.FAILED
            self._save(ended, step=self._row.step, failure=failure)

    def _save(self, status: Status, **changed: Any) -> None:
        """Write the outcome if the lease is still ours; else somebody else has gone on."""
        now = self._clock.now()
        values = {"attempts": 0, "waits_for": "", "failure": self._row.failure, **changed}
        if status in (Status.RUNNING, Status.UNDOING):
            self._undoing = status == Status.UNDOING
            deadline_s = self._rule(values["step"]).deadline_s
            values.setdefault("deadline_at", now + timedelta(seconds=deadline_s))
            asleep = flow.c.wakes == self._row.wakes  # Nobody woke it while the step ran.
            values["due_at"] = sa.case((asleep, values.get("due_at", now)), else_=now)
        else:
            values |= {"due_at": None, "ended_at": now}
        state = msgspec.to_builtins(self._state)
        ours = (flow.c.id == self._row.id) & (flow.c.lease_token == self._row.lease_token)
        with self._database.write() as connection:
            written = connection.execute(
                sa.update(flow)
                .where(ours)
                .values(status=status, state=state, lease_token="", lease_expires_at=None, **values)
            )
            if written.rowcount != 1:
                log.warning("flow.result_dropped")
                return
            texts = (values["step"], values["waits_for"], values["failure"])
            moved = Moved(self._row.id, status, *texts, bool(self._row.cancelled), now)
            self._kind.moved(connection, self._state, moved)
