"""Imports: content that was staged before, or comes from the internet, becomes an image's. Each is a task.

What is staged is a file like any other, which its image names while it is `uploading`; an import looks at it. No file
is touched inside a transaction, as in content.py.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy.engine import Connection

from kumoi.base.errors import Conflict, NotFound, UserError
from kumoi.base.ids import new_id
from kumoi.cloud.domain.caller import Caller
from kumoi.cloud.domain.image import content, image
from kumoi.cloud.domain.image.content import Draft, Inspect
from kumoi.cloud.drivers.image.files import ImageFiles
from kumoi.cloud.store.image import image as image_store
from kumoi.cloud.store.image import task as store
from kumoi.cloud.store.image.image import Image
from kumoi.cloud.store.image.task import ImageTask, TaskStatus
from kumoi.cloud.store.listing import Listing
from kumoi.config import CloudSettings
from kumoi.engine.db import Database

KEPT = timedelta(hours=48)  # How long a task is shown, as in Glance.
KEPT_MAX = 100  # Of one image, whose owner may try without end.
STUCK = timedelta(minutes=30)  # Longer than any download: whoever did it has died.
NOTHING = {
    "status": "queued",
    "size": None,
    "checksum": None,
    "sha512": None,
    "sha256": None,
}
"""An image without content."""


def stage(
    database: Database,
    cloud: CloudSettings,
    files: ImageFiles,
    draft: Draft,
    *,
    caller: Caller,
    key: str,
    now: datetime,
) -> None:
    """Keep content for an import. Raises NotFound, Forbidden, Conflict, TooLarge."""
    written = draft.finish()
    with files.lock():
        draft.keep(written.sha256)
        try:
            with database.write() as connection:
                row = content.require_expected(connection, caller, key)
                content.require_room(connection, cloud, caller, row, written.size)
                values = content.values(written, now) | {"status": "uploading"}
                image_store.update(connection, key, values)
        except BaseException:
            content.delete_unnamed(database, files, written.sha256)
            raise


def begin(
    database: Database,
    caller: Caller,
    key: str,
    now: datetime,
    *,
    asked: dict[str, Any],
    status: str,
) -> ImageTask:
    """A task for an image of that status, which is importing then. Raises NotFound, Forbidden, Conflict."""
    with database.write() as connection:
        row = image.owned(connection, caller, key)
        is_stuck = row.status == "importing" and now - row.updated_at > STUCK
        if row.status != status and not (is_stuck and status == "queued"):
            raise Conflict(f"Image status transition from {row.status} to importing is not allowed")
        content.require_formats(row)
        task = ImageTask(
            id=new_id(),
            image_id=key,
            owner=row.owner,
            user_id=caller.user_id,
            request_id=caller.request_id,
            status=TaskStatus.PROCESSING.value,
            input=asked,
            message="",
            created_at=now,
            updated_at=now,
            expires_at=now + KEPT,
        )
        store.delete_expired(connection, now)
        store.insert(connection, task)
        store.forget_oldest(connection, key, kept=KEPT_MAX)
        image_store.update(connection, key, {"status": "importing", "updated_at": now})
    return task


def finish(
    database: Database,
    cloud: CloudSettings,
    files: ImageFiles,
    task: ImageTask,
    *,
    inspect: Inspect,
    caller: Caller,
    now: datetime,
    blocks: Iterable[bytes] | None = None,
) -> None:
    """Make what was staged, or the blocks, the image's content. What is wrong with it stands in the task, and
    the image is queued then.
    """
    failure = ""
    try:
        if blocks is None:
            _accept_staged(database, files, task.image_id, inspect=inspect, now=now)
        else:
            with database.read() as connection:
                row = _row(connection, task.image_id)
                room = content.draft_room(connection, cloud, caller, row)
            with files.draft(cloud.image_max_bytes, room) as draft:
                for block in blocks:
                    draft.write(block)
                content.accept(
                    database,
                    cloud,
                    files,
                    draft,
                    inspect=inspect,
                    caller=caller,
                    key=task.image_id,
                    now=now,
                    status="importing",
                )
    except UserError as cause:
        failure = str(cause)
    finally:
        _end(database, files, task, failure, now)


def of_image(connection: Connection, caller: Caller, key: str) -> list[ImageTask]:
    """Raises NotFound for an image that the caller does not see."""
    return store.of_image(connection, image.get(connection, caller, key).id)


def get(connection: Connection, key: str) -> ImageTask:
    row = store.get(connection, key)
    if row is None:
        raise NotFound("task", key)
    return row


def page(connection: Connection, wanted: Listing) -> list[ImageTask]:
    return store.page(connection, wanted)


def _accept_staged(
    database: Database, files: ImageFiles, key: str, *, inspect: Inspect, now: datetime
) -> None:
    with database.read() as connection:
        row = _row(connection, key)
    if row.sha256 is None or row.size is None:
        raise Conflict(f"Image {key} has nothing staged")
    with files.open(row.sha256) as file:
        found = inspect(file, row.disk_format or "raw", row.size)
    with database.write() as connection:
        current = _row(connection, key)
        if (current.sha256, current.disk_format) != (row.sha256, row.disk_format):
            raise Conflict(f"Image {key} was changed during the import")
        image_store.update(connection, key, content.found_values(found) | {"updated_at": now})
        image.tell_hosts(connection, current)


def _row(connection: Connection, key: str) -> Image:
    row = image_store.get(connection, key)
    if row is None:
        raise NotFound("image", key)
    return row


def _end(
    database: Database, files: ImageFiles, task: ImageTask, failure: str, now: datetime
) -> None:
    """Whatever happened: the image is not importing any more."""
    left: str | None = None
    with database.write() as connection:
        row = image_store.get(connection, task.image_id)
        done = row is not None and row.status == "active"
        if row is not None and row.status == "importing":
            left = row.sha256
            image_store.update(connection, row.id, NOTHING | {"updated_at": now})
        status = TaskStatus.SUCCESS if done else TaskStatus.FAILURE
        message = "" if done else failure or "the import was broken off"
        store.update(connection, task.id, status=status.value, message=message, updated_at=now)
    if left is not None:
        content.discard(database, files, left)
