"""Flavors: what is allowed. They are the administrator's; everybody may look at the public ones."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy.engine import Connection

from kumoi.base.errors import Conflict, NotFound
from kumoi.base.ids import new_id
from kumoi.cloud.domain.caller import Caller
from kumoi.cloud.store.compute import flavor as store
from kumoi.cloud.store.compute.flavor import Flavor
from kumoi.cloud.store.listing import Listing

PRIVATE = "os_compute_api:os-flavor-access"  # Its rule decides who sees all private flavors.
SIZE_COLUMNS = (
    "vcpus",
    "ram_mib",
    "disk_gib",
    "ephemeral_gib",
    "swap_mib",
    "extra_specs",
)
"""What a server's row has of its flavor, by the same names, beside the flavor's id and name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FlavorRequest:
    """A flavor to be made; the API has checked the form of each field. `id` of None is a new UUID."""

    name: str
    vcpus: int
    ram_mib: int
    disk_gib: int
    id: str | None = None
    description: str | None = None
    ephemeral_gib: int = 0
    swap_mib: int = 0
    rxtx_factor: float = 1.0
    is_public: bool = True
    extra_specs: dict[str, str] = field(default_factory=dict)


def server_columns(row: Flavor) -> dict[str, Any]:
    """The columns of a server that follow from its flavor."""
    sizes = {name: getattr(row, name) for name in SIZE_COLUMNS}
    return {"flavor_id": row.id, "flavor_name": row.name, **sizes}


def create(connection: Connection, wanted: FlavorRequest, now: datetime) -> Flavor:
    """Raises Conflict when another flavor has the name or the id."""
    key = wanted.id or new_id()
    if store.named(connection, wanted.name) is not None:
        raise Conflict(f"Flavor with name {wanted.name} already exists.")
    if store.get(connection, key) is not None:
        raise Conflict(f"Flavor with ID {key} already exists.")
    row = Flavor(
        id=key,
        name=wanted.name,
        description=wanted.description,
        vcpus=wanted.vcpus,
        ram_mib=wanted.ram_mib,
        disk_gib=wanted.disk_gib,
        ephemeral_gib=wanted.ephemeral_gib,
        swap_mib=wanted.swap_mib,
        rxtx_factor=wanted.rxtx_factor,
        is_public=wanted.is_public,
        extra_specs=wanted.extra_specs,
        created_at=now,
    )
    store.insert(connection, row)
    return row


def get(connection: Connection, caller: Caller, key: str) -> Flavor:
    """Raises NotFound when there is no such flavor that the caller may use."""
    row = store.get(connection, key)
    if row is None:
        raise NotFound("flavor", key)
    if row.is_public or caller.may(PRIVATE):
        return row
    if caller.project_id not in store.projects(connection, key):
        raise NotFound("flavor", key)
    return row


def page(
    connection: Connection,
    caller: Caller,
    wanted: Listing,
    *,
    is_public: bool | None,
    min_ram_mib: int,
    min_disk_gib: int,
) -> list[Flavor]:
    """The public flavors and those that the caller's project has access to. Who sees private ones
    chooses by `is_public`; None is all.
    """
    sees_all = caller.may(PRIVATE)
    return store.page(
        connection,
        wanted,
        is_public=is_public if sees_all else None,
        project_id=None if sees_all else (caller.project_id or ""),
        min_ram_mib=min_ram_mib,
        min_disk_gib=min_disk_gib,
    )


def describe(connection: Connection, caller: Caller, key: str, description: str | None) -> Flavor:
    get(connection, caller, key)
    store.update(connection, key, description=description)
    return get(connection, caller, key)


def delete(connection: Connection, key: str) -> None:
    """Servers made with the flavor keep their sizes. Raises NotFound."""
    if not store.delete(connection, key):
        raise NotFound("flavor", key)


def put_specs(
    connection: Connection, caller: Caller, key: str, specs: Mapping[str, str]
) -> dict[str, str]:
    """Add to the extra specs; gives all of them."""
    row = get(connection, caller, key)
    merged = row.extra_specs | dict(specs)
    store.update(connection, key, extra_specs=merged)
    return merged


def spec(connection: Connection, caller: Caller, key: str, name: str) -> str:
    """One extra spec. Raises NotFound."""
    row = get(connection, caller, key)
    if name not in row.extra_specs:
        raise NotFound("flavor extra spec", name)
    return row.extra_specs[name]


def delete_spec(connection: Connection, caller: Caller, key: str, name: str) -> None:
    """Raises NotFound."""
    row = get(connection, caller, key)
    if name not in row.extra_specs:
        raise NotFound("flavor extra spec", name)
    left = {spec: value for spec, value in row.extra_specs.items() if spec != name}
    store.update(connection, key, extra_specs=left)


def projects(connection: Connection, caller: Caller, key: str) -> list[str]:
    """The projects that have access. Raises NotFound for a public flavor, which all may use."""
    row = get(connection, caller, key)
    if row.is_public:
        raise NotFound("access list of the public flavor", key)
    return store.projects(connection, key)


def grant(connection: Connection, caller: Caller, key: str, project_id: str) -> list[str]:
    """Raises Conflict for a public flavor, and when the project has access already."""
    row = get(connection, caller, key)
    if row.is_public:
        raise Conflict("Can not add access to a public flavor.")
    if project_id in store.projects(connection, key):
        raise Conflict(f"Flavor access already exists for flavor {key} and project {project_id}.")
    store.grant(connection, key, project_id)
    return store.projects(connection, key)


def revoke(connection: Connection, caller: Caller, key: str, project_id: str) -> list[str]:
    """Raises Conflict for a public flavor, NotFound when the project has no access."""
    row = get(connection, caller, key)
    if row.is_public:
        raise Conflict("Can not remove access from a public flavor.")
    if not store.revoke(connection, key, project_id):
        raise NotFound("flavor access", f"{key}/{project_id}")
    return store.projects(connection, key)
