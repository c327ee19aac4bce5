"""Make an image from a server's disk. The image's row is made at once; the server's host uploads the
content later.

The server's wanted state names the image until the content has come, or until the host gives up.
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
    """Gives the image's id. Raises Conflict unless the server has a disk to read."""
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
    """The user for whom the host uploads the content. Raises NotFound when this host is to upload
    none for the image.
    """
    row = _of_host(connection, host_id, image_id)
    return Caller(
        user_id=row.user_id,
        project_id=row.project_id,
        roles=frozenset({"member"}),
        request_id=request_id,
    )


def finish(connection: Connection, image_id: str, now: datetime) -> None:
    """After the upload: the host is not to make the image any more."""
    row = store.get(connection, image_id)
    if row is None:
        return
    store.delete(connection, image_id)
    server = server_store.get(connection, row.server_id)
    if server is not None:
        server_store.tell(connection, server, now=now)


def give_up(connection: Connection, host_id: str, image_id: str, now: datetime) -> None:
    """The host cannot make the image, so its row is deleted. Raises as `uploader` does."""
    row = _of_host(connection, host_id, image_id)
    finish(connection, image_id, now)
    _delete_empty(connection, image_id)
    log.warning("server.snapshot_failed", server=row.server_id, image=image_id)


def abandon(connection: Connection, server: Server) -> None:
    """After a server's deletion: images still to be made from it will have no content."""
    for image_id in store.delete_of_server(connection, server.id):
        _delete_empty(connection, image_id)


def _of_host(connection: Connection, host_id: str, image_id: str) -> Snapshot:
    row = store.get(connection, image_id)
    server = None if row is None else server_store.get(connection, row.server_id)
    if row is None or server is None or server.host_id != host_id:
        raise NotFound("image", image_id)
    return row


def _delete_empty(connection: Connection, image_id: str) -> None:
    """Delete an image that has no content yet."""
    image = image_store.get(connection, image_id)
    if image is not None and image.status == "queued":
        image_store.delete(connection, image_id)
