"""Images: the rows, with their tags and their own properties.

`sha256` names the file that holds the content (drivers/image/files.py) and is what hosts check;
`sha512` and `checksum` (MD5) are what the API shows. All three are None until there is content.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from kumoi.cloud.store import listing, schema
from kumoi.cloud.store.listing import Condition, Listing
from kumoi.cloud.store.schema import ID, NAME, metadata
from kumoi.engine.db import Timestamp
from kumoi.engine.memo import Memo
from kumoi.engine.statement import KeyedStatement


@dataclass(frozen=True, slots=True)
class Image:
    """`owner` is a project's id. `content_format` is the format found in the content."""

    id: str
    name: str | None
    status: str
    visibility: str
    owner: str | None
    container_format: str | None
    disk_format: str | None
    content_format: str | None
    min_disk: int
    min_ram: int
    size: int | None
    virtual_size: int | None
    checksum: str | None
    sha512: str | None
    sha256: str | None
    protected: bool
    os_hidden: bool
    created_at: datetime
    updated_at: datetime
    properties: dict[str, str] = field(default_factory=dict)
    tags: tuple[str, ...] = ()


image = sa.Table(
    "image",
    metadata,
    sa.Column("id", ID, primary_key=True),
    sa.Column("name", NAME),
    sa.Column("status", sa.String(16), nullable=False),
    sa.Column("visibility", sa.String(16), nullable=False),
    sa.Column("owner", ID, index=True),
    sa.Column("container_format", sa.String(16)),
    sa.Column("disk_format", sa.String(16)),
    sa.Column("content_format", sa.String(16)),
    sa.Column("min_disk", sa.Integer, nullable=False),
    sa.Column("min_ram", sa.Integer, nullable=False),
    sa.Column("size", sa.BigInteger),
    sa.Column("virtual_size", sa.BigInteger),
    sa.Column("checksum", sa.String(32)),
    sa.Column("sha512", sa.String(128)),
    sa.Column("sha256", sa.String(64), index=True),
    sa.Column("protected", sa.Boolean, nullable=False),
    sa.Column("os_hidden", sa.Boolean, nullable=False),
    sa.Column("created_at", Timestamp, nullable=False),
    sa.Column("updated_at", Timestamp, nullable=False),
)

image_property = sa.Table(
    "image_property",
    metadata,
    sa.Column("image_id", ID, sa.ForeignKey("image.id"), primary_key=True),
    sa.Column("name", NAME, primary_key=True),
    sa.Column("value", sa.Text, nullable=False),
)

image_tag = sa.Table(
    "image_tag",
    metadata,
    sa.Column("image_id", ID, sa.ForeignKey("image.id"), primary_key=True),
    sa.Column("tag", NAME, primary_key=True),
)

_PROPERTIES = KeyedStatement(
    sa.select(image_property.c.image_id, image_property.c.name, image_property.c.value),
    image_property.c.image_id,
)
_TAGS = KeyedStatement(sa.select(image_tag.c.image_id, image_tag.c.tag), image_tag.c.image_id)

PARTS = ("properties", "tags")  # Fields that have tables of their own.


def insert(connection: Connection, row: Image) -> None:
    values = schema.values(row)
    for part in PARTS:
        values.pop(part)
    schema.insert(connection, image, values)
    _insert_parts(connection, row.id, row.properties, row.tags)


def get(connection: Connection, key: str) -> Image | None:
    found = schema.fetch(connection, sa.select(image).where(image.c.id == key), Image)
    return _with_parts(connection, found)[0] if found else None


def page(connection: Connection, wanted: Listing, conditions: Sequence[Condition]) -> list[Image]:
    """One page; `conditions` come from image_filter.py."""
    found = listing.page(connection, image, Image, wanted, *conditions)
    return _with_parts(connection, found, _same)


