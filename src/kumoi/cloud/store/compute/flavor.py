"""Flavors: the rows, and which projects may use those that are not public."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from kumoi.cloud.store import listing, schema
from kumoi.cloud.store.listing import Listing
from kumoi.cloud.store.schema import ID, NAME, Where, metadata
from kumoi.engine.db import Json, Timestamp


@dataclass(frozen=True, slots=True)
class Flavor:
    id: str
    name: str
    description: str | None
    vcpus: int
    ram_mib: int
    disk_gib: int
    ephemeral_gib: int
    swap_mib: int
    rxtx_factor: float
    is_public: bool
    extra_specs: dict[str, str]
    created_at: datetime


flavor = sa.Table(
    "flavor",
    metadata,
    sa.Column("id", NAME, primary_key=True),
    sa.Column("name", NAME, nullable=False, unique=True),
    sa.Column("description", sa.Text),
    sa.Column("vcpus", sa.Integer, nullable=False),
    sa.Column("ram_mib", sa.Integer, nullable=False),
    sa.Column("disk_gib", sa.Integer, nullable=False),
    sa.Column("ephemeral_gib", sa.Integer, nullable=False),
    sa.Column("swap_mib", sa.Integer, nullable=False),
    sa.Column("rxtx_factor", sa.Float, nullable=False),
    sa.Column("is_public", sa.Boolean, nullable=False),
    sa.Column("extra_specs", Json, nullable=False),
    sa.Column("created_at", Timestamp, nullable=False),
)

flavor_access = sa.Table(
    "flavor_access",
    metadata,
    sa.Column("flavor_id", NAME, sa.ForeignKey("flavor.id", ondelete="CASCADE"), primary_key=True),
    sa.Column("project_id", ID, primary_key=True),
)

SORT_KEYS = {
    "flavorid": "id",
    "id": "id",
    "name": "name",
    "vcpus": "vcpus",
    "memory_mb": "ram_mib",
    "root_gb": "disk_gib",
    "ephemeral_gb": "ephemeral_gib",
    "swap": "swap_mib",
    "rxtx_factor": "rxtx_factor",
    "is_public": "is_public",
    "created_at": "created_at",
    "updated_at": "created_at",
    "description": "description",
    "disabled": "is_public",
    "vcpu_weight": "vcpus",
}


def insert(connection: Connection, row: Flavor) -> None:
    schema.insert(connection, flavor, schema.values(row))


def get(connection: Connection, key: str) -> Flavor | None:
    return schema.get(connection, flavor, Flavor, key)


def named(connection: Connection, name: str) -> Flavor | None:
    return schema.fetch_one(connection, sa.select(flavor).where(flavor.c.name == name), Flavor)


def page(
    connection: Connection,
    wanted: Listing,
    *,
    is_public: bool | None,
    project_id: str | None,
    min_ram_mib: int,
    min_disk_gib: int,
) -> list[Flavor]:
    """With `project_id`, the public flavors and those that the project has access to; otherwise the
    public or the private ones, as `is_public` says, or all.
    """
    least = {"least_ram_mib": min_ram_mib, "least_disk_gib": min_disk_gib}
    conditions = [Where("large", _large, least)]
    if project_id is not None:
        conditions.append(Where("seen", _seen, {"seen_by": project_id}))
    elif is_public is not None:
        conditions.append(Where("public", _public, {"wanted_public": is_public}))
    return listing.page(connection, flavor, Flavor, wanted, *conditions)


def _large() -> sa.ColumnElement[bool]:
    large_enough = flavor.c.ram_mib >= sa.bindparam("least_ram_mib")
    return large_enough & (flavor.c.disk_gib >= sa.bindparam("least_disk_gib"))


def _seen() -> sa.ColumnElement[bool]:
    has_access = flavor_access.c.project_id == sa.bindparam("seen_by")
    accessible = sa.select(flavor_access.c.flavor_id).where(has_access)
    return flavor.c.is_public | flavor.c.id.in_(accessible)


def _public() -> sa.ColumnElement[bool]:
    return flavor.c.is_public == sa.bindparam("wanted_public")


def update(connection: Connection, key: str, **values: Any) -> None:
    schema.update(connection, flavor, key, values)


def delete(connection: Connection, key: str) -> bool:
    return schema.delete(connection, flavor, key)


def projects(connection: Connection, key: str) -> list[str]:
    """The ids of the projects that have access, in order."""
    query = sa.select(flavor_access.c.project_id).where(flavor_access.c.flavor_id == key)
    return list(connection.execute(query.order_by(flavor_access.c.project_id)).scalars())


def grant(connection: Connection, key: str, project_id: str) -> None:
    schema.insert(connection, flavor_access, {"flavor_id": key, "project_id": project_id})


def revoke(connection: Connection, key: str, project_id: str) -> bool:
    """False when the project had no access."""
    done = connection.execute(
        sa.delete(flavor_access).where(
            flavor_access.c.flavor_id == key, flavor_access.c.project_id == project_id
        )
    )
    return done.rowcount == 1
