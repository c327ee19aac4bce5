"""The record of resizes and moves, which operators see as migrations. In a resize the server stays on its host."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy.engine import Connection

from kumoi.base.ids import new_id
from kumoi.cloud.domain.caller import Caller
from kumoi.cloud.domain.compute import status
from kumoi.cloud.store.compute import migration as store
from kumoi.cloud.store.compute import server as server_store
from kumoi.cloud.store.compute.migration import Migration, MigrationStatus
from kumoi.cloud.store.compute.server import Server
from kumoi.cloud.store.listing import Listing

WORDS = {"resized": "finished", "error": "error"}
"""What a migration is called whose server has come so far, and nobody has decided."""


def begin(
    connection: Connection,
    caller: Caller,
    row: Server,
    now: datetime,
    *,
    kind: str = store.RESIZE,
    to_host_id: str | None = None,
) -> None:
    """Record a resize, which is under way until its owner confirms or reverts it, or a move."""
    made = Migration(
        id=new_id(),
        number=store.next_number(connection),
        server_id=row.id,
        project_id=row.project_id,
        user_id=caller.user_id,
        host_id=row.host_id,
        status=MigrationStatus.MIGRATING.value,
        created_at=now,
        updated_at=now,
        kind=kind,
        to_host_id=to_host_id,
    )
    store.insert(connection, made)


def page(
    connection: Connection,
    wanted: Listing,
    *,
    since: datetime | None = None,
    until: datetime | None = None,
) -> list[tuple[Migration, str]]:
    """Each with its status in Nova's words."""
    rows = store.page(connection, wanted, since=since, until=until)
    open_ids = {row.server_id for row in rows if row.status == MigrationStatus.MIGRATING}
    servers = {row.id: row for row in server_store.several(connection, open_ids)}
    return [(row, _word(row, servers.get(row.server_id))) for row in rows]


def _word(row: Migration, server: Server | None) -> str:
    if row.status != MigrationStatus.MIGRATING or server is None:
        return row.status
    if row.kind != store.RESIZE:
        return "running" if row.kind == store.LIVE else row.status
    return WORDS.get(status.of(server).vm_state, row.status)
