"""The actions on a server: each changes its wanted state, which its host then brings about."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy.engine import Connection

from kumoi.base.errors import Conflict
from kumoi.cloud.domain.caller import Caller
from kumoi.cloud.domain.compute import action, networking, server_rebuild, status
from kumoi.cloud.domain.compute.networking import Nic
from kumoi.cloud.domain.compute.server import UNLOCK_OVERRIDE, get, unlocked
from kumoi.cloud.hostapi.messages import InstanceState, Power
from kumoi.cloud.store.compute import server as store
from kumoi.cloud.store.compute.server import Server
from kumoi.cloud.store.network.port import Port

REBOOT_TASKS = (
    *(None, "reboot_started", "reboot_started_hard", "pausing", "unpausing"),
    *("suspending", "resuming", status.TASK_SNAPSHOT),
)
HARD_STATES = ("active", "stopped", "paused", "suspended", "error")


def start(connection: Connection, caller: Caller, key: str, now: datetime) -> None:
    """Raises Conflict unless the server is stopped."""
    row = _ready(connection, caller, key, "start", ("stopped",))
    _want(connection, caller, row, "start", now, power=Power.RUNNING.value)


def stop(connection: Connection, caller: Caller, key: str, now: datetime) -> None:
    """Raises Conflict unless the server runs or has failed."""
    row = _ready(connection, caller, key, "stop", ("active", "error"))
    _want(connection, caller, row, "stop", now, power=Power.STOPPED.value)


def pause(connection: Connection, caller: Caller, key: str, now: datetime) -> None:
    """Raises Conflict unless the server runs."""
    row = _ready(connection, caller, key, "pause", ("active",))
    _want(connection, caller, row, "pause", now, power=Power.PAUSED.value, suspended=False)


def unpause(connection: Connection, caller: Caller, key: str, now: datetime) -> None:
    """Raises Conflict unless the server is paused."""
    row = _ready(connection, caller, key, "unpause", ("paused",))
    _want(connection, caller, row, "unpause", now, power=Power.RUNNING.value)


def suspend(connection: Connection, caller: Caller, key: str, now: datetime) -> None:
    """Freeze the server, as `pause` does: its memory stays on its host. Raises Conflict unless it
    runs.
    """
    row = _ready(connection, caller, key, "suspend", ("active",))
    _want(connection, caller, row, "suspend", now, power=Power.PAUSED.value, suspended=True)


def resume(connection: Connection, caller: Caller, key: str, now: datetime) -> None:
    """Raises Conflict unless the server is suspended."""
    row = _ready(connection, caller, key, "resume", ("suspended",))
    _want(connection, caller, row, "resume", now, power=Power.RUNNING.value)


def reboot(connection: Connection, caller: Caller, key: str, now: datetime, *, hard: bool) -> None:
    """A hard reboot also starts a server that is stopped, paused or failed. Raises Conflict."""
    row = unlocked(connection, caller, key)
    if hard:
        status.require(row, "reboot", vm_states=HARD_STATES, tasks=REBOOT_TASKS)
        values = {"hard_boot": row.hard_boot + 1}
    else:
        status.require(row, "reboot", vm_states=("active",))
        values = {"boot": row.boot + 1}
    _want(connection, caller, row, "reboot", now, power=Power.RUNNING.value, **values)


def reset(
    connection: Connection, caller: Caller, key: str, now: datetime, *, to_error: bool
) -> None:
    """Override the observed state, until the host reports again."""
    row = get(connection, caller, key)
    state = InstanceState.FAILED if to_error else InstanceState.RUNNING
    store.update(connection, row, now=now, state=state.value, fault=None, fault_at=None)


def tell_networks(connection: Connection, caller: Caller, key: str, now: datetime) -> None:
    """Have the host look at the server's ports again. Raises NotFound."""
    store.tell(connection, get(connection, caller, key), now=now)


