"""The change feed: which keys changed after revision N, within a topic.

A revision is a number that only grows within an epoch and is assigned inside the writing
transaction, so revisions commit in order (db.py). The feed has one row per key, with its latest
change: its size is the number of keys, not of changes. A reader that has seen revision N asks for
newer rows and, since a row only names *what* changed, loads the thing itself: level-driven.

A store that was restored, or that failed over to a copy which lacked the last writes, assigns the
same revisions again to other changes. So a reader remembers a whole `Position`, not a revision, and
starts anew when the store's position does not continue it. docs/design/0007 says what makes up an
epoch.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from kumoi.base.errors import Bug
from kumoi.base.ids import new_hex_id
from kumoi.engine.db import pending, write_pending
from kumoi.engine.position import Position
from kumoi.engine.schema import feed, feed_revision
from kumoi.engine.statement import Statement, limit

CHANGES_MAX = 10_000


@dataclass(frozen=True, slots=True)
class Changes:
    """The changed `keys`, oldest change first, and the revision to read on from."""

    revision: int
    keys: tuple[str, ...]


def touch(connection: Connection, topic: str, key: str) -> None:
    """Record a change of `key` in `topic`, inside a `write` transaction. It is written at the end, once:
    a request that makes fifty networks touches the same key as often.
    """
    touched = pending(connection, _write_touched)
    touched.pop((topic, key), None)  # The latest change comes last.
    touched[topic, key] = None


def touch_all(connection: Connection, topic: str, keys: Collection[str]) -> None:
    """Record a change of each, in that order, inside a `write` transaction."""
    for key in keys:
        touch(connection, topic, key)


def forget(connection: Connection, topic: str, key: str) -> None:
    """Delete a key, once all readers have seen that what it named is gone."""
    write_pending(connection)
    connection.execute(sa.delete(feed).where(feed.c.topic == topic, feed.c.key == key))


def knows(connection: Connection, topic: str, key: str) -> bool:
    """Whether the key has changed, and was not forgotten since."""
    write_pending(connection)
    query = sa.select(feed.c.key).where(feed.c.topic == topic, feed.c.key == key)
    return connection.execute(query).first() is not None


def changes(connection: Connection, topic: str, *, since: int) -> Changes:
    """What changed after `since`, at most CHANGES_MAX keys, and the revision to go on from."""
    write_pending(connection)
    rows = _CHANGES.rows(connection, topic=topic, since=since, most=CHANGES_MAX)
    newest = rows[-1][1] if rows else max(since, 0)
    return Changes(newest, tuple(key for key, _ in rows))


def topics(connection: Connection, prefix: str, *, since: int) -> dict[str, int]:
    """Topics of that prefix with changes newer than `since`, each with its newest revision."""
    write_pending(connection)
    newer = _NEWER.rows(connection, since=since)
    return {topic: int(revision) for topic, revision in newer if topic.startswith(prefix)}


def position(connection: Connection) -> Position:
    """The store's newest revision and its epoch; revision 0 when nothing was ever written."""
    write_pending(connection)
    row = _POSITION[connection.dialect.name].row(connection)
    return Position() if row is None else Position("-".join(row[1:]), row[0])


def new_epoch(connection: Connection) -> None:
    """Begin an epoch, since revisions may have gone back. Called once in a store that was restored
    from a copy, before any role works on it, inside a `write` transaction.
    """
    if connection.execute(sa.update(feed_revision).values(epoch=new_hex_id())).rowcount == 0:
        connection.execute(sa.insert(feed_revision).values(value=0, epoch=new_hex_id()))


def _write_touched(connection: Connection, touched: Collection[tuple[str, str]]) -> None:
    first = _next_revision(connection, len(touched)) - len(touched) + 1
    changes = [
        {"of_topic": topic, "of_key": key, "topic": topic, "key": key, "revision": revision}
        for revision, (topic, key) in enumerate(touched, first)
    ]
    if len(changes) > 1:
        _DROP.run_all(connection, changes)
        _ADD.run_all(connection, changes)
    elif _RENEW.run(connection, changes[0]) == 0:
        _ADD.run(connection, changes[0])


def _next_revision(connection: Connection, steps: int) -> int:
    row = _ADVANCE.row(connection, steps=steps)
    if row is None or not row[1]:
        new_epoch(connection)
    if row is None:
        row = _ADVANCE.row(connection, steps=steps)
    if row is None:
        raise Bug("a revision that was made just now is not there")
    return int(row[0])


_ADVANCE = Statement(
    sa.update(feed_revision)
    .values(value=feed_revision.c.value + sa.bindparam("steps", type_=sa.Integer))
    .returning(feed_revision.c.value, feed_revision.c.epoch)
)
_RENEW = Statement(
    sa.update(feed).where(
        feed.c.topic == sa.bindparam("of_topic"), feed.c.key == sa.bindparam("of_key")
    ),
    ("revision",),
)
_DROP = Statement(
    sa.delete(feed).where(
        feed.c.topic == sa.bindparam("of_topic"), feed.c.key == sa.bindparam("of_key")
    )
)
_ADD = Statement(sa.insert(feed), ("topic", "key", "revision"))

# What PostgreSQL itself changes when a copy takes over: another cluster has another identifier, a
# promoted standby and a recovery to a point in time have another timeline, a dump that was read in
# has another table. It is the timeline that is written to now: that of the last checkpoint lags.
_POSTGRES_LIFE: sa.ColumnElement[str] = sa.literal_column(
    "(SELECT system_identifier FROM pg_control_system())"
    " || '-' || left(pg_walfile_name(pg_current_wal_lsn()), 8)"
    " || '-' || 'feed_revision'::regclass::oid",
    sa.Text,
)
_POSITION = {
    "sqlite": Statement(sa.select(feed_revision.c.value, feed_revision.c.epoch)),
    "postgresql": Statement(
        sa.select(feed_revision.c.value, feed_revision.c.epoch, _POSTGRES_LIFE)
    ),
}
_NEWER = Statement(
    sa.select(feed.c.topic, sa.func.max(feed.c.revision))
    .where(feed.c.revision > sa.bindparam("since"))
    .group_by(feed.c.topic)
)
_CHANGES = Statement(
    sa.select(feed.c.key, feed.c.revision)
    .where(feed.c.topic == sa.bindparam("topic"), feed.c.revision > sa.bindparam("since"))
    .order_by(feed.c.revision)
    .limit(limit("most"))
)
