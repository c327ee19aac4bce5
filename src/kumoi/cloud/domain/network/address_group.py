"""Address groups: networks that rules of security groups name together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy.engine import Connection

from kumoi.base.errors import Conflict, Invalid, NotFound
from kumoi.base.ids import new_id
from kumoi.cloud.domain.caller import Caller
from kumoi.cloud.domain.network import quota
from kumoi.cloud.store.network import address_group as store
from kumoi.cloud.store.network import security_group_rule as rule_store
from kumoi.cloud.store.network.address_group import AddressGroup
from kumoi.cloud.store.network.standard import NetworkQuery

ADDRESSES_MAX = 200  # Each is a flow on the hosts of the ports that have a rule with the group.


@dataclass(frozen=True, slots=True, kw_only=True)
class AddressGroupRequest:
    project_id: str
    name: str = ""
    description: str = ""
    addresses: Sequence[str] = ()


def create(
    connection: Connection, caller: Caller, wanted: AddressGroupRequest, now: datetime
) -> AddressGroup:
    """Raises Forbidden, OverQuota, Invalid for too many addresses."""
    caller.check("create_address_group", wanted.project_id)
    quota.require(connection, wanted.project_id, "address_group")
    row = AddressGroup(
        id=new_id(),
        project_id=wanted.project_id,
        name=wanted.name,
        description=wanted.description,
        addresses=_few(wanted.addresses),
        created_at=now,
        updated_at=now,
        revision_number=0,
    )
    store.insert(connection, row)
    return row


def get(connection: Connection, caller: Caller, key: str) -> AddressGroup:
    """Raises NotFound when there is no such group that the caller may see."""
    row = store.get(connection, key)
    if row is None or not caller.may("get_address_group", row.project_id):
        raise NotFound("address group", key, message=f"Address group {key} could not be found.")
    return row


def page(connection: Connection, caller: Caller, query: NetworkQuery) -> list[AddressGroup]:
    return store.page(connection, query, project_id=caller.reach("get_address_group"))


def update(
    connection: Connection, caller: Caller, key: str, values: Mapping[str, Any], now: datetime
) -> AddressGroup:
    """Raises NotFound, Forbidden."""
    caller.check("update_address_group", get(connection, caller, key).project_id)
    store.update(connection, key, now=now, **values)
    return get(connection, caller, key)


def add_addresses(
    connection: Connection, caller: Caller, key: str, addresses: Sequence[str], now: datetime
) -> AddressGroup:
    """Raises as `update` does, and Invalid for one that the group has."""
    row = get(connection, caller, key)
    present = [address for address in addresses if address in row.addresses]
    if present:
        raise Invalid(
            f"Addresses {present} already exist in the address group {key}.",
            field="addresses",
            kind="AddressesAlreadyExist",
        )
    return update(connection, caller, key, {"addresses": _few([*row.addresses, *addresses])}, now)


def remove_addresses(
    connection: Connection, caller: Caller, key: str, addresses: Sequence[str], now: datetime
) -> AddressGroup:
    """Raises as `update` does, and NotFound for one that the group does not have."""
    row = get(connection, caller, key)
    missing = [address for address in addresses if address not in row.addresses]
    if missing:
        raise NotFound(
            "addresses",
            key,
            kind="AddressesNotFound",
            message=f"Addresses {missing} not found in the address group {key}.",
        )
    left = [address for address in row.addresses if address not in addresses]
    return update(connection, caller, key, {"addresses": left}, now)


def delete(connection: Connection, caller: Caller, key: str, _now: datetime) -> None:
    """Raises NotFound, Forbidden, and Conflict while a rule names it."""
    caller.check("delete_address_group", get(connection, caller, key).project_id)
    if rule_store.names_address_group(connection, key):
        raise Conflict(
            f"Address group {key} is in use on one or more security group rules.",
            kind="AddressGroupInUse",
        )
    store.delete(connection, key)


def _few(addresses: Sequence[str]) -> list[str]:
    """Each one once."""
    once = list(dict.fromkeys(addresses))
    if len(once) > ADDRESSES_MAX:
        raise Invalid(f"an address group has at most {ADDRESSES_MAX} addresses", field="addresses")
    return once
