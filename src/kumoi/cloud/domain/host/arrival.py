"""Disks on their way as things on the host that is to have them: from the rows of servers that move, and back the
word of how far they have come. Nothing here changes wanted state but by domain/compute/move.py.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy.engine import Connection

from kumoi.cloud.domain.compute import boot_image, move, server_resize
from kumoi.cloud.domain.host.thing import ThingKind, not_here
from kumoi.cloud.hostapi import arrival as messages
from kumoi.cloud.hostapi.arrival import ARRIVAL, ArrivalState, ArrivalStatus
from kumoi.cloud.hostapi.messages import Power
from kumoi.cloud.hostapi.things import NOTHING, NotUnderstood, Thing, ThingReport
from kumoi.cloud.store.compute import server as store
from kumoi.cloud.store.compute.server import Server
from kumoi.cloud.store.host import enrolment as enrolment_store
from kumoi.cloud.store.host import host as host_store

FAULT_MAX = 2_000


def on_host(connection: Connection, host_id: str) -> list[Thing]:
    rows = [*store.moving_by(connection, host_id), *store.on_host(connection, host_id)]
    return _things(connection, [row for row in rows if _is_for(row, host_id)])


def several(connection: Connection, host_id: str, ids: Sequence[str]) -> list[Thing]:
    rows = store.several(connection, ids)
    return _things(connection, [row for row in rows if _is_for(row, host_id)])


def take(connection: Connection, host_id: str, report: ThingReport, now: datetime) -> None:
    row = store.get(connection, report.id)
    if row is None or not _is_for(row, host_id):
        not_here(connection, host_id, report)
        if row is not None:
            move.advance(connection, row, now)
        return
    observed = _observed(report)
    if report.absent or observed == row.arrival:
        return
    store.update(connection, row, now=now, arrival=observed)
    move.advance(connection, msgspec.structs.replace(row, arrival=observed), now)


def says_news(connection: Connection, host_id: str, report: ThingReport) -> bool:
    row = store.get(connection, report.id)
    if row is None or not _is_for(row, host_id):
        return True
    return not report.absent and _observed(report) != row.arrival


KIND = ThingKind(ARRIVAL, on_host, several, says_news, take)


def _is_for(row: Server, host_id: str) -> bool:
    if row.deleted or row.power == Power.ABSENT:
        return False
    if row.moving in move.DEPARTING:
        return row.move_host_id == host_id
    return row.moving in move.ARRIVING and row.host_id == host_id


def _observed(report: ThingReport) -> dict[str, Any]:
    try:
        said = ArrivalStatus(state=ArrivalState.COPYING)
        if report.status != NOTHING:
            said = msgspec.json.decode(report.status, type=ArrivalStatus)
    except msgspec.DecodeError as error:
        raise NotUnderstood(str(error)) from error
    found = move.Came(
        generation=report.generation,
        state=said.state,
        rounds=said.rounds,
        sent_mib=said.sent_mib,
        disk_mib=said.disk_mib,
        fault=report.fault[:FAULT_MAX],
    )
    return dict(msgspec.to_builtins(found))


def _things(connection: Connection, rows: Iterable[Server]) -> list[Thing]:
    """Of those whose host is still known, with its key and its address."""
    things = []
    for row in rows:
        wanted = move.of(row)
        source = host_store.get(connection, wanted.source)
        known = enrolment_store.get(connection, wanted.source)
        if source is not None and known is not None:
            spec = messages.Arrival(
                id=row.id,
                generation=row.generation,
                owner=row.project_id,
                driver=row.driver,
                build=row.build,
                disk_gib=server_resize.disk_gib(row),
                image=None if row.image is None else boot_image.message(row.image),
                host=source.id,
                address=source.address,
                key_sha256=known.public_key_sha256,
                final=row.moving == move.FINISHING,
                done=row.moving in move.ARRIVING,
            )
            things.append(messages.arrival_thing(spec))
    return things
