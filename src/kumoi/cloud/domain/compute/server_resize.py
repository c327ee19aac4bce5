"""Give a server another flavor: tried at once, kept when confirmed, taken back when reverted.

The host restarts it with the new flavor's processors and memory. Its disk grows at the first start
after the resize was confirmed, since it could not shrink back. Until it is confirmed the server
holds of its host, of both flavors, the larger.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy.engine import Connection

from kumoi.base.errors import Invalid
from kumoi.cloud.domain.caller import Caller
from kumoi.cloud.domain.compute import action, placement, quota, status
from kumoi.cloud.domain.compute.server import unlocked
from kumoi.cloud.domain.compute.server_create import flavor_for
from kumoi.cloud.hostapi.messages import Power
from kumoi.cloud.store.compute import server as store
from kumoi.cloud.store.compute.flavor import Flavor
from kumoi.cloud.store.compute.server import Server


def begin(
    connection: Connection, caller: Caller, key: str, now: datetime, *, flavor_id: str
) -> None:
    """Raises Invalid for a flavor that will not do, OverQuota, Conflict."""
    row = unlocked(connection, caller, key)
    status.require(row, "resize", vm_states=("active", "stopped"))
    size = flavor_for(connection, caller, flavor_id)
    _check(row, size)
    _require_quota(connection, row, size)
    values = _columns(size) | {"resized_from": _flavor_of(row)}
    placement.reclaim(connection, row, msgspec.structs.replace(row, **values))
    store.want(connection, row, now=now, **_restarted(row, values))
    action.begin(connection, caller, row, "resize", now)


def confirm(connection: Connection, caller: Caller, key: str, now: datetime) -> None:
    """Raises Conflict unless it was resized."""
    row = unlocked(connection, caller, key)
    status.require(row, "confirmResize", vm_states=("resized",))
    values: dict[str, Any] = {"resized_from": None}
    placement.reclaim(connection, row, msgspec.structs.replace(row, **values))
    store.want(connection, row, now=now, **values)
    action.record(connection, caller, row, "confirmResize", now)


def revert(connection: Connection, caller: Caller, key: str, now: datetime) -> None:
    """Raises Conflict unless it was resized; also when it did not start with the new flavor."""
    row = unlocked(connection, caller, key)
    allowed = ("resized",) if row.resized_from is None else ("resized", "error")
    status.require(row, "revertResize", vm_states=allowed)
    values = (row.resized_from or {}) | {"resized_from": None, "reverted": row.generation + 1}
    placement.reclaim(connection, row, msgspec.structs.replace(row, **values))
    store.want(connection, row, now=now, **_restarted(row, values))
    action.begin(connection, caller, row, "revertResize", now)


def disk_gib(row: Server) -> int:
    """How large its disk is to be by now."""
    return row.disk_gib if row.resized_from is None else int(row.resized_from["disk_gib"])


def _check(row: Server, size: Flavor) -> None:
    if row.host_id is None:
        raise Invalid(f"Instance {row.id} was never placed on a host.", field="resize")
    if size.id == row.flavor_id:
        raise Invalid("When resizing, instances must change flavor!", field="resize.flavorRef")
    if size.disk_gib < row.disk_gib:
        raise Invalid(
            f"Flavor's disk is too small: the server has {row.disk_gib} GiB, and a disk does not "
            f"shrink to {size.disk_gib} GiB.",
            field="resize.flavorRef",
        )


def _require_quota(connection: Connection, row: Server, size: Flavor) -> None:
    _, cores, ram_mib = store.usage(connection, row.project_id)
    for resource, used, more in (
        ("cores", cores, size.vcpus - row.vcpus),
        ("ram", ram_mib, size.ram_mib - row.ram_mib),
    ):
        if more > 0:
            quota.require(connection, row.project_id, resource, used=used, more=more)


def _columns(size: Flavor) -> dict[str, Any]:
    return {
        "flavor_id": size.id,
        "flavor_name": size.name,
        "vcpus": size.vcpus,
        "ram_mib": size.ram_mib,
        "disk_gib": size.disk_gib,
        "ephemeral_gib": size.ephemeral_gib,
        "swap_mib": size.swap_mib,
        "extra_specs": size.extra_specs,
    }


def _flavor_of(row: Server) -> dict[str, Any]:
    return {
        "flavor_id": row.flavor_id,
        "flavor_name": row.flavor_name,
        "vcpus": row.vcpus,
        "ram_mib": row.ram_mib,
        "disk_gib": row.disk_gib,
        "ephemeral_gib": row.ephemeral_gib,
        "swap_mib": row.swap_mib,
        "extra_specs": row.extra_specs,
    }


def _restarted(row: Server, values: dict[str, Any]) -> dict[str, Any]:
    """The values, with a restart unless it is stopped."""
    if row.power == Power.STOPPED:
        return values
    return values | {"boot": row.boot + 1, "power": Power.RUNNING.value}
