"""Tags: words that a user puts on any noun of the network service."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from kumoi.cloud.store import schema
from kumoi.cloud.store.schema import ID, metadata
from kumoi.engine.statement import Among, Statement

tag = sa.Table(
    "network_tag",
    metadata,
    sa.Column("resource_id", ID, primary_key=True),
    sa.Column("tag", sa.String(255), primary_key=True),
)


_OF = Statement(
    sa.select(tag.c.tag).where(tag.c.resource_id == sa.bindparam("key")).order_by(tag.c.tag)
)
_OF_MANY = Among(sa.select(tag.c.resource_id, tag.c.tag), tag.c.resource_id)


@dataclass(frozen=True, slots=True)
class TagFilter:
    """Things that have all of one set of tags, any of another, and the negations of both."""

    all: tuple[str, ...] = ()
    any: tuple[str, ...] = ()
    not_all: tuple[str, ...] = ()
    not_any: tuple[str, ...] = ()


def of(connection: Connection, key: str) -> list[str]:
    return [word for (word,) in _OF.rows(connection, key=key)]


def of_many(connection: Connection, keys: Collection[str]) -> dict[str, list[str]]:
    """Tags by thing; things without are left out."""
    found: dict[str, list[str]] = defaultdict(list)
    for key, word in _OF_MANY.rows(connection, keys):
        found[key].append(word)
    return {key: sorted(words) for key, words in found.items()}


def replace(connection: Connection, key: str, words: Collection[str]) -> None:
    connection.execute(sa.delete(tag).where(tag.c.resource_id == key))
    schema.insert_all(
        connection, tag, [{"resource_id": key, "tag": word} for word in sorted(set(words))]
    )


def conditions(column: sa.Column[Any], wanted: TagFilter) -> list[sa.ColumnElement[bool]]:
    """As conditions on the id column of any table."""
    found: list[sa.ColumnElement[bool]] = []
    if wanted.all:
        found.append(sa.and_(*(_has(column, (word,)) for word in wanted.all)))
    if wanted.any:
        found.append(_has(column, wanted.any))
    if wanted.not_all:
        found.append(sa.not_(sa.and_(*(_has(column, (word,)) for word in wanted.not_all))))
    if wanted.not_any:
        found.append(sa.not_(_has(column, wanted.not_any)))
    return found


def _has(column: sa.Column[Any], words: Sequence[str]) -> sa.ColumnElement[bool]:
    return column.in_(sa.select(tag.c.resource_id).where(tag.c.tag.in_(words)))
