"""Start a server again from an image with an empty disk; and go back when its host refused that.

A host that cannot make the new disk has the old one, and says so. What the owner asks for next is
then for the server that was, unless it is a rebuild again.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy.engine import Connection

from kumoi.base.errors import Conflict
from kumoi.cloud.domain.caller import Caller
from kumoi.cloud.domain.compute import action, boot_image, placement, quota, status
from kumoi.cloud.domain.compute.server import get, unlocked
from kumoi.cloud.hostapi.messages import Power
from kumoi.cloud.hostapi.offer import Capability
from kumoi.cloud.store.compute import server as store
from kumoi.cloud.store.compute.server import Server

DISK_COLUMNS = ("build", "image_id", "image", "key_name", "ssh_keys", "user_data", "files")
"""What a disk is made from."""
ADVICE = "Its disk from before is still there: a hard reboot starts it, a rebuild tries again."


def begin(
    connection: Connection,
    caller: Caller,
    key: str,
    now: datetime,
    *,
    image_id: str,
    values: Mapping[str, Any],
) -> Server:
    """`values` are columns that change with it."""
    row = unlocked(connection, caller, key)
    status.require(row, "rebuild", vm_states=("active", "stopped", "error"))
    require_host(row)
    image = boot_image.usable(
        connection, caller, image_id, ram_mib=row.ram_mib, disk_gib=row.disk_gib
    )
    placement.require_format(connection, row, boot_image.format_of(image))
    if values.get("files"):
        quota.require_files(connection, row.project_id, values["files"])
        placement.require_capability(connection, row, Capability.FILES)
    is_stopped = status.of(row).vm_state == "stopped"
    disk = {name: getattr(row, name) for name in DISK_COLUMNS}
    changes = {
        **values,
        "image_id": image.id,
        "image": boot_image.for_host(image),
        "build": row.build + 1,
        "power": (Power.STOPPED if is_stopped else Power.RUNNING).value,
        "rebuilt_from": row.rebuilt_from if is_refused(row) else disk,
    }
    store.want(connection, row, now=now, **changes)
    action.begin(connection, caller, row, "rebuild", now)
    return get(connection, caller, key)


def is_refused(row: Server) -> bool:
    """Whether the latest word of the host is that it has the disk from before. The generation tells
    that nobody has heard from it since who does not know of that word.
    """
    return (
        row.rebuilt_from is not None
        and row.observed_build == row.build
        and row.rebuild_refused == row.observed_generation
    )


def going_back(row: Server) -> dict[str, Any]:
    """The columns with which the server from before a refused rebuild is wanted again."""
    if row.rebuilt_from is None or not is_refused(row):
        return {}
    return row.rebuilt_from | {"rebuilt_from": None}


def failed(row: Server, generation: int, fault: str, disk_build: int | None) -> dict[str, Any]:
    """The columns of one that failed, while its host has the disk of this build."""
    former = row.rebuilt_from
    if former is None or disk_build != former["build"] or disk_build == row.build:
        return {"fault": fault, "rebuild_refused": 0}
    return {"fault": f"{fault}. {ADVICE}", "rebuild_refused": generation}


def require_host(row: Server) -> None:
    """One that could not be built has none any more, and nobody would act on what is wanted."""
    if row.host_id is None:
        raise Conflict(f"Instance {row.id} is on no host; delete it and make another.")
