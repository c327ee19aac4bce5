"""Move a server to another host, with its disk: a reconciler's steps, as those of shelve.py. Each is one
transaction, begun by what the row says and never by who calls, so a kill between two costs a round of the worker.

copying      the other host copies the disk while the server runs
emptying     balancers give the server no new connections; those that it has end, or their time does
stopping     it stops
finishing    the other host copies what the disk has become since
starting     the server is the other host's, which starts it; the first one keeps its disk and does not run it
settling     whoever listened in it listens again, or the time for that is up; then balancers use it again
leaving      the first host removes what it has; the server is as any other
returning    the other host could not start it and removes what it has; then the first one starts it again

Where a host is lost on the way, see move_lost.py. Until `starting` the first host has the only disk that is whole, and giving up means starting it there. From then on
the second has it, and only its own word that it could not start the server takes the server back.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import msgspec
from sqlalchemy.engine import Connection

from kumoi.base import log
from kumoi.base.errors import Conflict, Invalid, NotFound
from kumoi.cloud.domain.caller import Caller
from kumoi.cloud.domain.compute import action, migration, placement, server_rebuild, status
from kumoi.cloud.domain.compute.server import unlocked
from kumoi.cloud.domain.load_balancer import resting
from kumoi.cloud.domain.network import port as port_domain
from kumoi.cloud.hostapi.arrival import ARRIVAL, ArrivalState
from kumoi.cloud.hostapi.messages import InstanceState, Power
from kumoi.cloud.hostapi.offer import Capability
from kumoi.cloud.store.compute import migration as migration_store
from kumoi.cloud.store.compute import server as store
from kumoi.cloud.store.compute.migration import COLD, LIVE, Migration, MigrationStatus
from kumoi.cloud.store.compute.server import Server
from kumoi.cloud.store.host import host as host_store

COPYING, EMPTYING, STOPPING, FINISHING = "copying", "emptying", "stopping", "finishing"
STARTING, SETTLING, LEAVING, RETURNING = "starting", "settling", "leaving", "returning"
DEPARTING = frozenset({COPYING, EMPTYING, STOPPING, FINISHING})
"""The steps in which the server is its first host's, and the other copies."""
ARRIVING = frozenset({STARTING, SETTLING})
"""Those in which it is the other's, and the first keeps its disk."""
MOVABLE = {COLD: ("active", "stopped"), LIVE: ("active", "paused", "suspended")}
VERBS = {COLD: "migrate", LIVE: "os-migrateLive"}
ACTIONS = {COLD: "migrate", LIVE: "live-migration"}
EMPTY_S, EMPTY_LEAST_S, EMPTY_MOST_S = 30, 2, 3600
"""How long connections may take to end, how long balancers take to give no new ones, and what may be asked for."""
SETTLE_S = 300  # A server that begins with cloud-init took more than a minute on a busy machine.
STATES = {
    Power.RUNNING: (
        InstanceState.RUNNING,
        InstanceState.STOPPED,
    ),  # It may have ended by itself since.
    Power.PAUSED: (InstanceState.PAUSED, InstanceState.STOPPED),
    Power.STOPPED: (InstanceState.STOPPED,),
}


