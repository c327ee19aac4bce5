"""What servers claim, by the server and by its owner."""

from __future__ import annotations

from sqlalchemy.engine import Connection

from kumoi.cloud.domain.placement import provider
from kumoi.cloud.domain.placement.provider import ResourceAllocation
from kumoi.cloud.store.compute import server as store
from kumoi.cloud.store.compute import server_list
from kumoi.cloud.store.compute.server_list import ServerFilter


def allocations(connection: Connection, key: str) -> list[ResourceAllocation]:
    """What one server claims; nothing where there is none."""
    row = store.get(connection, key)
    return [] if row is None else provider.allocations(connection, [row])


def allocations_of_project(
    connection: Connection, project_id: str, *, user_id: str | None
) -> list[ResourceAllocation]:
    """What its servers claim, or those of one user there."""
    among = {"project_id": [project_id]}
    if user_id is not None:
        among["user_id"] = [user_id]
    where = ServerFilter(among=among)
    found = server_list.batches(connection, where, (), marker=None, size=store.BATCH)
    return provider.allocations(connection, [row for rows in found for row in rows])
