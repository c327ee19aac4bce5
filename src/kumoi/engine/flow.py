"""Flows: work whose steps are known and whose end somebody waits for, kept in the store.

A flow is a row: its kind, the step it is at, its state as JSON, and what must be undone if it
fails. A worker (flow_worker.py) takes one that is due under a lease, runs its step (flow_turn.py)
and writes the outcome where the lease still matches. It may be killed between any two statements:
the row says where to go on, and the step runs again, so every step is safe to repeat. This file is
what nouns say of their flows and ask of them. docs/design/0002 says why the engine is ours.

A step returns `Next`, `Wait` or `Done`; raising `Transient` tries it again, `Permanent` fails the
flow, and anything else is a bug that is tried again until the step's deadline. A flow that fails or
is cancelled runs the undos of the steps it reached, last first; an undo returns `Wait` or `Done`.
This module knows no nouns: a noun's row follows through `FlowKind.moved`, in the same transaction.
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
class StepRule:
    """What a step declares about itself."""

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
class Moved:
    """Where a flow has come to. `step` is the undo's name while it is undoing. `subject` is the id
    that `start` was given: known even when the state cannot be read.
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
    """What a flow is. `steps` is the class whose methods the steps and undos are; `moved` lets the
    noun's row follow, inside the transaction that moves the flow.

    `version` is the state's: raised whenever the fields of `state` change, so that a process of an
    older release leaves the flow to those that know it. States from `oldest` on are still read.
    """

    name: str
    state: type[State]
    steps: type[Any]
    first: str
    moved: Callable[[Connection, Moved], None] = lambda _connection, _moved: None
    version: int = 1
    oldest: int = 1

    def rules(self) -> dict[str, StepRule]:
        """Of every step, by its name."""
        marked = {name: getattr(self.steps, name) for name in dir(self.steps)}
        found = {name: getattr(method, "flow_rule", None) for name, method in marked.items()}
        return {name: rule for name, rule in found.items() if isinstance(rule, StepRule)}

    def knows(self) -> sa.ColumnElement[bool]:
        """Which rows are of this kind, at a step or undo and with a state that we know."""
        rules = self.rules()
        places = {*rules, *(rule.undo for rule in rules.values() if rule.undo)}
        return (
            (flow.c.kind == self.name)
            & flow.c.step.in_(sorted(places))
            & flow.c.state_version.between(self.oldest, self.version)
        )


def start(
    connection: Connection, kind: FlowKind[State], id: str, state: State, *, subject: str
) -> bool:
    """Begin a flow inside the caller's transaction; false when one of that id exists already.
    `subject` is the id of what it is about.
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
    """Let it look now; a hint. A flow whose step is running right now looks again after it."""
    running = (flow.c.id == id) & flow.c.due_at.is_not(None)
    woken = sa.update(flow).values(wakes=flow.c.wakes + 1, due_at=now(connection))
    connection.execute(woken.where(running))


def cancel(connection: Connection, id: str, reason: str) -> bool:
    """Ask it to stop and undo what it did; false when it is not running."""
    asked = connection.execute(
        sa.update(flow)
        .where(flow.c.id == id, flow.c.status == FlowStatus.RUNNING)
        .values(cancelled=reason, wakes=flow.c.wakes + 1, due_at=now(connection))
    )
    return asked.rowcount == 1


def status(connection: Connection, id: str) -> FlowStatus | None:
    found = connection.execute(sa.select(flow.c.status).where(flow.c.id == id)).scalar()
    return FlowStatus(found) if found else None


def ended_at(connection: Connection, id: str) -> datetime | None:
    """None while it runs, and for one that never was."""
    return connection.execute(sa.select(flow.c.ended_at).where(flow.c.id == id)).scalar()
