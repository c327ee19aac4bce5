"""The console output of servers. Their hosts send it when it changes, so that the API can show it
without asking a host.
"""

from __future__ import annotations

from datetime import datetime

from sqlalchemy.engine import Connection

from kumoi.base.errors import NotFound
from kumoi.cloud.store.compute import console as store
from kumoi.cloud.store.compute import server as server_store
from kumoi.cloud.store.compute.server import Server

OUTPUT_MAX = 65_536


def keep(
    connection: Connection, host_id: str, server_id: str, output: bytes, now: datetime
) -> None:
    """Keep the end of a server's output. Raises NotFound when the host has no such server."""
    row = server_store.get(connection, server_id)
    if row is None or row.deleted or row.host_id != host_id:
        raise NotFound("instance", server_id)
    text = output[-OUTPUT_MAX:].decode(errors="replace").replace("\x00", "")
    store.put(connection, server_id, text, now)


def tail(connection: Connection, server: Server, *, lines: int | None) -> str:
    """The last `lines` lines; all there are for None and for -1."""
    text = store.get(connection, server.id)
    if lines is None or lines < 0:
        return text
    found = text.splitlines(keepends=True)
    return "".join(found[max(0, len(found) - lines) :])
