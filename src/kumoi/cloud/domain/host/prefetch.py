"""Images on hosts: which ones to fetch before a server needs them, and which a host may fetch at all."""

from __future__ import annotations

from sqlalchemy.engine import Connection

from kumoi.base.errors import NotFound
from kumoi.cloud.domain.compute import boot_image
from kumoi.cloud.hostapi import messages
from kumoi.cloud.store.compute import server as server_store
from kumoi.cloud.store.image import image as store

IMAGES_MAX = 8


def images(connection: Connection) -> list[messages.ImageContent]:
    """The images that hosts should have ready: the newest public ones."""
    found = sorted(store.active_public(connection), key=lambda row: row.created_at, reverse=True)
    return [boot_image.message(boot_image.for_host(row)) for row in found[:IMAGES_MAX]]


def content(connection: Connection, host_id: str, image_id: str) -> str:
    """The hash of an image's content. Raises NotFound unless a server of that host is made from
    the image, or the image is public.
    """
    row = store.get(connection, image_id)
    if row is None or row.status != "active" or row.sha256 is None:
        raise NotFound("image", image_id)
    if row.visibility != "public" and not server_store.uses_image(connection, host_id, image_id):
        raise NotFound("image", image_id)
    return row.sha256
