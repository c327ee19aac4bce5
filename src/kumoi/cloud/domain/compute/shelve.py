"""Put a server away: its disk becomes an image, and no host has it any more. Unshelving makes it anew
from that image, on whatever host has room.

A reconciler's steps: each is one transaction, begun by what the row says and never by who calls. Reports
of the host and the end of an upload call `advance` at once; the worker calls it for what nobody called
(reconcilers/server.py), so that a kill between two steps costs seconds.

stopping     the server stops, so that its disk is whole
imaging      its host sends the image; if it cannot, the server is as it was before
offloading   no host is to have it; the host that has it removes it
offloaded    nothing claims anything but the quota; stays until it is unshelved or deleted
unshelving   a host makes it from the image, which is deleted then; if it cannot, it is offloaded again
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy.engine import Connection

from kumoi.base import log
from kumoi.base.errors import Conflict, Invalid
from kumoi.cloud.domain.caller import Caller
from kumoi.cloud.domain.compute import (
    action,
    boot_image,
    placement,
    server_rebuild,
    snapshot,
    status,
)
from kumoi.cloud.domain.compute.server import unlocked
from kumoi.cloud.domain.host import aggregate
from kumoi.cloud.domain.image import image as image_domain
from kumoi.cloud.domain.network import port as port_domain
from kumoi.cloud.hostapi.messages import InstanceState, Power
from kumoi.cloud.store.compute import server as store
from kumoi.cloud.store.compute import snapshot as snapshot_store
from kumoi.cloud.store.compute.server import OFFLOADED, Server
from kumoi.cloud.store.host import host as host_store
from kumoi.cloud.store.image import image as image_store

STOPPING, IMAGING, OFFLOADING, UNSHELVING = "stopping", "imaging", "offloading", "unshelving"
SAME_ZONE = ""  # The one that it was made in, if one was asked for.
SHELVABLE = ("active", "stopped", "paused", "suspended")
NOT_IMAGED = "Its host could not make an image of the server; it is as it was before."


def begin(connection: Connection, caller: Caller, key: str, now: datetime) -> None:
    """Raises Conflict unless the server has a disk that can become an image."""
    row = unlocked(connection, caller, key)
    status.require(row, "shelve", vm_states=SHELVABLE)
    server_rebuild.require_host(row)
    image_id = snapshot.make_image(
        connection, caller, row, name=f"{row.name}-shelved", properties={}, now=now
    )
    power = Power.RUNNING if row.power == Power.PAUSED else Power(row.power)
    shelved = {"image_id": image_id, "power": power.value}
    changes = {"power": Power.STOPPED.value, "shelf": STOPPING, "shelved": shelved}
    store.want(connection, row, now=now, **changes)
    action.begin(connection, caller, row, "shelve", now)


def offload(connection: Connection, caller: Caller, key: str, _now: datetime) -> None:
    """Raises Conflict: a shelved server is offloaded at once, so there is never one to be."""
    row = unlocked(connection, caller, key)
    status.require(row, "shelveOffload", vm_states=("shelved",))


def end(
    connection: Connection,
    caller: Caller,
    key: str,
    now: datetime,
    *,
    zone: str | None = SAME_ZONE,
    host_id: str | None = None,
) -> None:
    """Unshelve. `zone` is the zone that it is to be in from now on, None any. Raises Conflict unless it is
    offloaded and its image is there, Invalid where no host has room for it.
    """
    row = unlocked(connection, caller, key)
    status.require(row, "unshelve", vm_states=("shelved_offloaded",))
    image = image_store.get(connection, (row.shelved or {}).get("image_id", ""))
    if image is None or image.status != "active":
        raise Conflict(f"Instance {row.id} cannot be unshelved: its image is gone.")
    zone = row.zone if zone == SAME_ZONE else zone
    if zone is not None and not aggregate.zone_names(connection).get(zone):
        raise Invalid("The requested availability zone is not available", field="availability_zone")
    spec = placement.request_spec(
        connection,
        row,
        image_format=boot_image.format_of(image),
        group_id=row.group_id,
        zone=zone,
        host_id=host_id,
    )
    decision = placement.place(connection, spec)
    if decision.host_id is None:
        reasons = "; ".join(decision.reasons)
        raise Invalid(f"No valid host was found. {reasons}.", field="unshelve")
    changes = {
        "host_id": decision.host_id,
        "driver": decision.driver,
        "id_slot": placement.claim(connection, decision.host_id, spec),
        "zone": zone,
        "image": boot_image.for_host(image),
        "build": row.build + 1,
        "power": Power.RUNNING.value,
        "shelf": UNSHELVING,
        "suspended": False,
    }
    placed = msgspec.structs.replace(row, host_id=decision.host_id)
    port_domain.move_device(connection, row.id, decision.host_id, now)
    store.want(connection, placed, now=now, **changes)
    action.begin(connection, caller, placed, "unshelve", now)


def advance(connection: Connection, row: Server, now: datetime) -> None:
    """Take the step that is due, if one is."""
    if row.shelf in STEPS and not row.deleted and row.power != Power.ABSENT:
        STEPS[row.shelf](connection, row, now)


def abandon(connection: Connection, row: Server) -> None:
    """After the deletion of a server that is shelved, or on the way there or back."""
    if row.shelf == OFFLOADING:
        _release(connection, row)
    if row.shelf:
        _forget_image(connection, row)


def _stop(connection: Connection, row: Server, now: datetime) -> None:
    """Once it is stopped, its image is asked for."""
    if row.observed_generation < row.generation:
        return
    if row.state == InstanceState.STOPPED:
        snapshot.ask(connection, row, (row.shelved or {})["image_id"], now)
        store.update(connection, row, now=now, shelf=IMAGING)
    elif row.state == InstanceState.FAILED:
        _give_up(connection, row, now)


def _image(connection: Connection, row: Server, now: datetime) -> None:
    """Once its host has sent the image, or will not, it leaves the host or is as before."""
    if snapshot_store.is_any_of(connection, row.id):
        return
    image = image_store.get(connection, (row.shelved or {})["image_id"])
    if image is None or image.status != "active":
        _give_up(connection, row, now)
    else:
        _leave_host(connection, row, now)


def _offload(connection: Connection, row: Server, now: datetime) -> None:
    """Once the host has removed it, nothing is claimed there any more."""
    host_id = (row.shelved or {})["host_id"]
    if not host_store.awaits_thing(connection, host_id, store.KIND, row.id):
        _release(connection, row)
        store.update(connection, row, now=now, shelf=OFFLOADED)
        action.end(connection, row.id, now)
        log.event("server.shelved", server=row.id)


def _unshelve(connection: Connection, row: Server, now: datetime) -> None:
    """Once it runs, its image is not needed any more; where it failed, it leaves the host again."""
    if row.observed_generation < row.generation:
        return
    if row.state == InstanceState.RUNNING and row.observed_build == row.build:
        _forget_image(connection, row)
        store.update(connection, row, now=now, shelf="", shelved=None)
        action.end(connection, row.id, now)
        log.event("server.unshelved", server=row.id, host=row.host_id)
    elif row.state == InstanceState.FAILED:
        action.end(connection, row.id, now, fault=row.fault)
        _leave_host(connection, row, now)


STEPS = {STOPPING: _stop, IMAGING: _image, OFFLOADING: _offload, UNSHELVING: _unshelve}


def _give_up(connection: Connection, row: Server, now: datetime) -> None:
    power = (row.shelved or {})["power"]
    _forget_image(connection, row)
    store.want(connection, row, now=now, shelf="", shelved=None, power=power)
    action.end(connection, row.id, now, fault=NOT_IMAGED)
    log.warning("server.not_shelved", server=row.id)


def _leave_host(connection: Connection, row: Server, now: datetime) -> None:
    """What the server claims there stays claimed until its host has removed it. Its ports stay bound
    there, which says that they are its own.
    """
    shelved = {**(row.shelved or {}), "host_id": row.host_id}
    port_domain.move_device(connection, row.id, row.host_id or "", now)
    changes: dict[str, Any] = {"shelf": OFFLOADING, "shelved": shelved, "fault": None}
    changes |= {"state": InstanceState.STOPPED.value, "power": Power.STOPPED.value}
    changes |= {"host_id": None, "id_slot": None}
    store.update(connection, row, now=now, **changes)
    store.touch(connection, row.host_id or "", row.id)


def _release(connection: Connection, row: Server) -> None:
    host_id = (row.shelved or {}).get("host_id")
    placement.release(connection, msgspec.structs.replace(row, host_id=host_id))


def _forget_image(connection: Connection, row: Server) -> None:
    """Its content goes as that of every image without a row does."""
    image = image_store.get(connection, (row.shelved or {}).get("image_id", ""))
    if image is not None and not image.protected:
        image_domain.remove(connection, image)
