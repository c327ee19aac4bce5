"""Make an image from a server: the image is there at once, its content comes from the host.

The host is told until the content has come, or until it says that there will be none.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from sqlalchemy.engine import Connection

from kumoi.base import log
from kumoi.base.errors import NotFound
from kumoi.cloud.domain.caller import Caller
from kumoi.cloud.domain.compute import action, status
from kumoi.cloud.domain.compute.server import unlocked
from kumoi.cloud.domain.image import image as image_domain
from kumoi.cloud.domain.image.image import ImageRequest
from kumoi.cloud.store.compute import server as server_store
from kumoi.cloud.store.compute import snapshot as store
from kumoi.cloud.store.compute.server import Server
from kumoi.cloud.store.compute.snapshot import Snapshot
from kumoi.cloud.store.image import image as image_store

FORMAT = "root-tar"


def create(
    connection: Connection,
    caller: Caller,
    key: str,
    *,
    name: str,
    properties: Mapping[str, str],
    now: datetime,
) -> str:
    """The image's id. Raises Conflict unless the server has a disk to take it from."""
    row = unlocked(connection, caller, key)
    status.require(row, "createImage", vm_states=("active", "stopped", "paused"))
    base = None if row.image_id is None else image_store.get(connection, row.image_id)
    inherited = {} if base is None else dict(base.properties)
    own = {
        "image_type": "snapshot",
        "instance_uuid": row.id,
        "user_id": row.user_id,
        "base_image_ref": row.image_id or "",
    }
    wanted = ImageRequest(
        name=name,
        visibility="private",
        owner=row.project_id,
        container_format="bare",
        disk_format=FORMAT,
        min_disk=row.disk_gib,
        min_ram=0 if base is None else base.min_ram,
        properties={**inherited, **own, **properties},
    )
    made = image_domain.create(connection, caller, wanted, now)
    store.insert(connection, Snapshot(made.id, row.id, row.project_id, row.user_id, now))
    server_store.tell(connection, row, now=now)
    action.record(connection, caller, row, "createImage", now)
    log.event("server.snapshot_asked", server=row.id, image=made.id)
    return made.id


def uploader(connection: Connection, host_id: str, image_id: str, request_id: str) -> Caller:
    """In whose name the host brings the content. Raises NotFound when none is wanted of it."""
    row = _of_host(connection, host_id, image_id)
    return Caller(
        user_id=row.user_id,
        project_id=row.project_id,
        roles=frozenset({"member"}),
        request_id=request_id,
    )


def finish(connection: Connection, image_id: str, now: datetime) -> None:
    """The content has come."""
    row = store.get(connection, image_id)
    if row is None:
        return
    store.delete(connection, image_id)
    server = server_store.get(connection, row.server_id)
    if server is not None:
        server_store.tell(connection, server, now=now)


def give_up(connection: Connection, host_id: str, image_id: str, now: datetime) -> None:
    """The host cannot make it: the image goes. Raises NotFound when none is wanted of it."""
    row = _of_host(connection, host_id, image_id)
    finish(connection, image_id, now)
    _forget_image(connection, image_id)
    log.warning("server.snapshot_failed", server=row.server_id, image=image_id)


def abandon(connection: Connection, server: Server) -> None:
    """The server is gone, and with it what it was to be made from."""
    for image_id in store.delete_of_server(connection, server.id):
        _forget_image(connection, image_id)


def _of_host(connection: Connection, host_id: str, image_id: str) -> Snapshot:
    row = store.get(connection, image_id)
    server = None if row is None else server_store.get(connection, row.server_id)
    if row is None or server is None or server.host_id != host_id:
        raise NotFound("image", image_id)
    return row


def _forget_image(connection: Connection, image_id: str) -> None:
    """Unless it has content, or somebody deleted it."""
    image = image_store.get(connection, image_id)
    if image is not None and image.status == "queued":
        image_store.delete(connection, image_id)
