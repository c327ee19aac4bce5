"""Make a server again on another host, from its image, when its own host is lost. What it wrote is gone.

By itself, for servers that say so (`ha:policy` in their metadata, else the cloud's setting) and that their
host stops when its lease has ended (reconcilers/healing.py); or because an operator says that the host is
lost. Ports, addresses, metadata and name stay. One transaction moves it: a report of the old host changes
nothing from then on, and should that host come back, it is asked to remove the server.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy.engine import Connection

from kumoi import ha_policy
from kumoi.base import log
from kumoi.base.errors import Conflict, Invalid
from kumoi.base.ids import new_id, new_request_id
from kumoi.cloud.domain.caller import Caller
from kumoi.cloud.domain.compute import (
    action,
    boot_image,
    move_lost,
    placement,
    server_group,
    snapshot,
)
from kumoi.cloud.domain.compute import move as server_move
from kumoi.cloud.domain.network import port as port_domain
from kumoi.cloud.hostapi.messages import InstanceState, Power
from kumoi.cloud.scheduler.choose import Decision, RequestSpec
from kumoi.cloud.store.compute import migration as migration_store
from kumoi.cloud.store.compute import server as store
from kumoi.cloud.store.compute import server_group as group_store
from kumoi.cloud.store.compute.migration import EVACUATION, Migration, MigrationStatus
from kumoi.cloud.store.compute.server import Server
from kumoi.cloud.store.image import image as image_store
from kumoi.ha_policy import HaPolicy


@dataclass(frozen=True, slots=True, kw_only=True)
class HealOrder:
    """Why, on whose word, and for whom the record is. `to_host_id` is where the operator wants it."""

    reason: str
    witnesses: Mapping[str, str] = field(default_factory=dict)
    caller: Caller | None = None  # None for the healer.
    to_host_id: str | None = None


def policy_of(row: Server, default: str) -> HaPolicy:
    """A word that is none is as if it were not there."""
    word = row.metadata.get(ha_policy.KEY, default)
    return HaPolicy(word if word in set(HaPolicy) else default)


def healable(connection: Connection, host_id: str, default: str) -> list[Server]:
    """The servers of a host that may be made elsewhere without anybody's word."""
    return [
        row
        for row in store.on_host(connection, host_id)
        if row.fenced and policy_of(row, default) is HaPolicy.REBUILD and not why_not(row)
    ]


def why_not(row: Server) -> str:
    """Why it cannot be made again elsewhere, whoever asks; empty where it can."""
    if row.deleted or row.power == Power.ABSENT:
        return "it is being deleted"
    if row.host_id is None:
        return "it is on no host"
    if row.moving and (why := move_lost.why_not_healed(row)):
        return why
    if row.shelf:
        return "it is being shelved, or is back in a moment"
    return ""


def move(connection: Connection, row: Server, now: datetime, order: HealOrder) -> str:
    """Gives its new host. Raises Conflict where it cannot be, Invalid where no host has room for it."""
    if why := why_not(row):
        raise Conflict(f"Instance {row.id} cannot be evacuated: {why}.")
    old_host_id = row.host_id or ""
    if row.moving in server_move.ARRIVING:
        host_id = move_lost.take_back(connection, row, now, order.to_host_id)
        _record(connection, row, host_id, now, order)
        return host_id
    spec, image = _wanted(connection, row, order)
    decision = placement.place(connection, spec)
    if decision.host_id is None:
        reasons = "; ".join(decision.reasons)
        raise Invalid(f"No valid host was found. {reasons}.", field="evacuate")
    if row.moving:
        row = move_lost.leave_move(connection, row, now)
    placement.release(connection, row)
    snapshot.abandon(connection, row)
    changes = _changes(connection, row, decision, spec) | {"image": image}
    port_domain.move_device(connection, row.id, decision.host_id, now)
    store.touch(connection, old_host_id, row.id)  # Should it come back.
    placed = msgspec.structs.replace(row, host_id=decision.host_id)
    store.want(connection, placed, now=now, **changes)
    _record(connection, row, decision.host_id, now, order)
    log.event("server.healed", server=row.id, host=decision.host_id, lost_host=old_host_id)
    return decision.host_id


def _wanted(
    connection: Connection, row: Server, order: HealOrder
) -> tuple[RequestSpec, dict[str, Any]]:
    image = None if row.image_id is None else image_store.get(connection, row.image_id)
    if image is None or image.status != "active":
        raise Conflict(
            f"Instance {row.id} cannot be evacuated: the image that it was made from is gone."
        )
    spec = placement.request_spec(
        connection,
        row,
        image_format=boot_image.format_of(image),
        image_id=image.id,
        group_id=_group_of(connection, row),
        zone=row.zone,
        host_id=order.to_host_id,
    )
    lost = frozenset({row.host_id or ""})
    rules = replace(spec.hosts, excluded=spec.hosts.excluded | lost)
    return replace(spec, hosts=rules), boot_image.for_host(image)


def _group_of(connection: Connection, row: Server) -> str | None:
    """Where all of a group that wants to be together were on the lost host, the first that is moved says
    where the others go.
    """
    group = None if row.group_id is None else group_store.get(connection, row.group_id)
    if group is None or group.policy != server_group.AFFINITY:
        return row.group_id
    hosts = {each.host_id for each in store.in_group(connection, group.id)}
    return None if hosts <= {row.host_id, None} else group.id


def _changes(
    connection: Connection, row: Server, decision: Decision, spec: RequestSpec
) -> dict[str, Any]:
    """It is rebuilt: its new host has no disk of it."""
    return {
        "host_id": decision.host_id,
        "driver": decision.driver,
        "id_slot": placement.claim(connection, decision.host_id or "", spec),
        "build": row.build + 1,
        "rebuilt_from": None,
        "rebuild_refused": 0,
        "rescue": None,
        "imaging": False,
        "state": InstanceState.BUILDING.value,
        "fault": None,
        "fault_at": None,
        "fenced": False,
    }


def _record(
    connection: Connection, row: Server, to_host_id: str, now: datetime, order: HealOrder
) -> None:
    """Who was where, where it went, and on whose word."""
    caller = order.caller or Caller(
        user_id=row.user_id,
        project_id=row.project_id,
        roles=frozenset(),
        request_id=new_request_id(),
    )
    action.begin(connection, caller, row, "evacuate", now)
    made = Migration(
        id=new_id(),
        number=migration_store.next_number(connection),
        server_id=row.id,
        project_id=row.project_id,
        user_id=caller.user_id,
        host_id=row.host_id,
        status=MigrationStatus.DONE.value,
        created_at=now,
        updated_at=now,
        kind=EVACUATION,
        to_host_id=to_host_id,
        reason=order.reason,
        witnesses=dict(order.witnesses),
    )
    migration_store.insert(connection, made)
