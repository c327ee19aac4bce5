"""Images: what is allowed. Their content is content.py's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from sqlalchemy.engine import Connection

from kumoi.base.errors import Conflict, Forbidden, NotFound, TooLarge
from kumoi.base.ids import new_id
from kumoi.cloud.domain.caller import Caller
from kumoi.cloud.domain.image import quota
from kumoi.cloud.domain.image.formats import require_mix
from kumoi.cloud.store.host import host as hosts
from kumoi.cloud.store.image import image as store
from kumoi.cloud.store.image import image_filter
from kumoi.cloud.store.image import member as members
from kumoi.cloud.store.image.image import Image
from kumoi.cloud.store.image.image_filter import ImageFilter
from kumoi.cloud.store.listing import Listing
from kumoi.engine import feed

PROPERTIES_MAX = 128
TAGS_MAX = 128
OVER_LIMIT = "add_image:over_limit"
NOT_PATCHED = ("id", "created_at", "status", "size", "checksum", "sha512", "sha256")


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageRequest:
    """An image to be made; the API has checked the form of each field."""

    id: str | None = None
    name: str | None = None
    visibility: str = "shared"
    owner: str | None = None
    container_format: str | None = None
    disk_format: str | None = None
    min_disk: int = 0
    min_ram: int = 0
    protected: bool = False
    os_hidden: bool = False
    tags: tuple[str, ...] = ()
    properties: Mapping[str, str] = field(default_factory=dict)


def create(connection: Connection, caller: Caller, wanted: ImageRequest, now: datetime) -> Image:
    """Raises Forbidden for what only an administrator may set, Conflict for an id that is taken,
    Invalid for formats that do not go together.
    """
    owner = wanted.owner or caller.project_id
    if not caller.may("add_image", owner):
        raise Forbidden(f"You are not permitted to create images owned by '{owner}'.")
    if wanted.visibility == "public":
        caller.check("publicize_image")
    if wanted.id is not None and store.get(connection, wanted.id) is not None:
        raise Conflict(f"Image ID {wanted.id} already exists!")
    container_format, disk_format = require_mix(wanted.container_format, wanted.disk_format)
    row = Image(
        id=wanted.id or new_id(),
        name=wanted.name,
        status="queued",
        visibility=wanted.visibility,
        owner=owner,
        container_format=container_format,
        disk_format=disk_format,
        content_format=None,
        min_disk=wanted.min_disk,
        min_ram=wanted.min_ram,
        size=None,
        virtual_size=None,
        checksum=None,
        sha512=None,
        sha256=None,
        protected=wanted.protected,
        os_hidden=wanted.os_hidden,
        created_at=now,
        updated_at=now,
        properties=dict(wanted.properties),
        tags=tuple(sorted(set(wanted.tags))),
    )
    _require_quota(row)
    has, _ = store.held(connection, owner)
    if not caller.may(OVER_LIMIT) and has >= quota.count(connection, owner):
        raise TooLarge("The limit has been exceeded on the number of images of a project.")
    store.insert(connection, row)
    return row


def get(connection: Connection, caller: Caller, key: str) -> Image:
    """Raises NotFound when there is no such image that the caller may see."""
    row = store.get(connection, key)
    if row is None:
        raise NotFound("image", key)
    shared = row.visibility in ("public", "community")
    if row.visibility == "shared" and caller.project_id is not None:
        shared = members.get(connection, key, caller.project_id) is not None
    caller.require("get_image", "image", key, row.owner, shared=shared)
    return row


def owned(connection: Connection, caller: Caller, key: str) -> Image:
    """An image that the caller may change. Raises NotFound, and Forbidden for one of another project
    that the caller sees.
    """
    row = get(connection, caller, key)
    if not caller.may("modify_image", row.owner):
        raise Forbidden("You are not permitted to modify this image.")
    return row


def page(
    connection: Connection, caller: Caller, wanted: ImageFilter, listing: Listing
) -> list[Image]:
    conditions = image_filter.conditions(
        wanted, project_id=caller.project_id, sees_all=caller.may("get_images")
    )
    return store.page(connection, listing, conditions)


def update(
    connection: Connection, caller: Caller, row: Image, changed: Image, now: datetime
) -> Image:
    """Replace `row` by `changed`, which patch.py made of it. Raises Forbidden, Invalid, TooLarge."""
    if changed.owner != row.owner and not caller.may("add_image", changed.owner):
        raise Forbidden("You are not authorized to change the owner of an image.")
    if changed.visibility == "public" != row.visibility:
        caller.check("publicize_image")
    for name in ("container_format", "disk_format"):
        if getattr(changed, name) != getattr(row, name) and row.status != "queued":
            raise Forbidden(f"Attribute {name} can be only replaced for a queued image.")
    container_format, disk_format = require_mix(changed.container_format, changed.disk_format)
    changed = replace(
        changed, container_format=container_format, disk_format=disk_format, updated_at=now
    )
    _require_quota(changed)
    values = {name: getattr(changed, name) for name in Image.__slots__ if name not in NOT_PATCHED}
    store.update(connection, row.id, values)
    if row.visibility != changed.visibility:
        tell_hosts(connection, changed)
    return changed


def tell_hosts(connection: Connection, row: Image) -> None:
    """Have hosts look at the public images again, which they keep ready for the first server."""
    if row.visibility == "public":
        feed.touch(connection, hosts.EVERY_HOST, "images")


def set_tag(connection: Connection, caller: Caller, key: str, tag: str, now: datetime) -> None:
    """Raises NotFound, Forbidden, TooLarge."""
    row = owned(connection, caller, key)
    changed = replace(row, tags=tuple(sorted({*row.tags, tag})))
    _require_quota(changed)
    store.update(connection, key, {"tags": changed.tags, "updated_at": now})


def remove_tag(connection: Connection, caller: Caller, key: str, tag: str, now: datetime) -> None:
    """Raises NotFound, also for a tag that the image does not have; Forbidden."""
    row = owned(connection, caller, key)
    if tag not in row.tags:
        raise NotFound("image tag", tag)
    left = tuple(name for name in row.tags if name != tag)
    store.update(connection, key, {"tags": left, "updated_at": now})


def delete(connection: Connection, caller: Caller, key: str) -> Image:
    """Gives the deleted row: after the transaction, content.discard deletes its file.

    Raises NotFound, Forbidden.
    """
    row = owned(connection, caller, key)
    if row.protected:
        raise Forbidden(f"Image {key} is protected and cannot be deleted.")
    remove(connection, row)
    return row


def remove(connection: Connection, row: Image) -> None:
    """Delete the row of an image that nobody asks for; its file goes when no row names it any more."""
    members.delete_of_image(connection, row.id)
    store.delete(connection, row.id)


def deactivate(connection: Connection, caller: Caller, key: str, now: datetime) -> None:
    """Afterwards only an administrator reads the content. Raises NotFound, Forbidden."""
    _switch(connection, owned(connection, caller, key), "active", "deactivated", now)


def reactivate(connection: Connection, caller: Caller, key: str, now: datetime) -> None:
    """Raises NotFound, Forbidden."""
    _switch(connection, owned(connection, caller, key), "deactivated", "active", now)


def _switch(connection: Connection, row: Image, old: str, new: str, now: datetime) -> None:
    if row.status == new:
        return
    if row.status != old:
        raise Forbidden(f"Not allowed to make image {row.id} {new} while it is {row.status}.")
    store.update(connection, row.id, {"status": new, "updated_at": now})


def _require_quota(row: Image) -> None:
    """Raises TooLarge for an image with too many properties or tags."""
    for limit, count, what in (
        (PROPERTIES_MAX, len(row.properties), "properties"),
        (TAGS_MAX, len(row.tags), "tags"),
    ):
        if count > limit:
            raise TooLarge(f"The limit has been exceeded on the number of allowed image {what}.")
