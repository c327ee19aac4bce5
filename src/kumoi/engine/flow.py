"""Flows: work whose steps are known and whose end somebody waits for, kept in the store.

A flow is a row: its kind, the step it is at, its state as JSON, and what must be undone if it
fails. A worker (flow_worker.py) takes one that is due under a lease, runs its step (flow_turn.py)
and writes the outcome where the lease still matches. It may be killed between any two statements:
the row says where to go on, and the step runs again, so every step is safe to repeat. This file has
what the nouns use to define, start and cancel their flows. docs/design/0002 says why the engine is
ours.

A step returns `Next`, `Wait` or `Done`; raising `Transient` tries it again, `Permanent` fails the
flow, and anything else is a bug that is tried again until the step's deadline. A flow that fails or
is cancelled runs the undos of the steps it reached, last first; an undo returns `Wait` or `Done`.
This module knows no nouns: `FlowKind.on_change` updates a noun's row in the same transaction.
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Generic, TypeVar

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from kumoi.engine.db import now
from kumoi.engine.schema import flow

State = TypeVar("State", bound=msgspec.Struct)
Function = TypeVar("Function", bound=Callable[..., Any])


class FlowStatus(enum.StrEnum):
    """UNDOING leads to FAILED, or to CANCELLED where somebody called `cancel`."""

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
class StepRule:
    """The parameters of a step's decorator."""

    undo: str | None
    deadline_s: float


def step(*, undo: str | None, deadline_s: float) -> Callable[[Function], Function]:
    """Mark a method as a step. `undo` names the method that takes its effect back; None must be
    explained beside it. All runs of the step together, waits included, end by the deadline.
    """

    def mark(function: Function) -> Function:
        function.__dict__["flow_rule"] = StepRule(undo, deadline_s)
        return function

    return mark


@dataclass(frozen=True, slots=True)
class FlowChange:
    """A flow's new status and step. `step` is the undo's name while it is undoing. `subject` is the
    id that was passed to `start`: known even when the state cannot be read.
    """

    flow_id: str
    subject: str
    status: FlowStatus
    step: str
    waits_for: str
    failure: str
    cancelled: bool
    at: datetime


@dataclass(frozen=True, slots=True)
class FlowKind(Generic[State]):
    """A kind of flow. The steps and undos are methods of the class `steps`; `on_change` is called
    inside the transaction that changes the flow's row, to update the row of its noun.

    `version` is raised whenever the fields of `state` change, so that a process of an older release
    leaves the flow to those that know it. States from version `oldest` on are still read.
    """

    name: str
    state: type[State]
    steps: type[Any]
    first: str
    on_change: Callable[[Connection, FlowChange], None] = lambda _connection, _change: None
    version: int = 1
    oldest: int = 1

    def rules(self) -> dict[str, StepRule]:
        """The rule of every step, by its name."""
        methods = {name: getattr(self.steps, name) for name in dir(self.steps)}
        rules = {name: getattr(method, "flow_rule", None) for name, method in methods.items()}
        return {name: rule for name, rule in rules.items() if isinstance(rule, StepRule)}

    def matches(self) -> sa.ColumnElement[bool]:
        """The condition for rows of this kind whose step or undo, and whose state, this release
        knows.
        """
        rules = self.rules()
        steps = {*rules, *(rule.undo for rule in rules.values() if rule.undo)}
        return (
            (flow.c.kind == self.name)
            & flow.c.step.in_(sorted(steps))
            & flow.c.state_version.between(self.oldest, self.version)
        )


def start(
    connection: Connection, kind: FlowKind[State], id: str, state: State, *, subject: str
) -> bool:
    """Begin a flow inside the caller's transaction; false when one of that id exists already.
    `subject` is the id of the noun that it works on.
    """
    if connection.execute(sa.select(flow.c.id).where(flow.c.id == id)).first():
        return False
    deadline_s = kind.rules()[kind.first].deadline_s
    at = now(connection)
    row: dict[str, Any] = {"id": id, "kind": kind.name, "status": FlowStatus.RUNNING}
    row |= {"step": kind.first, "created_at": at, "subject": subject}
    row |= dict.fromkeys(("waits_for", "failure", "cancelled", "lease_token"), "")
    row |= {"state": msgspec.to_builtins(state), "state_version": kind.version}
    row |= {"undos": [], "attempts": 0, "wakes": 0}
    row |= {"due_at": at, "deadline_at": at + timedelta(seconds=deadline_s)}
    connection.execute(sa.insert(flow).values(**row))
    return True


def wake(connection: Connection, id: str) -> None:
    """Make the flow's step run now, as a hint; where it is running already, it runs once more."""
    not_ended = (flow.c.id == id) & flow.c.due_at.is_not(None)
    due_now = sa.update(flow).values(wakes=flow.c.wakes + 1, due_at=now(connection))
    connection.execute(due_now.where(not_ended))


def cancel(connection: Connection, id: str, reason: str) -> bool:
    """Make a flow stop and run its undos; false when it is not running."""
    updated = connection.execute(
        sa.update(flow)
        .where(flow.c.id == id, flow.c.status == FlowStatus.RUNNING)
        .values(cancelled=reason, wakes=flow.c.wakes + 1, due_at=now(connection))
    )
    return updated.rowcount == 1


def is_going_on(connection: Connection, id: str) -> bool:
    """Whether there is such a flow and it has not ended, its undo included."""
    query = sa.select(flow.c.id).where(flow.c.id == id, flow.c.ended_at.is_(None))
    return connection.execute(query).first() is not None


def forget(connection: Connection, subject: str) -> None:
    """The flows that worked on a noun that is no more."""
    connection.execute(
        sa.delete(flow).where(flow.c.subject == subject, flow.c.ended_at.is_not(None))
    )


def forget_each(connection: Connection, subjects: sa.Select[tuple[str]]) -> None:
    """As `forget`, for each of these ids."""
    of_them = flow.c.subject.in_(subjects) & flow.c.ended_at.is_not(None)
    connection.execute(sa.delete(flow).where(of_them))


def ended_at(connection: Connection, id: str) -> datetime | None:
    """None while the flow runs, and for an id without a flow."""
    return connection.execute(sa.select(flow.c.ended_at).where(flow.c.id == id)).scalar()
