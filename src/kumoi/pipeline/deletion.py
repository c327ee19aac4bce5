"""The flow that deletes an environment, and `request`, which starts it.

The steps are known and somebody waits for the end, so this is a flow. Leftovers that it misses are
found by the sweeper in expire.py.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import msgspec
from sqlalchemy.engine import Connection

from kumoi.base import log
from kumoi.engine import flow as flows
from kumoi.engine.flow import Done, FlowChange, FlowKind, Outcome, Wait, step
from kumoi.pipeline.cloud import Cloud
from kumoi.pipeline.store import environment
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

    # No undo: a deleted object cannot be brought back.
    @step(undo=None, deadline_s=DEADLINE_S)
    def delete(self) -> Outcome:
        left = teardown(self.open_cloud(self.state.environment_id), self.state.environment_id)
        if left:
            first = ", ".join(f"{resource.noun} {resource.name}" for resource in left[:SHOWN_MAX])
            return Wait(f"{len(left)} objects to go: {first}", AGAIN_S)
        return Done()


def request(connection: Connection, found: Environment, reason: str) -> None:
    """Delete an environment. Where its run still goes on, the run is cancelled and its undo calls
    `begin`, so that nothing is deleted while the run may still make more.
    """
    if found.status == environment.EnvironmentStatus.LIVE and not flows.cancel(
        connection, found.run_id, reason
    ):
        begin(connection, found, reason)


def begin(connection: Connection, found: Environment, reason: str) -> None:
    """Start the flow, for the first time or again. The environment's run must have ended, or be in
    its undo.
    """
    number = found.deletions + 1
    environment.set_deleting(connection, found.id, reason, number)
    state = DeletionState(environment_id=found.id)
    flows.start(connection, KIND, flow_id(found.id, number), state, subject=found.id)


def flow_id(environment_id: str, number: int) -> str:
    return f"delete-{environment_id}-{number}"


def _on_change(connection: Connection, change: FlowChange) -> None:
    """The environment's row follows its flow."""
    if change.status == flows.FlowStatus.DONE:
        environment.set_deleted(connection, change.subject, change.at)
        log.event("environment.deleted", environment=change.subject)
    elif change.status == flows.FlowStatus.FAILED:
        reason = f"could not be deleted: {change.failure}"
        environment.set_reason(connection, change.subject, reason)
        log.warning("environment.stuck", environment=change.subject, reason=reason)


KIND = FlowKind("environment.delete", DeletionState, EnvironmentDelete, "delete", _on_change)
