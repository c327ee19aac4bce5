"""A server's status in Nova's words, from its wanted and its observed state. Pure.

`status` is for people, `vm_state` the last stable state, `task_state` the change under way,
`power_state` a number. Whoever acts on a server calls `require` first.
"""

from __future__ import annotations

import functools
from collections.abc import Collection
from dataclasses import dataclass
from typing import NamedTuple

from kumoi.base.errors import Conflict
from kumoi.cloud.hostapi.messages import InstanceState, Power
from kumoi.cloud.store.compute.server import Server

NO_STATE, RUNNING, PAUSED, SHUTDOWN, SUSPENDED = 0, 1, 3, 4, 7
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
    "suspended": "SUSPENDED",
    "rescued": "RESCUE",
    "shelved": "SHELVED",
    "shelved_offloaded": "SHELVED_OFFLOADED",
    "resized": "VERIFY_RESIZE",
    "error": "ERROR",
    "deleted": "DELETED",
}
MIGRATING = "migrating"
"""The `task_state` of a server on its way to another host."""
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
SUSPENDING = {"pausing": "suspending", "unpausing": "resuming"}
"""The moves of a server that is suspended where another is paused."""
SHELVING = {
    "stopping": "shelving",
    "imaging": "shelving_image_uploading",
    "offloading": "shelving_offloading",
    "offloaded": None,
    "unshelving": "unshelving",
}
"""The `task_state` of each step of domain/compute/shelve.py."""
ON_THE_SHELF = {
    "imaging": "stopped",
    "offloading": "shelved",
    "offloaded": "shelved_offloaded",
    "unshelving": "shelved_offloaded",
}
"""And its `vm_state`, where that is not the server's own."""
ALIVE = ("active", "paused", "suspended", "stopped")
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
    known = _Known(
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
        suspended=server.suspended,
        imaging=server.imaging,
        rescue=server.rescue is not None,
        unrescuing=server.observed_generation < server.unrescued,
        shelf=server.shelf,
        moved=_moved(server),
    )
    return _status(known)


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


def _moved(server: Server) -> str:
    """What a server on its way is shown as: failed where its new host went down (move_lost.py)."""
    if server.moving in ("", "leaving"):
        return ""
    known = server.move or {}
    is_stranded = server.moving == "starting" and known.get("fault")
    return "error" if is_stranded else str(known["vm_state"])


class _Known(NamedTuple):
    """What the status of a server comes of."""

    deleted: bool
    power: str
    state: str
    launched: bool
    behind: bool
    rebuilding: bool
    hard: bool
    soft: bool
    resized: bool
    reverting: bool
    suspended: bool
    imaging: bool
    rescue: bool
    unrescuing: bool
    shelf: str
    moved: str


@functools.lru_cache(maxsize=4096)
def _status(known: _Known) -> ComputeStatus:
    if known.deleted:
        return ComputeStatus("DELETED", "deleted", None, NO_STATE)
    vm_state, power_state = _settled(InstanceState(known.state), launched=known.launched)
    if vm_state == "paused" and known.suspended:
        vm_state, power_state = "suspended", SUSPENDED
    if known.power == Power.ABSENT:
        return ComputeStatus(STATUSES[vm_state], vm_state, "deleting", power_state)
    if known.moved or known.shelf:
        return _elsewhere(known, vm_state, power_state)
    if vm_state == "building":
        return ComputeStatus("BUILD", vm_state, "spawning", power_state)
    task = _restart(known)
    if task is not None:
        vm_state = {"resize_reverting": "resized", "unrescuing": "rescued"}.get(task, vm_state)
    elif vm_state == "error":
        return ComputeStatus("ERROR", vm_state, None, power_state)
    else:
        vm_state, task = _change(known, vm_state)
    return ComputeStatus(UNDER_WAY.get(task or "", STATUSES[vm_state]), vm_state, task, power_state)


def _elsewhere(known: _Known, vm_state: str, power_state: int) -> ComputeStatus:
    """Of a server that leaves its host, for another or for the shelf."""
    if known.moved == "error":
        return ComputeStatus("ERROR", "error", MIGRATING, power_state)
    if known.moved:
        return ComputeStatus("MIGRATING", known.moved, MIGRATING, power_state)
    vm_state = ON_THE_SHELF.get(known.shelf, vm_state)
    return ComputeStatus(STATUSES[vm_state], vm_state, SHELVING[known.shelf], power_state)


def _restart(known: _Known) -> str | None:
    """The change under way that also ends a failure."""
    again = {
        "rebuilding": known.rebuilding,
        "unrescuing": known.unrescuing,
        "reboot_started_hard": known.hard,
        "resize_reverting": known.reverting,
    }
    return next((name for name, is_wanted in again.items() if is_wanted), None)


def _change(known: _Known, vm_state: str) -> tuple[str, str | None]:
    """The `vm_state` and the `task_state` of a server that did not fail."""
    if known.rescue:
        is_coming = known.behind or known.soft
        return (vm_state, "rescuing") if is_coming else ("rescued", None)
    if known.resized:
        return (vm_state, "resize_migrating") if known.behind else ("resized", None)
    if known.soft and known.power == Power.RUNNING:
        return vm_state, "reboot_started"
    if known.behind:
        move = MOVES.get((Power(known.power), InstanceState(known.state)))
        return vm_state, SUSPENDING.get(move or "", move) if known.suspended else move
    return vm_state, TASK_SNAPSHOT if known.imaging else None


def _settled(state: InstanceState, *, launched: bool) -> tuple[str, int]:
    """`vm_state` and `power_state`. A server being rebuilt counts as active meanwhile."""
    if state in SETTLED:
        return SETTLED[state]
    return ("active", NO_STATE) if launched else ("building", NO_STATE)
