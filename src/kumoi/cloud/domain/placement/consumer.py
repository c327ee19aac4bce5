"""What servers claim, by the server and by its owner."""

from __future__ import annotations

from sqlalchemy.engine import Connection

from kumoi.cloud.domain.compute import server as server_domain
from kumoi.cloud.domain.placement import provider
from kumoi.cloud.domain.placement.provider import ResourceAllocation
from kumoi.cloud.store.compute import server as store


def allocations(connection: Connection, key: str) -> list[ResourceAllocation]:
    """What one server claims; nothing where there is none."""
    row = store.get(connection, key)
    return [] if row is None else provider.allocations(connection, [row])


def allocations_of_project(
    connection: Connection, project_id: str, *, user_id: str | None
) -> list[ResourceAllocation]:
    """What its servers claim, or those of one user there."""
    rows = server_domain.with_deleted(connection, project_id=project_id)
    mine = [row for row in rows if user_id in (None, row.user_id)]
    return provider.allocations(connection, mine)
