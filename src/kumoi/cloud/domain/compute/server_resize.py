"""Give a server another flavor, until the owner confirms or reverts that.

The host restarts the server with the new flavor's processors and memory. Its disk grows at the first
start after the confirmation, since it could not shrink back. Until then the server claims of its host
the larger of both flavors.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy.engine import Connection

from kumoi.base.errors import Invalid
from kumoi.cloud.domain.caller import Caller
from kumoi.cloud.domain.compute import action, flavor, migration, placement, quota, status
from kumoi.cloud.domain.compute.server import unlocked
from kumoi.cloud.domain.compute.server_create import flavor_for
from kumoi.cloud.hostapi.messages import Power
from kumoi.cloud.store.compute import migration as migration_store
from kumoi.cloud.store.compute import server as store
from kumoi.cloud.store.compute.flavor import Flavor
from kumoi.cloud.store.compute.migration import MigrationStatus
from kumoi.cloud.store.compute.server import Server


def begin(
    connection: Connection,
    caller: Caller,
    key: str,
    now: datetime,
    *,
    flavor_id: str,
    disk_config: str | None = None,
) -> None:
    """Raises Invalid for a flavor that does not fit the server or its host, OverQuota, Conflict."""
    row = unlocked(connection, caller, key)
    status.require(row, "resize", vm_states=("active", "stopped"))
    size = flavor_for(connection, caller, flavor_id)
    _require_fits(row, size)
    _require_quota(connection, row, size)
    values = flavor.server_columns(size)
    values["resized_from"] = {name: getattr(row, name) for name in values}
    values["disk_config"] = disk_config or row.disk_config
    placement.reclaim(connection, row, msgspec.structs.replace(row, **values))
    store.want(connection, row, now=now, **_restarted(row, values))
    action.begin(connection, caller, row, "resize", now)
    migration.begin(connection, caller, row, now)


def confirm(connection: Connection, caller: Caller, key: str, now: datetime) -> None:
    """Raises Conflict unless the server was resized."""
    row = unlocked(connection, caller, key)
    status.require(row, "confirmResize", vm_states=("resized",))
    values: dict[str, Any] = {"resized_from": None}
    placement.reclaim(connection, row, msgspec.structs.replace(row, **values))
    store.want(connection, row, now=now, **values)
    action.record(connection, caller, row, "confirmResize", now)
    migration_store.end(connection, row.id, MigrationStatus.CONFIRMED, now)


def revert(connection: Connection, caller: Caller, key: str, now: datetime) -> None:
    """Also for a server that failed to start with the new flavor. Raises Conflict unless resized."""
    row = unlocked(connection, caller, key)
    allowed = ("resized",) if row.resized_from is None else ("resized", "error")
    status.require(row, "revertResize", vm_states=allowed)
    values = (row.resized_from or {}) | {"resized_from": None, "reverted": row.generation + 1}
    placement.reclaim(connection, row, msgspec.structs.replace(row, **values))
    store.want(connection, row, now=now, **_restarted(row, values))
    action.begin(connection, caller, row, "revertResize", now)
    migration_store.end(connection, row.id, MigrationStatus.REVERTED, now)


def disk_gib(row: Server) -> int:
    """How large the disk has to be; it does not grow before the confirmation."""
    return row.disk_gib if row.resized_from is None else int(row.resized_from["disk_gib"])


def _require_fits(row: Server, size: Flavor) -> None:
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
    quota.require_disk(connection, row.project_id, more_gib=size.disk_gib - row.disk_gib)


def _restarted(row: Server, values: dict[str, Any]) -> dict[str, Any]:
    """The values with a restart, unless the server is stopped."""
    if row.power == Power.STOPPED:
        return values
    return values | {"boot": row.boot + 1, "power": Power.RUNNING.value}