def active_public(connection: Connection) -> list[Image]:
    """The images that every tenant can make servers from."""
    query = sa.select(image).where(image.c.status == "active", image.c.visibility == "public")
    found = schema.fetch(connection, query.order_by(image.c.id), Image)
    return _with_parts(connection, found)


def having(connection: Connection, name: str, value: str) -> list[Image]:
    """The images that have a property of that value."""
    query = (
        sa.select(image)
        .join(image_property, image_property.c.image_id == image.c.id)
        .where(image_property.c.name == name, image_property.c.value == value)
    )
    return _with_parts(connection, schema.fetch(connection, query.order_by(image.c.id), Image))


def update(connection: Connection, key: str, values: Mapping[str, Any]) -> None:
    """`properties` and `tags` in `values` replace all of them."""
    columns = {name: value for name, value in values.items() if name not in PARTS}
    schema.update(connection, image, key, columns)
    if "properties" in values:
        connection.execute(sa.delete(image_property).where(image_property.c.image_id == key))
        _insert_parts(connection, key, values["properties"], ())
    if "tags" in values:
        connection.execute(sa.delete(image_tag).where(image_tag.c.image_id == key))
        _insert_parts(connection, key, {}, values["tags"])


def delete(connection: Connection, key: str) -> None:
    for table in (image_property, image_tag):
        connection.execute(sa.delete(table).where(table.c.image_id == key))
    schema.delete(connection, image, key)


def held(connection: Connection, owner: str | None) -> tuple[int, int]:
    """How many images a project has, and the bytes of their content."""
    query = sa.select(sa.func.count(), sa.func.coalesce(sa.func.sum(image.c.size), 0))
    count, size = connection.execute(query.where(image.c.owner == owner)).one()
    return int(count), int(size)


def contents(connection: Connection) -> set[str]:
    """The sha256 of the content of all images."""
    query = sa.select(image.c.sha256).where(image.c.sha256.is_not(None)).distinct()
    return set(connection.execute(query).scalars())


def has_content(connection: Connection, sha256: str) -> bool:
    """Whether any image has this content."""
    query = sa.select(image.c.id).where(image.c.sha256 == sha256).limit(1)
    return connection.execute(query).first() is not None


def _with(row: Image, properties: dict[str, str], tags: tuple[str, ...]) -> Image:
    return replace(row, properties=properties, tags=tags) if properties or tags else row


def _same(row: Image, properties: dict[str, str], tags: tuple[str, ...]) -> Image:
    """The same object for the same row and parts; see engine/memo.py."""
    if not properties and not tags:
        return row
    return _WITH_PARTS.get((row,), tuple(properties.items()), tags)


def _join(
    nouns: tuple[Image], properties: tuple[tuple[str, str], ...], tags: tuple[str, ...]
) -> Image:
    return _with(*nouns, dict(properties), tags)


_WITH_PARTS = Memo(_join)
MakeImage = Callable[[Image, dict[str, str], tuple[str, ...]], Image]


def _insert_parts(
    connection: Connection, key: str, properties: Mapping[str, str], tags: Collection[str]
) -> None:
    schema.insert_all(
        connection,
        image_property,
        [{"image_id": key, "name": name, "value": value} for name, value in properties.items()],
    )
    schema.insert_all(
        connection, image_tag, [{"image_id": key, "tag": tag} for tag in sorted(set(tags))]
    )


def _with_parts(
    connection: Connection, rows: Sequence[Image], make: MakeImage = _with
) -> list[Image]:
    ids = [row.id for row in rows]
    properties: dict[str, dict[str, str]] = {key: {} for key in ids}
    tags: dict[str, list[str]] = {key: [] for key in ids}
    if ids:
        for key, name, value in sorted(_PROPERTIES.rows(connection, ids)):
            properties[key][name] = value
        for key, word in sorted(_TAGS.rows(connection, ids)):
            tags[key].append(word)
    return [make(row, properties[row.id], tuple(tags[row.id])) for row in rows]
