"""Runner scripts: one of each release that began a run, by the hash of its text.

A runner goes on with the script that its run began with, whichever release serves it, and also when
its server is made after an update. There is one row per release, so none is ever deleted.
"""

from __future__ import annotations

import hashlib

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from kumoi.pipeline.store.schema import metadata

script = sa.Table(
    "script",
    metadata,
    sa.Column("hash", sa.String(64), primary_key=True),
    sa.Column("text", sa.Text, nullable=False),
)


def ensure(connection: Connection, text: str) -> str:
    """Store the script unless it is there; its hash."""
    digest = hashlib.sha256(text.encode()).hexdigest()
    if get(connection, digest) is None:
        connection.execute(sa.insert(script).values(hash=digest, text=text))
    return digest


def get(connection: Connection, digest: str) -> str | None:
    return connection.execute(sa.select(script.c.text).where(script.c.hash == digest)).scalar()
