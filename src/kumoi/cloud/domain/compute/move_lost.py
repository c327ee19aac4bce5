"""What becomes of a move when one of its hosts is down, or lost: it ends where that is safe, and else says in words what it
waits for. The worker calls `repair`; whoever heals calls `leave_move` or `take_back`, once it is known that the lost host runs nothing.

In the steps in which the server is its first host's, the other one has a file and no server: the move is given up, whichever
of the two is down. From `starting` on the other one may run it, whatever is heard of it, so it is not started where it was
before that host is back, or is known to be lost: its lease has ended and others do not reach it, or an administrator
says so. Until then the first host keeps the disk that it stopped with, and the server is shown as failed.
"""

from __future__ import annotations

from datetime import datetime, timedelta

import msgspec
from sqlalchemy.engine import Connection

from kumoi.base import log
from kumoi.base.errors import Conflict, Invalid
from kumoi.cloud.domain.compute import action, move, placement
from kumoi.cloud.domain.compute.move import ServerMove
from kumoi.cloud.domain.load_balancer import resting
from kumoi.cloud.domain.network import port as port_domain
from kumoi.cloud.hostapi.messages import InstanceState, Power
from kumoi.cloud.store.compute import migration as migration_store
from kumoi.cloud.store.compute import server as store
from kumoi.cloud.store.compute.migration import MigrationStatus
from kumoi.cloud.store.compute.server import Server
from kumoi.cloud.store.host import host as host_store

SILENT_S = 600
"""So long a copy may go on without a word."""


def repair(connection: Connection, row: Server, now: datetime) -> None:
    """As `move.advance`, and gives up where nothing can come any more."""
    known = move.of(row)
    if row.power == Power.ABSENT:
        return
    if row.moving in move.DEPARTING:
        why = _why_nothing_comes(connection, row, known, now)
        if why:
            move.give_up(connection, row, now, why)
            return
    elif row.moving in move.ARRIVING and not move.is_up(connection, known.target):
        if _is_said_to_be_off(connection, known.target) and move.is_up(connection, known.source):
            _start_at_source(connection, row, now)
        elif not known.fault or row.moving != move.STARTING:
            _strand(connection, row, known, now)
        return
    elif row.moving == move.RETURNING and _is_said_to_be_off(connection, known.target):
        move.give_up(connection, row, now, known.fault)
        return
    move.advance(connection, row, now)


def why_not_healed(row: Server) -> str:
    """Why a server on its way cannot be made elsewhere when the host is lost that it is on; empty where it can."""
    if row.moving == move.RETURNING:
        return f"host {row.move_host_id} could not start it, and has not removed it yet"
    return ""


def take_back(connection: Connection, row: Server, now: datetime, to_host_id: str | None) -> str:
    """The new host is lost, and the first one has the disk that the server stopped with: it starts there. Gives the
    first host. Raises Conflict where that is down as well, Invalid where another one is asked for.
    """
    source = move.of(row).source
    if to_host_id not in (None, source):
        raise Invalid(f"The disk of instance {row.id} is on host {source}.", field="evacuate.host")
    if not move.is_up(connection, source):
        raise Conflict(
            f"Instance {row.id} cannot be evacuated: its disk is on host {source}, which is down as well."
        )
    _start_at_source(connection, row, now)
    return source


def leave_move(connection: Connection, row: Server, now: datetime) -> Server:
    """The host is lost that the server is on: its move has ended, and no other host has anything of it. Gives the row as
    it is then; it is to be made again elsewhere.
    """
    known = move.of(row)
    other = row.move_host_id or ""
    move.release(connection, other, known)
    store.update(connection, row, now=now, **move.NOWHERE)
    move.touch(connection, row, known)
    resting.touch(connection, row)
    migration_store.end(connection, row.id, MigrationStatus.ERROR, now)
    action.end(connection, row.id, now, fault=f"Host {row.host_id} is lost.")
    return msgspec.structs.replace(row, **move.NOWHERE)


def _why_nothing_comes(
    connection: Connection, row: Server, known: ServerMove, now: datetime
) -> str:
    down = [host for host in (known.target, known.source) if not move.is_up(connection, host)]
    if down:
        return f"Host {down[0]} is down."
    if now - row.updated_at > timedelta(seconds=SILENT_S):
        return f"Nothing came of the disk for {SILENT_S} s."
    return ""


def _is_said_to_be_off(connection: Connection, host_id: str) -> bool:
    """An administrator has forced the host down, and by that says that it runs nothing."""
    found = host_store.get(connection, host_id)
    return found is None or found.forced_down


def _strand(connection: Connection, row: Server, known: ServerMove, now: datetime) -> None:
    """It goes on when the host is back. A member of a balancer rests as before."""
    fault = (
        f"Host {known.target} is down and may run the server. Its disk as it was stopped is on {known.source}: bring "
        f"{known.target} back, or say that it is lost (kumoi host heal {known.target})."
    )
    stranded = msgspec.to_builtins(msgspec.structs.replace(known, fault=fault))
    store.update(
        connection, row, now=now, moving=move.STARTING, move=stranded, fault=fault, fault_at=now
    )
    migration_store.end(connection, row.id, MigrationStatus.ERROR, now)
    action.end(connection, row.id, now, fault=fault)
    log.warning("server.stranded", server=row.id, source=known.source, target=known.target)


def _start_at_source(connection: Connection, row: Server, now: datetime) -> None:
    known = move.of(row)
    port_domain.move_device(connection, row.id, known.source, now)
    move.release(connection, known.target, known)
    changes = {
        "host_id": known.source,
        "id_slot": placement.free_slot(connection, known.source),
        "power": known.power,
        "state": InstanceState.STOPPED.value,
        "fault": None,
        "fault_at": None,
    }
    at_source = msgspec.structs.replace(row, host_id=known.source)
    store.want(connection, at_source, now=now, **move.NOWHERE, **changes)
    move.touch(connection, row, known)
    resting.touch(connection, row)
    migration_store.end(connection, row.id, MigrationStatus.ERROR, now)
    action.end(connection, row.id, now, fault=f"Host {known.target} is lost.")
    log.warning("server.taken_back", server=row.id, source=known.source, target=known.target)
