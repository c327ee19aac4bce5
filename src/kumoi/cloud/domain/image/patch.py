"""Apply a JSON patch to an image. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from kumoi.base.errors import Conflict, Forbidden, Invalid
from kumoi.cloud.store.image.image import Image

CHANGEABLE = frozenset(
    {
        "name",
        "visibility",
        "owner",
        "container_format",
        "disk_format",
        "min_disk",
        "min_ram",
        "protected",
        "os_hidden",
        "tags",
    }
)
READ_ONLY = frozenset(
    {
        "id",
        "status",
        "checksum",
        "os_hash_algo",
        "os_hash_value",
        "size",
        "virtual_size",
        "created_at",
        "updated_at",
        "self",
        "file",
        "schema",
        "direct_url",
        "stores",
    }
)
RESERVED = frozenset({"deleted", "deleted_at", "is_public", "locations", "location"})
RESERVED_PREFIX = "os_glance_"


@dataclass(frozen=True, slots=True)
class PatchOperation:
    """`op` is add, replace or remove; the API has checked the form of `value`."""

    op: str
    name: str
    value: Any = None


def require_writable(name: str) -> None:
    """Raises Forbidden for an attribute that callers cannot set."""
    if name in READ_ONLY:
        raise Forbidden(f"Attribute '{name}' is read-only.")
    if name in RESERVED or name.startswith(RESERVED_PREFIX):
        raise Forbidden(f"Attribute '{name}' is reserved.")


def apply(row: Image, changes: Sequence[PatchOperation]) -> Image:
    """The image with all changes, made in order. Raises Forbidden, Invalid, and Conflict for a property
    that the image does not have.
    """
    for change in changes:
        require_writable(change.name)
        set_ = _with_attribute if change.name in CHANGEABLE else _with_property
        row = set_(row, change)
    return row


def _with_property(row: Image, change: PatchOperation) -> Image:
    properties = dict(row.properties)
    if change.op != "add" and change.name not in properties:
        raise Conflict(f"Property {change.name} does not exist.")
    if change.op == "remove":
        del properties[change.name]
    else:
        properties[change.name] = change.value
    return replace(row, properties=properties)


def _with_attribute(row: Image, change: PatchOperation) -> Image:
    if change.op == "remove":
        raise Forbidden(f"Property {change.name} may not be removed.")
    if change.name == "tags":
        return replace(row, tags=tuple(sorted(set(change.value))))
    if change.name == "owner" and change.value is None:
        raise Invalid("owner must be a project", field="owner")
    return replace(row, **{change.name: change.value})
