"""What may be asked of a server that is there: each changes what is wanted, and the host follows."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy.engine import Connection

from kumoi.base.errors import Conflict
from kumoi.cloud.domain.caller import Caller
from kumoi.cloud.domain.compute import action, networking, server_rebuild, status
from kumoi.cloud.domain.compute.networking import Nic
from kumoi.cloud.domain.compute.server import get, unlocked
from kumoi.cloud.domain.compute.server_create import keys
from kumoi.cloud.hostapi.messages import InstanceState, Power
from kumoi.cloud.store.compute import server as store
from kumoi.cloud.store.compute.server import Server
from kumoi.cloud.store.network.port import Port

__all__ = [
    "add_address",
    "attach_port",
    "change_group",
    "detach_port",
    "keys",
    "lock",
    "pause",
    "reboot",
    "remove_address",
    "reset",
    "start",
    "stop",
    "unlock",
    "unpause",
]

UNLOCK_OVERRIDE = "os_compute_api:os-lock-server:unlock:unlock_override"
REBOOT_TASKS = (None, "reboot_started", "reboot_started_hard", "pausing", "unpausing")
HARD_STATES = ("active", "stopped", "paused", "error")


def start(connection: Connection, caller: Caller, key: str, now: datetime) -> None:
    """Raises Conflict unless it is stopped."""
    row = _ready(connection, caller, key, "start", ("stopped",))
    _want(connection, caller, row, "start", now, power=Power.RUNNING.value)


def stop(connection: Connection, caller: Caller, key: str, now: datetime) -> None:
    """Raises Conflict unless it runs, or failed."""
    row = _ready(connection, caller, key, "stop", ("active", "error"))
    _want(connection, caller, row, "stop", now, power=Power.STOPPED.value)


def pause(connection: Connection, caller: Caller, key: str, now: datetime) -> None:
    """Raises Conflict unless it runs."""
    row = _ready(connection, caller, key, "pause", ("active",))
    _want(connection, caller, row, "pause", now, power=Power.PAUSED.value)


def unpause(connection: Connection, caller: Caller, key: str, now: datetime) -> None:
    """Raises Conflict unless it is paused."""
    row = _ready(connection, caller, key, "unpause", ("paused",))
    _want(connection, caller, row, "unpause", now, power=Power.RUNNING.value)


def reboot(connection: Connection, caller: Caller, key: str, now: datetime, *, hard: bool) -> None:
    """A hard one also brings back what is stopped, paused or failed."""
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
    """Override what the server is believed to be, until its host reports again."""
    row = get(connection, caller, key)
    state = InstanceState.FAILED if to_error else InstanceState.RUNNING
    store.update(connection, row, now=now, state=state.value, fault=None, fault_at=None)


def lock(
    connection: Connection, caller: Caller, key: str, now: datetime, *, reason: str | None
) -> None:
    """Locked by an administrator, only an administrator unlocks it."""
    row = get(connection, caller, key)
    overrides = caller.may(UNLOCK_OVERRIDE) and caller.project_id != row.project_id
    locked_by = "admin" if overrides else "owner"
    store.update(connection, row, now=now, locked_by=locked_by, locked_reason=reason)
    action.record(connection, caller, row, "lock", now)


def unlock(connection: Connection, caller: Caller, key: str, now: datetime) -> None:
    row = get(connection, caller, key)
    if row.locked_by == "admin" and not caller.may(UNLOCK_OVERRIDE):
        raise Conflict(f"Instance {key} is locked")
    store.update(connection, row, now=now, locked_by="", locked_reason=None)
    action.record(connection, caller, row, "unlock", now)


def attach_port(
    connection: Connection, caller: Caller, key: str, nic: Nic | None, now: datetime
) -> Port:
    """One more interface; without a Nic on the project's one network."""
    row = _ready(connection, caller, key, "attach_interface", ("active", "paused", "stopped"))
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
    """Raises NotFound when it has no such port."""
    row = _ready(connection, caller, key, "detach_interface", ("active", "paused", "stopped"))
    networking.detach(connection, row, port_id, now)
    store.tell(connection, row, now=now)
    action.record(connection, caller, row, "detach_interface", now)


def add_address(
    connection: Connection, caller: Caller, key: str, network_id: str, now: datetime
) -> None:
    """One more address for the server's port on a network. Raises Invalid where it has none."""
    row = _ready(connection, caller, key, "add_fixed_ip", ("active", "paused", "stopped"))
    networking.add_address(connection, row, network_id, now)
    store.tell(connection, row, now=now)


def remove_address(
    connection: Connection, caller: Caller, key: str, address: str, now: datetime
) -> None:
    """Take an address from the port that has it. Raises Invalid when no port of the server has."""
    row = _ready(connection, caller, key, "remove_fixed_ip", ("active", "paused", "stopped"))
    networking.remove_address(connection, row, address, now)
    store.tell(connection, row, now=now)


def change_group(
    connection: Connection, caller: Caller, key: str, name: str, now: datetime, *, add: bool
) -> None:
    """Put all ports of a server into a security group, or take them out of it."""
    row = unlocked(connection, caller, key)
    status.require(row, "change security groups", vm_states=("active", "paused", "stopped"))
    networking.change_group(connection, caller, row, name, now, add=add)


def _ready(
    connection: Connection, caller: Caller, key: str, verb: str, vm_states: tuple[str, ...]
) -> Server:
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
