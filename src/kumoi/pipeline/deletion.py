"""The flow that deletes an environment, and `request`, which starts it.

The steps are known and somebody waits for the end, so this is a flow. Leftovers that it misses are
found by the sweeper in expire.py.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

import msgspec
from sqlalchemy.engine import Connection

from kumoi.base import log
from kumoi.engine import flow as flows
from kumoi.engine.db import Database
from kumoi.engine.flow import Done, FlowChange, FlowKind, Next, Outcome, Wait, step
from kumoi.pipeline.cloud import Cloud
from kumoi.pipeline.store import environment, environment_key
from kumoi.pipeline.store.environment import Environment
from kumoi.pipeline.teardown import teardown

AGAIN_S = 0.4
DEADLINE_S = 900.0
SHOWN_MAX = 3


class DeletionState(msgspec.Struct):
    environment_id: str


@dataclass(slots=True)
class EnvironmentDelete:
    state: DeletionState
    open_cloud: Callable[[str], Cloud]  # By the environment's id.
    database: Database

    # No undo: it only looks.
    @step(undo=None, deadline_s=DEADLINE_S)
    def await_runs(self) -> Outcome:
        """Nothing is deleted while a run may still make more."""
        with self.database.read() as connection:
            found = environment.get(connection, self.state.environment_id)
            runs = [found.run_id, found.newest_run_id] if found is not None else []
            going = [each for each in runs if flows.is_going_on(connection, each)]
        return Wait(f"run {going[0]} to end", AGAIN_S) if going else Next("delete")

    # No undo: a deleted object cannot be brought back.
    @step(undo=None, deadline_s=DEADLINE_S)
    def delete(self) -> Outcome:
        left = teardown(self.open_cloud(self.state.environment_id), self.state.environment_id)
        if left:
            first = ", ".join(f"{resource.noun} {resource.name}" for resource in left[:SHOWN_MAX])
            return Wait(f"{len(left)} objects to go: {first}", AGAIN_S)
        return Done()


def request(connection: Connection, found: Environment, reason: str) -> None:
    """Delete an environment, and cancel the runs that still work on it."""
    if found.status == environment.EnvironmentStatus.LIVE:
        for each in {found.run_id, found.newest_run_id}:
            flows.cancel(connection, each, reason)
        begin(connection, found, reason)


def begin(connection: Connection, found: Environment, reason: str) -> None:
    """Start the flow, for the first time or again."""
    number = found.deletions + 1
    environment.set_deleting(connection, found.id, reason, number)
    state = DeletionState(environment_id=found.id)
    flows.start(connection, KIND, flow_id(found.id, number), state, subject=found.id)


def end(connection: Connection, environment_id: str, at: datetime) -> None:
    """It is no more."""
    environment.set_deleted(connection, environment_id, at)
    environment_key.forget(connection, environment_id)


def flow_id(environment_id: str, number: int) -> str:
    return f"delete-{environment_id}-{number}"


def _on_change(connection: Connection, change: FlowChange) -> None:
    """The environment's row follows its flow."""
    if change.status == flows.FlowStatus.DONE:
        end(connection, change.subject, change.at)
        log.event("environment.deleted", environment=change.subject)
    elif change.status == flows.FlowStatus.FAILED:
        reason = f"could not be deleted: {change.failure}"
        environment.set_reason(connection, change.subject, reason)
        log.warning("environment.stuck", environment=change.subject, reason=reason)


KIND = FlowKind("environment.delete", DeletionState, EnvironmentDelete, "await_runs", _on_change)
