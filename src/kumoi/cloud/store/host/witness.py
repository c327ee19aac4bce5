"""What hosts are asked about another one that is not heard of, and what they answer: the rows. One for each host
that is asked, of the latest question.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from kumoi.cloud.store import schema
from kumoi.cloud.store.host import host as host_store
from kumoi.cloud.store.schema import ID, metadata
from kumoi.engine import feed
from kumoi.engine.db import Timestamp

KIND = "witness"
"""The first word of the feed's key by which a host is told that it is asked."""


@dataclass(frozen=True, slots=True)
class Witness:
    """`host_id` is asked about `about_host_id`, which is at `address`. `reached` is whether that address
    answers it; `tunnel` is "up" or "down", and empty where its switch does not watch that tunnel.
    """

    host_id: str
    about_host_id: str
    address: str
    asked_at: datetime
    answered_at: datetime | None = None
    reached: bool = False
    tunnel: str = ""


witness = sa.Table(
    "witness",
    metadata,
    sa.Column("host_id", ID, primary_key=True),
    sa.Column("about_host_id", ID, primary_key=True),
    sa.Column("address", sa.String(64), nullable=False),
    sa.Column("asked_at", Timestamp, nullable=False),
    sa.Column("answered_at", Timestamp),
    sa.Column("reached", sa.Boolean, nullable=False),
    sa.Column("tunnel", sa.String(16), nullable=False),
)


def ask(connection: Connection, row: Witness) -> None:
    """In place of an earlier question. The host is woken for it."""
    _delete(connection, row.host_id, row.about_host_id)
    schema.insert(connection, witness, schema.values(row))
    feed.touch(connection, host_store.topic(row.host_id), f"{KIND}/{row.about_host_id}")


def unanswered(connection: Connection, host_id: str) -> list[Witness]:
    """What that host is asked."""
    query = sa.select(witness).where(witness.c.host_id == host_id, witness.c.answered_at.is_(None))
    return schema.fetch(connection, query.order_by(witness.c.about_host_id), Witness)


def about(connection: Connection, host_id: str) -> list[Witness]:
    """What the others are asked about that host, and have answered."""
    query = sa.select(witness).where(witness.c.about_host_id == host_id)
    return schema.fetch(connection, query.order_by(witness.c.host_id), Witness)


def answer(
    connection: Connection,
    host_id: str,
    about_host_id: str,
    *,
    reached: bool,
    tunnel: str,
    now: datetime,
) -> None:
    """Nothing where it was not asked."""
    values = {"answered_at": now, "reached": reached, "tunnel": tunnel}
    connection.execute(
        sa.update(witness)
        .where(witness.c.host_id == host_id, witness.c.about_host_id == about_host_id)
        .values(**values)
    )
    host_store.forget_thing(connection, host_id, KIND, about_host_id)


def forget_about(connection: Connection, host_id: str) -> None:
    """That host is heard of again, or is no host any more."""
    for row in about(connection, host_id):
        host_store.forget_thing(connection, row.host_id, KIND, host_id)
    connection.execute(sa.delete(witness).where(witness.c.about_host_id == host_id))


def _delete(connection: Connection, host_id: str, about_host_id: str) -> None:
    connection.execute(
        sa.delete(witness).where(
            witness.c.host_id == host_id, witness.c.about_host_id == about_host_id
        )
    )