class ServerMove(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What the steps need; the column `move`. `power` is what is wanted of the server afterwards, `vm_state` what it is
    shown as meanwhile, `claims` what it claims on either host. `asked` is the generation in which a host was
    asked for what the step waits for. `ports` are those of members of balancers, `listened` those on which
    somebody did. `empty_s` is how long connections may take to end, `fault` why it comes back, or why it does not go
    on (move_lost.py).
    """

    source: str
    target: str
    power: str
    vm_state: str
    claims: tuple[int, int, int]
    asked: int = 0
    ports: list[int] = []
    listened: list[int] = []
    empty_s: int = EMPTY_S
    since: datetime | None = None
    stopped_at: datetime | None = None
    fault: str = ""


class Came(msgspec.Struct, frozen=True, kw_only=True):
    """What the other host said last of the disk; the column `arrival`."""

    generation: int
    state: ArrivalState
    rounds: int = 0
    sent_mib: int = 0
    disk_mib: int = 0
    fault: str = ""


def begin(
    connection: Connection,
    caller: Caller,
    key: str,
    now: datetime,
    *,
    kind: str,
    host_id: str | None = None,
    empty_s: int = EMPTY_S,
) -> None:
    """`host_id` is where to; None leaves the choice to us. Raises Conflict for a server that cannot be moved as it is,
    Invalid where no host takes it, Unsupported where its own host cannot give it away.
    """
    row = unlocked(connection, caller, key)
    status.require(row, VERBS[kind], vm_states=MOVABLE[kind])
    if host_id is not None and host_store.get(connection, host_id) is None:
        raise Invalid(f"Compute host {host_id} could not be found.", field=f"{VERBS[kind]}.host")
    server_rebuild.require_host(row)
    placement.require_capability(connection, row, Capability.MOVE)
    _require_movable(connection, row)
    target, claims = _place(connection, row, kind, host_id)
    vm_state = status.of(row).vm_state
    is_stopped = vm_state == "stopped"
    members = resting.members(connection, row)
    move = ServerMove(
        source=row.host_id or "",
        target=target,
        power=Power.STOPPED.value if is_stopped else row.power,
        vm_state=vm_state,
        claims=claims,
        asked=row.generation + 1,
        ports=[] if is_stopped else sorted({member.protocol_port for member in members}),
        empty_s=empty_s,
    )
    changes = {"moving": COPYING, "move_host_id": target, "arrival": None, "port_use": None}
    _want(connection, row, move, now, **changes, power=move.power)
    action.begin(connection, caller, row, ACTIONS[kind], now)
    migration.begin(connection, caller, row, now, kind=kind, to_host_id=target)
    log.event("server.moving", server=row.id, source=move.source, target=target)


def cancel(connection: Connection, caller: Caller, key: str, number: str, now: datetime) -> None:
    """Raises NotFound when no such move is under way, Conflict when it cannot be cancelled any more."""
    row = unlocked(connection, caller, key)
    under_way(connection, row, number)
    if row.moving not in (COPYING, EMPTYING):
        raise Conflict(f"Instance {row.id} has left its host by now: its move ends in a moment.")
    action.record(connection, caller, row, "live_migration_cancel", now)
    give_up(connection, row, now, "It was cancelled.", ended=MigrationStatus.CANCELLED)


def under_way(connection: Connection, row: Server, number: str) -> Migration:
    """Raises NotFound."""
    for found in migration_store.under_way(connection, row.id):
        if number in (str(found.number), found.id):
            return found
    words = f"In-progress live migration {number} is not found for server {row.id}."
    raise NotFound("migration", number, message=words)


def of(row: Server) -> ServerMove:
    """Of a server that moves."""
    return msgspec.convert(row.move, ServerMove)


def came(row: Server) -> Came | None:
    return None if row.arrival is None else msgspec.convert(row.arrival, Came)


def keeps(row: Server, host_id: str) -> bool:
    """Whether the host keeps a disk of a server that is another's by now."""
    return row.moving in ARRIVING and row.move_host_id == host_id and not row.deleted


def advance(connection: Connection, row: Server, now: datetime) -> None:
    """Take the step that is due, if one is."""
    if row.moving in STEPS and not row.deleted and row.power != Power.ABSENT:
        STEPS[row.moving](connection, row, of(row), now)


def abandon(connection: Connection, row: Server, now: datetime) -> None:
    """After the deletion of a server that was on its way."""
    if row.moving:
        move = of(row)
        release(connection, row.move_host_id, move)
        store.update(connection, row, now=now, moving="", move=None, move_host_id=None)
        touch(connection, row, move)
        if row.moving not in DEPARTING:
            store.touch(connection, row.move_host_id or "", row.id)
        migration_store.end(connection, row.id, MigrationStatus.ERROR, now)


def _require_movable(connection: Connection, row: Server) -> None:
    """Raises Conflict."""
    if row.moving:  # Its former host has not removed it yet.
        raise Conflict(f"Instance {row.id} is still being removed from {row.move_host_id}.")
    if not is_up(connection, row.host_id or ""):
        raise Conflict(
            f"Host {row.host_id} of instance {row.id} is down: nobody can read its disk."
        )


def _place(
    connection: Connection, row: Server, kind: str, host_id: str | None
) -> tuple[str, tuple[int, int, int]]:
    """The host, which has claimed what the server needs. Raises Invalid."""
    waiting = {
        host.id
        for host in host_store.every(connection)
        if host_store.awaits_thing(connection, host.id, ARRIVAL, row.id)
        or host_store.awaits_thing(connection, host.id, store.KIND, row.id)
    }
    spec = placement.request_spec(
        connection,
        row,
        image_format=row.image["disk_format"] if row.image else "root-tar",
        image_id=row.image_id,
        group_id=row.group_id,
        zone=row.zone,
        host_id=host_id,
        more=(Capability.MOVE,),
        leaving=row,
        excluded=waiting | {row.host_id or ""},
    )
    decision = placement.place(connection, spec)
    if decision.host_id is None or decision.driver != row.driver:
        reasons = "; ".join(decision.reasons)
        raise Invalid(f"No valid host was found. {reasons}.", field=VERBS[kind])
    claims = placement.claims(row)
    _claim(connection, decision.host_id, claims, sign=1)
    return decision.host_id, claims


# The steps.


def _copy(connection: Connection, row: Server, move: ServerMove, now: datetime) -> None:
    """Once little is left to copy, the server is to stop; where balancers use it, not at once."""
    said = _said(row, move)
    if said is not None and said.fault:
        give_up(connection, row, now, said.fault)
    elif said is None or said.state is ArrivalState.COPYING:
        return
    elif move.power == Power.STOPPED:
        if row.state == InstanceState.STOPPED:
            _finish(connection, row, move, now)
    elif move.ports:
        began = msgspec.structs.replace(move, since=now)
        store.tell(connection, row, now=now, moving=EMPTYING, move=msgspec.to_builtins(began))
        resting.touch(connection, row)
    else:
        _stop(connection, row, move, now)


def _empty(connection: Connection, row: Server, move: ServerMove, now: datetime) -> None:
    passed_s = (now - (move.since or now)).total_seconds()
    use = row.port_use or {}
    is_empty = bool(use) and not use.get("connections")
    if passed_s >= max(move.empty_s, EMPTY_LEAST_S) or (is_empty and passed_s >= EMPTY_LEAST_S):
        listened = sorted(set(use.get("listening", ())) & set(move.ports))
        _stop(connection, row, msgspec.structs.replace(move, listened=listened), now)


def _stop(connection: Connection, row: Server, move: ServerMove, now: datetime) -> None:
    stopping = msgspec.structs.replace(move, stopped_at=now)
    _want(connection, row, stopping, now, moving=STOPPING, power=Power.STOPPED.value)


def _stopping(connection: Connection, row: Server, move: ServerMove, now: datetime) -> None:
    if row.observed_generation < row.generation:
        return
    if row.state == InstanceState.STOPPED:
        _finish(connection, row, move, now)
    elif row.state == InstanceState.FAILED:
        give_up(connection, row, now, row.fault or "")


def _finish(connection: Connection, row: Server, move: ServerMove, now: datetime) -> None:
    asking = msgspec.structs.replace(move, asked=row.generation + 1)
    _want(connection, row, asking, now, moving=FINISHING)


def _finishing(connection: Connection, row: Server, move: ServerMove, now: datetime) -> None:
    said = _said(row, move)
    if said is not None and said.fault:
        give_up(connection, row, now, said.fault)
    elif said is not None and said.state is ArrivalState.COMPLETE:
        _switch(connection, row, move, now)


def _switch(connection: Connection, row: Server, move: ServerMove, now: datetime) -> None:
    """From now on the server is the other host's."""
    port_domain.move_device(connection, row.id, move.target, now)
    changes = {
        "moving": STARTING,
        "host_id": move.target,
        "move_host_id": move.source,
        "id_slot": placement.free_slot(connection, move.target),
        "power": move.power,
    }
    _want(connection, row, move, now, **changes)
    store.touch(connection, move.target, row.id)


def _start(connection: Connection, row: Server, move: ServerMove, now: datetime) -> None:
    if row.observed_generation < row.generation or not is_up(connection, move.target):
        return
    if row.state == InstanceState.FAILED:
        _return(connection, row, move, now)
    elif row.state in STATES[Power(move.power)]:
        started = msgspec.structs.replace(move, since=now, fault="")
        if move.listened:
            values = {"moving": SETTLING, "move": msgspec.to_builtins(started)}
            store.tell(connection, row, now=now, **values)
        else:
            _leave(connection, row, started, now)


def _settle(connection: Connection, row: Server, move: ServerMove, now: datetime) -> None:
    listening = set((row.port_use or {}).get("listening", ()))
    is_late = now - (move.since or now) > timedelta(seconds=SETTLE_S)
    if listening.issuperset(move.listened) or is_late or row.state != InstanceState.RUNNING:
        _leave(connection, row, move, now)


def _leave(connection: Connection, row: Server, move: ServerMove, now: datetime) -> None:
    store.tell(connection, row, now=now, moving=LEAVING)
    touch(connection, row, move)
    resting.touch(connection, row)
    kinds = [each.kind for each in migration_store.under_way(connection, row.id)]
    ended = MigrationStatus.COMPLETED if kinds == [LIVE] else MigrationStatus.CONFIRMED
    migration_store.end(connection, row.id, ended, now)
    action.end(connection, row.id, now, note=_note(row, move))
    log.event("server.moved", server=row.id, source=move.source, target=move.target)


def _leaving(connection: Connection, row: Server, move: ServerMove, now: datetime) -> None:
    if not _is_awaited(connection, row, move, at=move.source):
        release(connection, move.source, move)
        store.update(connection, row, now=now, **NOWHERE)


def _return(connection: Connection, row: Server, move: ServerMove, now: datetime) -> None:
    """The other host said that it could not start it, so it does not run there."""
    back = msgspec.structs.replace(move, fault=row.fault or "Its new host could not start it.")
    port_domain.move_device(connection, row.id, move.source, now)
    changes = {
        "moving": RETURNING,
        "host_id": move.source,
        "move_host_id": move.target,
        "id_slot": placement.free_slot(connection, move.source),
        "power": Power.STOPPED.value,
        "fault": None,
        "state": InstanceState.STOPPED.value,
    }
    _want(connection, row, back, now, **changes)


def _returning(connection: Connection, row: Server, move: ServerMove, now: datetime) -> None:
    if not _is_awaited(connection, row, move, at=move.target):
        give_up(connection, row, now, move.fault)


STEPS: dict[str, Callable[[Connection, Server, ServerMove, datetime], None]] = {
    COPYING: _copy,
    EMPTYING: _empty,
    STOPPING: _stopping,
    FINISHING: _finishing,
    STARTING: _start,
    SETTLING: _settle,
    LEAVING: _leaving,
    RETURNING: _returning,
}
NOWHERE: dict[str, Any] = {
    "moving": "",
    "move": None,
    "move_host_id": None,
    "arrival": None,
    "port_use": None,
}


# What they share, and move_lost.py with them.


def is_up(connection: Connection, host_id: str) -> bool:
    found = host_store.get(connection, host_id)
    return found is not None and found.is_up


def give_up(
    connection: Connection,
    row: Server,
    now: datetime,
    fault: str,
    *,
    ended: MigrationStatus = MigrationStatus.ERROR,
) -> None:
    """The server is, and runs, where it was; the other host has none, or has removed what it had."""
    move = of(row)
    release(connection, move.target, move)
    store.want(connection, row, now=now, **NOWHERE, power=move.power)
    touch(connection, row, move)
    resting.touch(connection, row)
    migration_store.end(connection, row.id, ended, now)
    action.end(connection, row.id, now, fault=fault)
    log.warning("server.not_moved", server=row.id, source=move.source, why=fault)


def _want(
    connection: Connection, row: Server, move: ServerMove, now: datetime, **values: Any
) -> None:
    """A new generation, for both hosts."""
    store.want(connection, row, now=now, move=msgspec.to_builtins(move), **values)
    touch(connection, row, move)


def touch(connection: Connection, row: Server, move: ServerMove) -> None:
    """Both hosts look again: the other one at the server itself once it was told of it."""
    store.touch(connection, move.source, row.id)
    if row.moving in ARRIVING:
        store.touch(connection, move.target, row.id)
    host_store.touch_thing(connection, move.target, ARRIVAL, row.id)


def _said(row: Server, move: ServerMove) -> Came | None:
    """What the other host said of the disk since it was asked last."""
    found = came(row)
    return found if found is not None and found.generation >= move.asked else None


def _is_awaited(connection: Connection, row: Server, move: ServerMove, *, at: str) -> bool:
    """Whether that host has the server yet, or the new one what came of the disk beside it."""
    return host_store.awaits_thing(connection, at, store.KIND, row.id) or host_store.awaits_thing(
        connection, move.target, ARRIVAL, row.id
    )


def release(connection: Connection, host_id: str | None, move: ServerMove) -> None:
    if host_id is not None:
        _claim(connection, host_id, move.claims, sign=-1)


def _claim(
    connection: Connection, host_id: str, claims: tuple[int, int, int], *, sign: int
) -> None:
    vcpus, ram_mib, disk_gib = (sign * each for each in claims)
    host_store.claim(
        connection, host_id, vcpus=vcpus, ram_mib=ram_mib, disk_gib=disk_gib, servers=sign
    )


def _note(row: Server, move: ServerMove) -> str:
    """For whoever looks how it went; see also cli/host_drain.py, which shows it."""
    said = came(row)
    copied = "" if said is None else f"{said.sent_mib} MiB copied in {said.rounds} rounds"
    if move.stopped_at is None or move.since is None:
        return copied
    pause_s = (move.since - move.stopped_at).total_seconds()
    return f"paused for {pause_s:.2f} s; {copied}"
