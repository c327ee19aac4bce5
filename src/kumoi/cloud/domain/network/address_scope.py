"""Address scopes: pools of subnets whose addresses mean the same wherever they are routed, so that none
overlaps with another. Between a network and an external one of the same scope no router translates.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy.engine import Connection

from kumoi.base.errors import Conflict, Invalid, NotFound
from kumoi.base.ids import new_id
from kumoi.cloud.domain.caller import Caller
from kumoi.cloud.store.network import address_scope as store
from kumoi.cloud.store.network import subnet_pool as pool_store
from kumoi.cloud.store.network.address_scope import AddressScope
from kumoi.cloud.store.network.standard import NetworkQuery


@dataclass(frozen=True, slots=True, kw_only=True)
class AddressScopeRequest:
    project_id: str
    ip_version: int
    name: str = ""
    shared: bool = False


def create(
    connection: Connection, caller: Caller, wanted: AddressScopeRequest, now: datetime
) -> AddressScope:
    """Raises Forbidden, also for a shared one of somebody who is no administrator."""
    caller.check("create_address_scope", wanted.project_id)
    if wanted.shared:
        caller.check("create_address_scope:shared")
    row = AddressScope(
        id=new_id(),
        project_id=wanted.project_id,
        name=wanted.name,
        description="",
        ip_version=wanted.ip_version,
        shared=wanted.shared,
        created_at=now,
        updated_at=now,
        revision_number=0,
    )
    store.insert(connection, row)
    return row


def get(connection: Connection, caller: Caller, key: str) -> AddressScope:
    """Raises NotFound when there is no such scope that the caller may see."""
    row = store.get(connection, key)
    if row is None or not (row.shared or caller.may("get_address_scope", row.project_id)):
        raise not_found(key)
    return row


def page(connection: Connection, caller: Caller, query: NetworkQuery) -> list[AddressScope]:
    return store.page(connection, query, project_id=caller.reach("get_address_scope"))


def update(
    connection: Connection, caller: Caller, key: str, values: Mapping[str, Any], now: datetime
) -> AddressScope:
    """Raises NotFound, Forbidden, and Invalid for a shared scope that is to be no more so."""
    row = get(connection, caller, key)
    caller.check("update_address_scope", row.project_id)
    if "shared" in values:
        caller.check("update_address_scope:shared")
    if row.shared and not values.get("shared", True):
        raise Invalid(
            f"Unable to update address scope {key} : Shared address scope can't be unshared.",
            kind="AddressScopeUpdateError",
        )
    store.update(connection, key, now=now, **values)
    return get(connection, caller, key)


def delete(connection: Connection, caller: Caller, key: str, _now: datetime) -> None:
    """Raises NotFound, Forbidden, and Conflict while a pool is in it."""
    caller.check("delete_address_scope", get(connection, caller, key).project_id)
    if pool_store.find(connection, address_scope_id=key):
        raise Conflict(
            f"Unable to complete operation on address scope {key}. There are one or more subnet "
            "pools in use on the address scope.",
            kind="AddressScopeInUse",
        )
    store.delete(connection, key)


def not_found(key: str) -> NotFound:
    return NotFound(
        "address scope",
        key,
        kind="AddressScopeNotFound",
        message=f"Address scope {key} could not be found.",
    )


def illegal(pool: str, key: str) -> Invalid:
    return Invalid(
        f"Illegal subnetpool association: subnetpool {pool} cannot be associated with address scope "
        f"{key}.",
        field="address_scope_id",
        kind="IllegalSubnetPoolAssociationToAddressScope",
    )
