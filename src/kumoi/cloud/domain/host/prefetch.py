"""Images worth having ready on every host: those that everybody may start servers from."""

from __future__ import annotations

from sqlalchemy.engine import Connection

from kumoi.cloud.domain.compute import boot_image
from kumoi.cloud.hostapi import messages
from kumoi.cloud.store.image import image as image_store

IMAGES_MAX = 8


def images(connection: Connection) -> list[messages.Image]:
    """The newest of the public ones."""
    found = image_store.public_active(connection, most=IMAGES_MAX)
    return [messages.Image(**boot_image.for_host(row)) for row in found]
