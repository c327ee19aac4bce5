"""The change feed: which keys changed after revision N, within a topic.

A revision is a number that only grows and is given inside the writing transaction, so they commit
in order (db.py). The feed keeps one row per key, the latest change: its size is the number of
things, not of changes. A reader that has seen revision N asks for what is newer and, because each
row names only *what* changed, loads the thing itself: level-driven.
"""

from __future__ import annotations

from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from kumoi.engine.schema import feed, feed_revision

CHANGES_MAX = 10_000


@dataclass(frozen=True, slots=True)
class Changes:
    """`revision` is where to go on from; `keys` changed, oldest first."""

    revision: int
    keys: tuple[str, ...]


def touch(connection: Connection, topic: str, key: str) -> int:
    """Say that `key` of `topic` changed. Inside a `write` transaction. Gives its revision."""
    revision = connection.execute(
        sa.update(feed_revision)
        .values(value=feed_revision.c.value + 1)
        .returning(feed_revision.c.value)
    ).scalar_one_or_none()
    if revision is None:
        connection.execute(sa.insert(feed_revision).values(value=1))
        revision = 1
    seen = connection.execute(
        sa.update(feed).where(feed.c.topic == topic, feed.c.key == key).values(revision=revision)
    )
    if seen.rowcount == 0:
        connection.execute(sa.insert(feed).values(topic=topic, key=key, revision=revision))
    return int(revision)


def forget(connection: Connection, topic: str, key: str) -> None:
    """Drop a key whose readers have all seen that it is gone."""
    connection.execute(sa.delete(feed).where(feed.c.topic == topic, feed.c.key == key))


def changes(connection: Connection, topic: str, *, since: int) -> Changes:
    """What changed after `since`, at most CHANGES_MAX keys, and the revision to go on from."""
    rows = connection.execute(
        sa.select(feed.c.key, feed.c.revision)
        .where(feed.c.topic == topic, feed.c.revision > since)
        .order_by(feed.c.revision)
        .limit(CHANGES_MAX)
    ).all()
    newest = rows[-1].revision if rows else max(since, 0)
    return Changes(newest, tuple(row.key for row in rows))


def topics(connection: Connection, prefix: str, *, since: int) -> dict[str, int]:
    """Topics of that prefix in which something is newer than `since`, and how new."""
    rows = connection.execute(
        sa.select(feed.c.topic, sa.func.max(feed.c.revision))
        .where(feed.c.revision > since, feed.c.topic.startswith(prefix, autoescape=True))
        .group_by(feed.c.topic)
    )
    return {row[0]: int(row[1]) for row in rows}


def latest(connection: Connection) -> int:
    """The newest revision of all topics; 0 when nothing was ever written."""
    return connection.execute(sa.select(feed_revision.c.value)).scalar_one_or_none() or 0
