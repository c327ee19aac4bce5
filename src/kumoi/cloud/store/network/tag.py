"""Tags: words that users put on networks, ports and so on."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from kumoi.cloud.store import schema, tag_filter
from kumoi.cloud.store.schema import ID, metadata
from kumoi.cloud.store.tag_filter import TagFilter
from kumoi.engine.statement import KeyedStatement, Statement

tag = sa.Table(
    "network_tag",
    metadata,
    sa.Column("resource_id", ID, primary_key=True),
    sa.Column("tag", sa.String(255), primary_key=True),
)


_OF = Statement(
    sa.select(tag.c.tag).where(tag.c.resource_id == sa.bindparam("key")).order_by(tag.c.tag)
)
_CLEAR = Statement(sa.delete(tag).where(tag.c.resource_id == sa.bindparam("key")))
_OF_MANY = KeyedStatement(sa.select(tag.c.resource_id, tag.c.tag), tag.c.resource_id)


def of(connection: Connection, key: str) -> list[str]:
    return [word for (word,) in _OF.rows(connection, key=key)]


def of_many(connection: Connection, keys: Collection[str]) -> dict[str, list[str]]:
    """The tags of several resources, by resource; those without tags are left out."""
    found: dict[str, list[str]] = defaultdict(list)
    for key, word in _OF_MANY.rows(connection, keys):
        found[key].append(word)
    return {key: sorted(words) for key, words in found.items()}


def replace(connection: Connection, key: str, words: Collection[str]) -> None:
    _CLEAR.run(connection, {"key": key})
    schema.insert_all(
        connection, tag, [{"resource_id": key, "tag": word} for word in sorted(set(words))]
    )


def insert_all(connection: Connection, words: Mapping[str, Collection[str]]) -> None:
    """The tags of resources that have none yet, by resource."""
    rows = [
        {"resource_id": key, "tag": word}
        for key, tags in words.items()
        for word in sorted(set(tags))
    ]
    schema.insert_all(connection, tag, rows)


def delete_all(connection: Connection, keys: Collection[str]) -> None:
    """All tags of several resources."""
    connection.execute(sa.delete(tag).where(tag.c.resource_id.in_(keys)))


def conditions(column: sa.Column[Any], wanted: TagFilter) -> list[sa.ColumnElement[bool]]:
    """The filter as conditions on the id column of a table."""
    return tag_filter.conditions(column, tag.c.resource_id, tag.c.tag, wanted)
