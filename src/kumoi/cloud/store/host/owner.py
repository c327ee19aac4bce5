"""Whose the things are that a host's switch has, by their ids."""

from __future__ import annotations

from collections.abc import Collection

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from kumoi.cloud.store import schema
from kumoi.cloud.store.load_balancer.load_balancer import load_balancer
from kumoi.cloud.store.load_balancer.station import station
from kumoi.cloud.store.network.port import port
from kumoi.cloud.store.network.router import router

SOURCES = (
    (port.c.id, sa.select(port.c.id, port.c.project_id)),
    (router.c.id, sa.select(router.c.id, router.c.project_id)),
    (load_balancer.c.id, sa.select(load_balancer.c.id, load_balancer.c.project_id)),
    (
        station.c.id,
        sa.select(station.c.id, load_balancer.c.project_id).join_from(station, load_balancer),
    ),
)


def projects(connection: Connection, ids: Collection[str]) -> dict[str, str]:
    """The project of each port, router, balancer and station of a balancer among them."""
    return {
        row["id"]: row["project_id"]
        for column, query in SOURCES
        for row in schema.among(connection, query, column, ids)
    }
