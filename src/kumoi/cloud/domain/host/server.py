"""Servers as things on a host: rows become the messages for their host, and its reports become the
rows' observed state.

A report counts only from the server's own host, and when no newer one has been written; a host that
has any other server is to remove it. Nothing here changes wanted state.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy.engine import Connection

from kumoi.base import log
from kumoi.cloud.domain.compute import (
    action,
    boot_image,
    move,
    server_delete,
    server_rebuild,
    server_resize,
    shelve,
    status,
)
from kumoi.cloud.domain.host.thing import ThingKind, not_here
from kumoi.cloud.domain.load_balancer import resting
from kumoi.cloud.domain.network import wiring
from kumoi.cloud.domain.network.wiring import ServerWiring
from kumoi.cloud.hostapi import messages
from kumoi.cloud.hostapi.messages import InstanceState, Power, ServerStatus
from kumoi.cloud.hostapi.things import NOTHING, NotUnderstood, Thing, ThingReport
from kumoi.cloud.store.compute import server as store
from kumoi.cloud.store.compute import snapshot as snapshot_store
from kumoi.cloud.store.compute.server import Server
from kumoi.cloud.store.host import enrolment as enrolment_store
from kumoi.cloud.store.host import host as host_store

FAULT_MAX = 2_000


def on_host(connection: Connection, host_id: str) -> list[Thing]:
    rows = store.on_host(connection, host_id)
    kept = [row for row in store.moving_by(connection, host_id) if move.keeps(row, host_id)]
    return _things(connection, host_id, [*rows, *kept])


def several(connection: Connection, host_id: str, ids: Sequence[str]) -> list[Thing]:
    rows = store.several(connection, ids)
    here = [row for row in rows if _is_on(row, host_id) or move.keeps(row, host_id)]
    return _things(connection, host_id, here)


def take(connection: Connection, host_id: str, report: ThingReport, now: datetime) -> None:
    """Write what the report says, or have the host remove a server that is not its own."""
    row = store.get(connection, report.id)
    if row is not None and move.keeps(row, host_id) and not report.absent:
        return  # Stopped, as it was; another host has it.
    if row is None or not _is_on(row, host_id):
        not_here(connection, host_id, report)
        if row is not None:
            shelve.advance(connection, row, now)
            move.advance(connection, row, now)
    elif not row.observed_generation <= report.generation <= row.generation:
        return
    elif not report.absent:
        _observe(connection, row, report, now)
    elif row.power == Power.ABSENT:
        server_delete.finish(connection, row, now)
        host_store.forget_thing(connection, host_id, store.KIND, row.id)


def says_news(connection: Connection, host_id: str, report: ThingReport) -> bool:
    """Whether `take` would change anything. Hosts report every minute, and seldom anything new."""
    row = store.get(connection, report.id)
    if row is not None and move.keeps(row, host_id) and not report.absent:
        return False
    if row is None or not _is_on(row, host_id) or report.absent:
        return True
    return any(getattr(row, name) != value for name, value in _observed(row, report).items())


KIND = ThingKind(store.KIND, on_host, several, says_news, take)


def _is_on(row: Server, host_id: str) -> bool:
    return row.host_id == host_id and not row.deleted


def _observe(connection: Connection, row: Server, report: ThingReport, now: datetime) -> None:
    values = _observed(row, report) | {"updated_at": now}
    if report.fault:
        values["fault_at"] = now if values["fault"] != row.fault else row.fault_at
    else:
        values["fault_at"] = None
    if row.launched_at is None and values["state"] in (
        InstanceState.RUNNING,
        InstanceState.STOPPED,
        InstanceState.PAUSED,
    ):
        values["launched_at"] = now
        log.event("server.launched", server=row.id, host=row.host_id)
    if not store.observe(connection, row, **values):
        return
    after = store.get(connection, row.id)
    if after is not None and status.of(after).task_state is None:
        action.end(connection, row.id, now, fault=after.fault)
    if after is not None and after.shelf:
        shelve.advance(connection, after, now)
    if after is not None and after.moving:
        move.advance(connection, after, now)
    if report.fault and row.launched_at is None and row.power != Power.ABSENT:
        server_delete.release_claims(connection, row, now)


def _observed(row: Server, report: ThingReport) -> dict[str, Any]:
    """The columns that the report sets. With a fault the host has tried all that the generation
    wants, and may report the state nevertheless.
    """
    values: dict[str, Any] = {
        "observed_generation": report.generation,
        "fenced": _is_fenced(report),
    }
    if report.fault:
        fault = report.fault[:FAULT_MAX]
        values["state"] = InstanceState.FAILED.value
        values |= server_rebuild.failed(row, report.generation, fault, _disk_build(report))
        if report.generation == row.generation:
            values |= {
                "observed_boot": row.boot,
                "observed_hard_boot": row.hard_boot,
                "observed_build": row.build,
            }
        return values
    reported = _status_of(report)
    if row.moving:
        use = {"connections": reported.connections, "listening": list(reported.listening)}
        values["port_use"] = use
    return values | {
        "state": reported.state.value,
        "fault": None,
        "observed_boot": reported.boot,
        "observed_hard_boot": reported.hard_boot,
        "observed_build": reported.build,
        "rebuild_refused": 0,
    }


def _is_fenced(report: ThingReport) -> bool:
    return report.status != NOTHING and _status_of(report).fenced


def _disk_build(report: ThingReport) -> int | None:
    """The build whose disk a failed server has, or None."""
    if report.status == NOTHING:
        return None
    reported = _status_of(report)
    return None if reported.state is InstanceState.BUILDING else reported.build


def _status_of(report: ThingReport) -> ServerStatus:
    try:
        return msgspec.json.decode(report.status, type=ServerStatus)
    except msgspec.DecodeError as error:
        raise NotUnderstood(str(error)) from error


def _things(connection: Connection, host_id: str, rows: Iterable[Server]) -> list[Thing]:
    listed = list(rows)
    wired = wiring.of_servers(connection, [row.id for row in listed]) if listed else {}
    snapshots = snapshot_store.by_server(connection, [row.id for row in listed])
    return [
        messages.server_thing(
            _moving(
                connection,
                host_id,
                row,
                _message(row, wired[row.id], snapshots.get(row.id, [])),
            )
        )
        for row in listed
    ]


def _moving(
    connection: Connection, host_id: str, row: Server, spec: messages.InstanceSpec
) -> messages.InstanceSpec:
    """With what a host must know of a server that moves from it or to it."""
    if not row.moving or row.power == Power.ABSENT:
        return spec
    if move.keeps(row, host_id):
        return msgspec.structs.replace(spec, power=Power.STOPPED, id_slot=0)
    wanted = move.of(row)
    watched = wanted.ports if row.moving in resting.STEPS else []
    spec = msgspec.structs.replace(spec, watched=watched, arrived=row.moving in move.ARRIVING)
    known = enrolment_store.get(connection, wanted.target)
    if row.moving in move.DEPARTING and known is not None:
        departure = messages.Departure(host=wanted.target, key_sha256=known.public_key_sha256)
        spec = msgspec.structs.replace(spec, departure=departure)
    return spec


def _message(row: Server, wired: ServerWiring, snapshots: list[str]) -> messages.InstanceSpec:
    return messages.InstanceSpec(
        id=row.id,
        generation=row.generation,
        owner=row.project_id,
        power=Power(row.power),
        driver=row.driver,
        hostname=row.hostname,
        vcpus=row.vcpus,
        ram_mib=row.ram_mib,
        disk_gib=server_resize.disk_gib(row),
        image=None if row.image is None else boot_image.message(row.image),
        id_slot=row.id_slot or 0,
        ports=wired.ports,
        advertisers=wired.advertisers,
        ssh_keys=row.ssh_keys,
        user_data="".join((row.user_data or "").split()),
        metadata=row.metadata,
        boot=row.boot,
        hard_boot=row.hard_boot,
        build=row.build,
        rescue=None if row.rescue is None else boot_image.message(row.rescue),
        files=[messages.InjectedFile(**file) for file in row.files or ()],
        snapshots=snapshots,
    )
