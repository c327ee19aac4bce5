"""One turn of one flow: run the step that its row names, and write the outcome. Called by
flow_worker.py, which holds the lease meanwhile.

The flow's deadline and its cancellation hold whatever goes wrong, also when the state cannot be
read or the steps object cannot be made. In that case no undo can work either; each is tried until
its own deadline, and what it leaves behind is for the noun's sweeper to find.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Row

from kumoi.base import log
from kumoi.base.backoff import Backoff
from kumoi.base.errors import Bug, Permanent, Transient, chain
from kumoi.engine.db import Database
from kumoi.engine.flow import Done, FlowChange, FlowKind, FlowStatus, Next, Outcome, StepRule, Wait
from kumoi.engine.schema import flow

BACKOFF = Backoff(first_s=0.5, most_s=30.0, factor=1.5)
UNDO_DEADLINE_S = 600.0


class Turn:
    """`make` makes the steps object, whose methods are the steps, from the flow's state."""

    def __init__(
        self,
        database: Database,
        kind: FlowKind[Any],
        make: Callable[[Any], object],
        row: Row[Any],
    ) -> None:
        self._database = database
        self._kind = kind
        self._make = make
        self._row = row
        self._rules = kind.rules()
        self._undoing = row.status == FlowStatus.UNDOING
        self._state: Any = None  # Until it has been read.

    def run(self) -> None:
        if self._row.cancelled and not self._undoing:
            self._fail(self._row.cancelled)
            return
        try:
            outcome = self._run_step(self._row.step)
        except Permanent as error:
            self._give_up(error)
        except Exception as error:  # noqa: BLE001 - the engine's loop
            attempts = self._row.attempts + 1
            asked_s = error.retry_after_s if isinstance(error, Transient) else None
            if asked_s is None:
                log.failure("flow.bug_met", error, attempts=attempts)
            self._wait(str(error), BACKOFF.after(attempts, asked_s=asked_s), attempts=attempts)
        else:
            self._follow(outcome)

    def _run_step(self, name: str) -> Outcome:
        """The step's outcome. Raises Bug for a result that is none, and for a step or an undo that
        does not exist.
        """
        undo = self._rule(name).undo
        if undo is not None and not callable(getattr(self._kind.steps, undo, None)):
            raise Bug(f"{self._kind.name}.{name} names an undo that does not exist: {undo}")
        self._state = msgspec.convert(self._row.state, self._kind.state)
        outcome: Outcome = getattr(self._make(self._state), name)()
        if not isinstance(outcome, Wait | Done if self._undoing else Outcome):
            raise Bug(f"{self._kind.name}.{name} returned {type(outcome).__name__}")
        if isinstance(outcome, Next):
            self._rule(outcome.step)
        return outcome

    def _rule(self, name: str) -> StepRule:
        if self._undoing:
            return StepRule(None, UNDO_DEADLINE_S)
        if name not in self._rules:
            raise Bug(f"{self._kind.name} has no step {name}")
        return self._rules[name]

    def _follow(self, outcome: Outcome) -> None:
        if isinstance(outcome, Wait):
            self._wait(outcome.reason, outcome.again_s, attempts=0)
        elif self._undoing:
            self._undo_next(self._row.undos, self._row.failure)
        elif isinstance(outcome, Next):
            undo = self._rule(self._row.step).undo
            undos = [*self._row.undos, undo] if undo else self._row.undos
            self._save(FlowStatus.RUNNING, step=outcome.step, undos=undos)
        else:
            self._save(FlowStatus.DONE, step=self._row.step)

    def _wait(self, reason: str, again_s: float, *, attempts: int) -> None:
        """Let the step run again later; past its deadline the flow fails instead."""
        now = self._database.now()
        deadline_at = self._row.deadline_at
        if now >= deadline_at:
            self._give_up(Permanent(f"{self._row.step} did not end in time: {reason}"))
            return
        self._save(
            FlowStatus(self._row.status),
            step=self._row.step,
            attempts=attempts,
            waits_for=reason,
            due_at=min(now + timedelta(seconds=again_s), deadline_at),
            deadline_at=deadline_at,
        )

    def _give_up(self, error: Permanent) -> None:
        if self._undoing:
            # The noun's sweeper finds what this undo leaves behind; the undos before it still run.
            log.failure("flow.undo_failed", error)
            failure = f"{self._row.failure}; {self._row.step}: {error.message}"
            self._undo_next(self._row.undos, failure)
        else:
            log.warning("flow.failed", error=chain(error))
            self._fail(error.message)

    def _fail(self, failure: str) -> None:
        """Begin to undo. The present step may have had its effect, so its undo runs, too."""
        undo = self._rule(self._row.step).undo
        self._undo_next([*self._row.undos, undo] if undo else self._row.undos, failure)

    def _undo_next(self, undos: list[str], failure: str) -> None:
        if undos:
            self._save(FlowStatus.UNDOING, step=undos[-1], undos=undos[:-1], failure=failure)
        else:
            status = FlowStatus.CANCELLED if self._row.cancelled else FlowStatus.FAILED
            self._save(status, step=self._row.step, failure=failure)

    def _save(self, status: FlowStatus, **changed: Any) -> None:
        """Write the outcome if the lease is still ours; else another worker has gone on."""
        now = self._database.now()
        values = {"attempts": 0, "waits_for": "", "failure": self._row.failure, **changed}
        if status in (FlowStatus.RUNNING, FlowStatus.UNDOING):
            self._undoing = status == FlowStatus.UNDOING
            deadline_s = self._rule(values["step"]).deadline_s
            values.setdefault("deadline_at", now + timedelta(seconds=deadline_s))
            not_woken = flow.c.wakes == self._row.wakes  # While the step ran.
            values["due_at"] = sa.case((not_woken, values.get("due_at", now)), else_=now)
        else:
            values |= {"due_at": None, "ended_at": now}
        if self._state is not None:
            values["state"] = msgspec.to_builtins(self._state)
            values["state_version"] = self._kind.version
        ours = (flow.c.id == self._row.id) & (flow.c.lease_token == self._row.lease_token)
        with self._database.write() as connection:
            updated = connection.execute(
                sa.update(flow)
                .where(ours)
                .values(status=status, lease_token="", lease_expires_at=None, **values)
            )
            if updated.rowcount != 1:
                log.warning("flow.result_dropped")
                return
            change = FlowChange(
                flow_id=self._row.id,
                subject=self._row.subject,
                status=status,
                step=values["step"],
                waits_for=values["waits_for"],
                failure=values["failure"],
                cancelled=bool(self._row.cancelled),
                at=now,
            )
            self._kind.on_change(connection, change)
