"""What follows when a host has sent the image of a server, or could not make it."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy.engine import Connection

from kumoi.cloud.domain.compute import shelve, snapshot
from kumoi.cloud.store.compute import server as store
from kumoi.cloud.store.compute.server import Server


def finish(connection: Connection, image_id: str, now: datetime) -> None:
    """After the upload."""
    _go_on(connection, snapshot.finish(connection, image_id, now), now)


def give_up(connection: Connection, host_id: str, image_id: str, now: datetime) -> None:
    """The host cannot make the image. Raises NotFound when it was to make none."""
    _go_on(connection, snapshot.give_up(connection, host_id, image_id, now), now)


def _go_on(connection: Connection, server: Server | None, now: datetime) -> None:
    row = None if server is None else store.get(connection, server.id)
    if row is not None:
        shelve.advance(connection, row, now)
