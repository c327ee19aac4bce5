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
BACKUP = "backup"
IMAGEABLE = ("active", "stopped", "paused", "suspended")


def create(
    connection: Connection,
    caller: Caller,
    key: str,
    *,
    name: str,
    properties: Mapping[str, str],
    now: datetime,
) -> str:
    """Gives the image's id. Raises Conflict unless the server has a disk to read, and while another
    image is made of it.
    """
    row = unlocked(connection, caller, key)
    status.require(row, "createImage", vm_states=IMAGEABLE)
    image_id = make_image(connection, caller, row, name=name, properties=properties, now=now)
    ask(connection, row, image_id, now)
    action.record(connection, caller, row, "createImage", now)
    return image_id


def back_up(
    connection: Connection,
    caller: Caller,
    key: str,
    *,
    name: str,
    kind: str,
    rotation: int,
    properties: Mapping[str, str],
    now: datetime,
) -> str:
    """The same; of the images of this `kind` that were made of the server so, only the newest stay,
    as many as `rotation` says, once the content of this one has come.
    """
    row = unlocked(connection, caller, key)
    status.require(row, "createBackup", vm_states=IMAGEABLE)
    own = {"image_type": BACKUP, "backup_type": kind}
    image_id = make_image(
        connection, caller, row, name=name, properties={**properties, **own}, now=now
    )
    ask(connection, row, image_id, now, rotation=rotation)
    action.record(connection, caller, row, "createBackup", now)
    return image_id


def make_image(
    connection: Connection,
    caller: Caller,
    row: Server,
    *,
    name: str,
    properties: Mapping[str, str],
    now: datetime,
) -> str:
    """The row of an image of a server's disk, without content. Gives its id."""
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
    return image_domain.create(connection, caller, wanted, now).id


def ask(
    connection: Connection,
    row: Server,
    image_id: str,
    now: datetime,
    *,
    rotation: int | None = None,
) -> None:
    """Have the server's host send the image's content."""
    store.insert(connection, Snapshot(image_id, row.id, row.project_id, row.user_id, now, rotation))
    server_store.tell(connection, row, now=now, imaging=True)
    log.event("server.snapshot_asked", server=row.id, image=image_id)


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


def finish(connection: Connection, image_id: str, now: datetime) -> Server | None:
    """After the upload: the host is not to make the image any more. Gives the server."""
    row = store.get(connection, image_id)
    if row is None:
        return None
    store.delete(connection, image_id)
    if row.rotation is not None:
        _rotate(connection, image_id, row)
    server = server_store.get(connection, row.server_id)
    if server is not None:
        imaging = store.is_any_of(connection, server.id)
        server_store.tell(connection, server, now=now, imaging=imaging)
    return server


def give_up(connection: Connection, host_id: str, image_id: str, now: datetime) -> Server | None:
    """The host cannot make the image, so its row is deleted. Raises as `uploader` does."""
    row = _of_host(connection, host_id, image_id)
    server = finish(connection, image_id, now)
    _delete_empty(connection, image_id)
    log.warning("server.snapshot_failed", server=row.server_id, image=image_id)
    return server


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


def _rotate(connection: Connection, image_id: str, row: Snapshot) -> None:
    """Delete the backups that are too many; one whose content has not come is none yet."""
    made = image_store.get(connection, image_id)
    if made is None or made.status != "active":
        return
    kind = made.properties.get("backup_type")
    backups = [
        image
        for image in image_store.having(connection, "instance_uuid", row.server_id)
        if (image.properties.get("image_type"), image.properties.get("backup_type"))
        == (BACKUP, kind)
        and (image.status, image.owner) == ("active", row.project_id)
    ]
    backups.sort(key=lambda image: (image.created_at, image.id), reverse=True)
    for image in backups[row.rotation :]:
        if not image.protected:
            image_domain.remove(connection, image)
            log.event("server.backup_rotated", server=row.server_id, image=image.id)
