"""The content of images: accept an upload, find it for a download, delete it.

A file is moved into place and named by a row under a lock, and a file that no row names is deleted
under the same lock; see drivers/image/files.py. No file is touched inside a transaction: the lock is
taken first.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import IO

from sqlalchemy.engine import Connection

from kumoi.base.errors import Conflict, Forbidden, Invalid, TooLarge
from kumoi.cloud.domain.caller import Caller
from kumoi.cloud.domain.image import image, quota
from kumoi.cloud.drivers.image.files import Content, Draft, DraftRoom, ImageFiles
from kumoi.cloud.drivers.image.inspect import Finding
from kumoi.cloud.store.image import image as store
from kumoi.cloud.store.image.image import Image
from kumoi.config import CloudSettings
from kumoi.engine.db import Database

__all__ = [
    "Draft",
    "accept",
    "delete_unnamed",
    "discard",
    "draft_room",
    "found_values",
    "readable",
    "require_expected",
    "require_formats",
    "require_room",
    "sweep",
    "values",
]

Inspect = Callable[[IO[bytes], str, int], Finding]
"""From a file, the format stated and its size to what it is. Raises Invalid."""


def require_expected(
    connection: Connection, caller: Caller, key: str, status: str = "queued"
) -> Image:
    """An image that waits for its content, as that status says. Raises NotFound, Forbidden, Conflict, Invalid."""
    row = image.owned(connection, caller, key)
    if row.status != status:
        raise Conflict(f"Image status transition from {row.status} to saving is not allowed")
    require_formats(row)
    return row


def require_formats(row: Image) -> None:
    """Raises Invalid for an image that does not say what its content will be."""
    if row.disk_format is None or row.container_format is None:
        raise Invalid(
            "Properties disk_format, container_format must be set prior to saving data.",
            field="disk_format",
        )


def accept(
    database: Database,
    cloud: CloudSettings,
    files: ImageFiles,
    draft: Draft,
    *,
    inspect: Inspect,
    caller: Caller,
    key: str,
    now: datetime,
    status: str = "queued",
) -> None:
    """Make the draft the image's content, and the image, which had that status, active.

    Raises Invalid when the content is not of the image's format, Conflict when another upload was
    faster, TooLarge when the project would have too many bytes; the image stays queued then.
    """
    content = draft.finish()
    with database.read() as connection:
        row = require_expected(connection, caller, key, status)
    with draft.opened() as file:
        found = inspect(file, row.disk_format or "raw", content.size)
    with files.lock():
        draft.keep(content.sha256)
        try:
            with database.write() as connection:
                current = require_expected(connection, caller, key, status)
                if current.disk_format != row.disk_format:
                    raise Conflict(f"Image {key} was changed during the upload")
                require_room(connection, cloud, caller, current, content.size)
                store.update(connection, key, values(content, now) | found_values(found))
                image.tell_hosts(connection, current)
        except BaseException:
            delete_unnamed(database, files, content.sha256)
            raise


def readable(connection: Connection, caller: Caller, key: str) -> Image:
    """An image whose content the caller may read; its `sha256` is None while there is no content.

    Raises NotFound, and Forbidden while the image is deactivated.
    """
    row = image.get(connection, caller, key)
    if row.status == "deactivated" and not caller.may("download_image:deactivated"):
        raise Forbidden(
            "The requested image has been deactivated. Image data download is forbidden."
        )
    return row


def discard(database: Database, files: ImageFiles, sha256: str) -> None:
    """Called after the deletion of an image: delete its content, unless another image has the same."""
    with files.lock():
        delete_unnamed(database, files, sha256)


def sweep(database: Database, files: ImageFiles) -> list[str]:
    """Delete the files of processes that died between file and row; gives their names."""
    with files.lock():
        with database.read() as connection:
            named = store.contents(connection)
        return files.delete_orphans(named)


def draft_room(
    connection: Connection, cloud: CloudSettings, caller: Caller, row: Image
) -> DraftRoom | None:
    """What bounds an upload together with all others of its project; None is no limit."""
    if caller.may(image.OVER_LIMIT):
        return None
    _, has = store.held(connection, row.owner)
    most = quota.total_bytes(connection, cloud, row.owner)
    return DraftRoom(row.owner or "", has, most)


def require_room(
    connection: Connection, cloud: CloudSettings, caller: Caller, row: Image, more: int
) -> None:
    """Raises TooLarge, so that no project fills the disk that all images are on."""
    if caller.may(image.OVER_LIMIT):
        return
    _, has = store.held(connection, row.owner)
    most = quota.total_bytes(connection, cloud, row.owner)
    if has + more > most:
        raise TooLarge(
            f"The project's images may have {most} bytes together, and have {has} already."
        )


def delete_unnamed(database: Database, files: ImageFiles, sha256: str) -> None:
    with database.read() as connection:
        named = store.has_content(connection, sha256)
    if not named:
        files.delete(sha256)


def found_values(found: Finding) -> dict[str, object]:
    """The columns of an image whose content was looked at."""
    return {
        "status": "active",
        "virtual_size": found.virtual_size,
        "content_format": found.kind.value,
    }


def values(content: Content, now: datetime) -> dict[str, object]:
    """The columns that name a content."""
    return {
        "size": content.size,
        "checksum": content.md5,
        "sha512": content.sha512,
        "sha256": content.sha256,
        "updated_at": now,
    }
