"""The image that a server boots from: whether it may be used, and what its host must know of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy.engine import Connection

from kumoi.base.errors import Invalid, NotFound
from kumoi.cloud.domain.caller import Caller
from kumoi.cloud.domain.image import image as image_domain
from kumoi.cloud.hostapi import messages
from kumoi.cloud.store.image.image import Image

GIB = 1 << 30


def usable(
    connection: Connection, caller: Caller, key: str, *, ram_mib: int, disk_gib: int
) -> Image:
    """Raises Invalid when the caller sees no such image, or it is not active or needs more room."""
    try:
        row = image_domain.get(connection, caller, key)
    except NotFound as cause:
        raise Invalid("Can not find requested image", field="imageRef") from cause
    if row.status != "active":
        raise Invalid(f"Image {key} is not active.", field="imageRef")
    if ram_mib < row.min_ram:
        raise Invalid(
            "Flavor's memory is too small for requested image: "
            f"{ram_mib} MiB where it needs {row.min_ram} MiB.",
            field="flavorRef",
        )
    if disk_gib and (disk_gib < row.min_disk or disk_gib * GIB < (row.size or 0)):
        raise Invalid(
            f"Flavor's disk is too small for requested image. Flavor disk is {disk_gib * GIB} "
            f"bytes, image is {max(row.min_disk * GIB, row.size or 0)} bytes.",
            field="flavorRef",
        )
    return row


def format_of(row: Image) -> str:
    """The format that a driver must be able to read: that found in the content, where one was found,
    before that named by the user.
    """
    return row.content_format or row.disk_format or "raw"


def for_host(row: Image) -> dict[str, Any]:
    """The `image` column of a server's row."""
    return {"id": row.id, "sha256": row.sha256, "disk_format": format_of(row)}


def message(image: Mapping[str, Any]) -> messages.ImageContent:
    """That column as a message for the host."""
    return messages.ImageContent(
        id=image["id"], sha256=image["sha256"], disk_format=image["disk_format"]
    )
