"""Revocations of tokens: the rows. domain/identity/token.py keeps them in memory.

A token carries the generation that its user and its project had when it was made. A row of kind
`user`, `project` or `grant` ends all tokens of an older generation than its own; one of kind
`token` or `credential` ends that token, or all of that credential. Generations are counted inside
writing transactions, so no clock decides. A row goes when no token can be left that it ends; those of
single tokens and credentials also when all tokens of their user are ended.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from kumoi.cloud.store.schema import insert_all, metadata
from kumoi.engine import feed
from kumoi.engine.db import Timestamp
from kumoi.engine.position import Position
from kumoi.engine.statement import Statement

TOPIC = "revocation"
FEED_KEY = "list"
EVERYTHING = 2**31 - 1  # Newer than any generation.


class RevocationKind(enum.StrEnum):
    TOKEN = "token"  # noqa: S105 - the key is an audit id
    CREDENTIAL = "credential"  # The key is an application credential.
    USER = "user"
    PROJECT = "project"
    GRANT = "grant"  # A user's roles on one project or domain; see grant_key.


Key = tuple[RevocationKind, str]


@dataclass(frozen=True, slots=True)
class End:
    """Tokens older than `generation` have ended; by `expires_at` none of them is left. Of a single token or
    credential, `user_id` is whose tokens these are. `revision` is the store's, when it was written.
    """

    generation: int
    expires_at: datetime
    user_id: str | None = None
    revision: int = 0


@dataclass(frozen=True, slots=True)
class Revoked:
    """Revocations by key, and the position up to which they are known. `whole` is all of them; otherwise those
    since an earlier position of the same epoch.
    """

    ends: dict[Key, End] = field(default_factory=dict)
    position: Position = field(default_factory=Position)
    whole: bool = False


revocation = sa.Table(
    "revocation",
    metadata,
    sa.Column("kind", sa.String(16), primary_key=True),
    sa.Column("key", sa.String(130), primary_key=True),
    sa.Column("generation", sa.Integer, nullable=False),
    sa.Column("expires_at", Timestamp, nullable=False, index=True),
    sa.Column("revision", sa.BigInteger, nullable=False, index=True),
    sa.Column("user_id", sa.String(64), index=True),  # None where the release before wrote it.
)


def grant_key(user_id: str, target_id: str) -> str:
    return f"{user_id}:{target_id}"


def add(connection: Connection, ends: dict[Key, End], now: datetime) -> None:
    """Add revocations, and delete those of which all tokens have expired."""
    if not ends:
        return
    connection.execute(sa.delete(revocation).where(revocation.c.expires_at <= now))
    rows: list[dict[str, Any]] = [
        {
            "kind": kind,
            "key": key,
            "generation": end.generation,
            "expires_at": end.expires_at,
            "user_id": end.user_id,
        }
        for (kind, key), end in ends.items()
    ]
    feed.touch(connection, TOPIC, FEED_KEY)
    revision = feed.position(connection).revision
    for row in rows:
        same = (revocation.c.kind == row["kind"]) & (revocation.c.key == row["key"])
        connection.execute(sa.delete(revocation).where(same))
    insert_all(connection, revocation, [{**row, "revision": revision} for row in rows])


def count_of_user(connection: Connection, user_id: str) -> int:
    """Of single tokens and credentials."""
    query = sa.select(sa.func.count()).where(revocation.c.user_id == user_id)
    return int(connection.execute(query).scalar_one())


def delete_of_user(connection: Connection, user_id: str) -> None:
    """Those of single tokens and credentials."""
    connection.execute(sa.delete(revocation).where(revocation.c.user_id == user_id))


def get(connection: Connection, keys: Iterable[Key]) -> dict[Key, End]:
    """The revocations with these keys."""
    same = [(revocation.c.kind == kind) & (revocation.c.key == key) for kind, key in keys]
    rows = connection.execute(sa.select(revocation).where(sa.or_(*same)))
    return {
        (RevocationKind(row.kind), row.key): End(row.generation, row.expires_at) for row in rows
    }


def load(connection: Connection, seen: Position) -> Revoked:
    """The revocations after a position; all of them when the position is of another epoch."""
    now = feed.position(connection)
    whole = not now.continues(seen)
    return Revoked(_ends(connection, since=0 if whole else seen.revision), now, whole)


def every(connection: Connection) -> dict[Key, End]:
    """Without the position, which a server that follows another does not have."""
    return _ends(connection, since=0)


def _ends(connection: Connection, *, since: int) -> dict[Key, End]:
    return {
        (RevocationKind(kind), key): End(*end)
        for kind, key, *end in _NEWER.rows(connection, since=since)
    }


_NEWER = Statement(
    sa.select(
        revocation.c.kind,
        revocation.c.key,
        revocation.c.generation,
        revocation.c.expires_at,
        revocation.c.user_id,
        revocation.c.revision,
    ).where(revocation.c.revision > sa.bindparam("since"))
)