def restore(connection: Connection, caller: Caller, key: str, _now: datetime) -> None:
    """Raises Conflict: what was deleted is gone, so no server waits for being restored."""
    status.require(unlocked(connection, caller, key), "restore", vm_states=())


def lock(
    connection: Connection, caller: Caller, key: str, now: datetime, *, reason: str | None
) -> None:
    """A server that an administrator of another project has locked, only an administrator unlocks."""
    row = get(connection, caller, key)
    is_admins = caller.may(UNLOCK_OVERRIDE) and caller.project_id != row.project_id
    locked_by = "admin" if is_admins else "owner"
    store.update(connection, row, now=now, locked_by=locked_by, locked_reason=reason)
    action.record(connection, caller, row, "lock", now)


def unlock(connection: Connection, caller: Caller, key: str, now: datetime) -> None:
    """Raises Conflict for a lock that only an administrator may remove."""
    row = get(connection, caller, key)
    if row.locked_by == "admin" and not caller.may(UNLOCK_OVERRIDE):
        raise Conflict(f"Instance {key} is locked")
    store.update(connection, row, now=now, locked_by="", locked_reason=None)
    action.record(connection, caller, row, "unlock", now)


def attach_port(
    connection: Connection, caller: Caller, key: str, nic: Nic | None, now: datetime
) -> Port:
    """Add an interface; `nic` of None is a port on the only network that the project may use."""
    row = _ready(connection, caller, key, "attach_interface", status.ALIVE)
    if row.host_id is None:
        raise Conflict(f"Instance {key} has no host.")
    nics = networking.automatic(connection, caller, may_lack=False) if nic is None else (nic,)
    networking.check(connection, caller, nics, servers=1)
    port = networking.attach(connection, caller, row, nics[0], group_ids=(), now=now)
    store.tell(connection, row, now=now)
    action.record(connection, caller, row, "attach_interface", now)
    return port


def detach_port(
    connection: Connection, caller: Caller, key: str, port_id: str, now: datetime
) -> None:
    """Raises NotFound when the server has no such port."""
    row = _ready(connection, caller, key, "detach_interface", status.ALIVE)
    networking.detach(connection, row, port_id, now)
    store.tell(connection, row, now=now)
    action.record(connection, caller, row, "detach_interface", now)


def add_address(
    connection: Connection, caller: Caller, key: str, network_id: str, now: datetime
) -> None:
    """Add an address to the server's port on a network. Raises Invalid where it has no port there."""
    row = _ready(connection, caller, key, "add_fixed_ip", status.ALIVE)
    networking.add_address(connection, row, network_id, now)
    store.tell(connection, row, now=now)


def remove_address(
    connection: Connection, caller: Caller, key: str, address: str, now: datetime
) -> None:
    """Remove an address of the server. Raises Invalid when no port of the server has it."""
    row = _ready(connection, caller, key, "remove_fixed_ip", status.ALIVE)
    networking.remove_address(connection, row, address, now)
    store.tell(connection, row, now=now)


def change_group(
    connection: Connection, caller: Caller, key: str, name: str, now: datetime, *, add: bool
) -> None:
    """Put all ports of a server into a security group, or take them out of it, in whatever state it is."""
    row = unlocked(connection, caller, key)
    networking.change_group(connection, caller, row, name, now, add=add)


def _ready(
    connection: Connection, caller: Caller, key: str, verb: str, vm_states: tuple[str, ...]
) -> Server:
    """A server on which the action may be started. Raises NotFound, Conflict."""
    row = unlocked(connection, caller, key)
    status.require(row, verb, vm_states=vm_states)
    return row


def _want(
    connection: Connection,
    caller: Caller,
    row: Server,
    verb: str,
    now: datetime,
    **values: Any,
) -> None:
    server_rebuild.require_host(row)
    store.want(connection, row, now=now, **server_rebuild.going_back(row), **values)
    action.begin(connection, caller, row, verb, now)
