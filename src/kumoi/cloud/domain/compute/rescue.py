"""Start a server from another image, with its own files mounted, so that its owner can mend them; and
go back.

Its disk stays as it is below, and the host drops what the rescue wrote to the other image. The wanted
state says which image; a restart brings either about.
"""

from __future__ import annotations

from datetime import datetime

from sqlalchemy.engine import Connection

from kumoi.base.errors import Conflict
from kumoi.cloud.domain.caller import Caller
from kumoi.cloud.domain.compute import action, boot_image, placement, server_rebuild, status
from kumoi.cloud.domain.compute.server import unlocked
from kumoi.cloud.hostapi.messages import Power
from kumoi.cloud.hostapi.offer import Capability
from kumoi.cloud.store.compute import server as store


def begin(
    connection: Connection, caller: Caller, key: str, now: datetime, *, image_id: str | None
) -> None:
    """Without an image it is that of the server. Raises Invalid for one that will not do, Conflict,
    and Unsupported where the server's host cannot do it.
    """
    row = unlocked(connection, caller, key)
    status.require(row, "rescue", vm_states=("active", "stopped", "error"))
    server_rebuild.require_host(row)
    placement.require_capability(connection, row, Capability.RESCUE)
    going_back = server_rebuild.going_back(row)
    image = going_back.get("image", row.image)
    if image_id is not None:
        found = boot_image.usable(
            connection, caller, image_id, ram_mib=row.ram_mib, disk_gib=row.disk_gib
        )
        placement.require_format(connection, row, boot_image.format_of(found))
        image = boot_image.for_host(found)
    if image is None:
        raise Conflict(f"Instance {row.id} has no image to be rescued with: name one.")
    changes = {"rescue": image, "boot": row.boot + 1, "power": Power.RUNNING.value}
    store.want(connection, row, now=now, **going_back, **changes)
    action.begin(connection, caller, row, "rescue", now)


def end(connection: Connection, caller: Caller, key: str, now: datetime) -> None:
    """Also of one that failed to start so. Raises Conflict unless it is being rescued."""
    row = unlocked(connection, caller, key)
    allowed = ("rescued",) if row.rescue is None else ("rescued", "error")
    status.require(row, "unrescue", vm_states=allowed)
    changes = {"rescue": None, "unrescued": row.generation + 1, "boot": row.boot + 1}
    store.want(connection, row, now=now, **changes, power=Power.RUNNING.value)
    action.begin(connection, caller, row, "unrescue", now)
