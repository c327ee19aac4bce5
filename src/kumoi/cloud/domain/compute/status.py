"""A server's status in Nova's words, from its wanted and its observed state. Pure.

`status` is for people, `vm_state` the last stable state, `task_state` the change under way,
`power_state` a number. Whoever acts on a server calls `require` first.
"""

from __future__ import annotations

import functools
from collections.abc import Collection
from dataclasses import dataclass

from kumoi.base.errors import Conflict
from kumoi.cloud.hostapi.messages import InstanceState, Power
from kumoi.cloud.store.compute.server import Server

NO_STATE, RUNNING, PAUSED, SHUTDOWN = 0, 1, 3, 4
SETTLED = {
    InstanceState.RUNNING: ("active", RUNNING),
    InstanceState.STOPPED: ("stopped", SHUTDOWN),
    InstanceState.PAUSED: ("paused", PAUSED),
    InstanceState.FAILED: ("error", NO_STATE),
}
STATUSES = {
    "building": "BUILD",
    "active": "ACTIVE",
    "stopped": "SHUTOFF",
    "paused": "PAUSED",
    "resized": "VERIFY_RESIZE",
    "error": "ERROR",
    "deleted": "DELETED",
}
UNDER_WAY = {
    "rebuilding": "REBUILD",
    "resize_migrating": "RESIZE",
    "resize_reverting": "REVERT_RESIZE",
    "reboot_started": "REBOOT",
    "reboot_started_hard": "HARD_REBOOT",
}
MOVES = {
    (Power.RUNNING, InstanceState.STOPPED): "powering-on",
    (Power.RUNNING, InstanceState.PAUSED): "unpausing",
    (Power.STOPPED, InstanceState.RUNNING): "powering-off",
    (Power.STOPPED, InstanceState.PAUSED): "powering-off",
    (Power.PAUSED, InstanceState.RUNNING): "pausing",
}
ALIVE = ("active", "paused", "stopped")
"""The `vm_state` of a server that its host has made and that did not fail."""
TASK_SNAPSHOT = "image_uploading"


@dataclass(frozen=True, slots=True)
class ComputeStatus:
    status: str
    vm_state: str
    task_state: str | None
    power_state: int


def of(server: Server) -> ComputeStatus:
    """The status of a row."""
    return _status(
        deleted=server.deleted,
        power=server.power,
        state=server.state,
        launched=server.launched_at is not None,
        behind=server.observed_generation < server.generation,
        rebuilding=server.build > server.observed_build,
        hard=server.hard_boot > server.observed_hard_boot,
        soft=server.boot > server.observed_boot,
        resized=server.resized_from is not None,
        reverting=server.observed_generation < server.reverted,
    )


def require(
    server: Server,
    verb: str,
    *,
    vm_states: Collection[str],
    tasks: Collection[str | None] = (None,),
) -> None:
    """Raises Conflict unless the server has one of these `vm_state`s and `task_state`s."""
    now = of(server)
    if now.vm_state not in vm_states:
        raise Conflict(
            f"Cannot '{verb}' instance {server.id} while it is in vm_state {now.vm_state}"
        )
    if now.task_state not in tasks:
        raise Conflict(
            f"Cannot '{verb}' instance {server.id} while it is in task_state {now.task_state}"
        )


@functools.lru_cache(maxsize=4096)
def _status(
    *,
    deleted: bool,
    power: str,
    state: str,
    launched: bool,
    behind: bool,
    rebuilding: bool,
    hard: bool,
    soft: bool,
    resized: bool,
    reverting: bool,
) -> ComputeStatus:
    if deleted:
        return ComputeStatus("DELETED", "deleted", None, NO_STATE)
    vm_state, power_state = _settled(InstanceState(state), launched=launched)
    if power == Power.ABSENT:
        return ComputeStatus(STATUSES[vm_state], vm_state, "deleting", power_state)
    if vm_state == "building":
        return ComputeStatus("BUILD", vm_state, "spawning", power_state)
    again = {"rebuilding": rebuilding, "reboot_started_hard": hard, "resize_reverting": reverting}
    task = next((name for name, is_wanted in again.items() if is_wanted), None)
    if task is not None:
        vm_state = "resized" if task == "resize_reverting" else vm_state
    elif vm_state == "error":
        return ComputeStatus("ERROR", vm_state, None, power_state)
    elif resized:
        vm_state, task = (vm_state, "resize_migrating") if behind else ("resized", None)
    elif soft and power == Power.RUNNING:
        task = "reboot_started"
    elif behind:
        task = MOVES.get((Power(power), InstanceState(state)))
    return ComputeStatus(UNDER_WAY.get(task or "", STATUSES[vm_state]), vm_state, task, power_state)


def _settled(state: InstanceState, *, launched: bool) -> tuple[str, int]:
    """`vm_state` and `power_state`. A server being rebuilt counts as active meanwhile."""
    if state in SETTLED:
        return SETTLED[state]
    return ("active", NO_STATE) if launched else ("building", NO_STATE)
