"""Networks: what is allowed. Each function takes the open transaction and touches nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy.engine import Connection

from kumoi.base.errors import Conflict, Invalid, NotFound
from kumoi.base.ids import new_id
from kumoi.cloud.domain.caller import Caller
from kumoi.cloud.domain.network import provider, qos_policy, quota, security_group
from kumoi.cloud.store.network import floating_ip as floating_ip_store
from kumoi.cloud.store.network import network as store
from kumoi.cloud.store.network import port as port_store
from kumoi.cloud.store.network import subnet as subnet_store
from kumoi.cloud.store.network.network import Network
from kumoi.cloud.store.network.standard import NetworkQuery

TENANT_MTU = 1442  # 1,500 less Geneve over IPv4.
EXTERNAL_MTU = 1500
# The fields that only an administrator may set, and the API's words for them.
ADMIN_ONLY = {
    "shared": "shared",
    "external": "router:external",
    "is_default": "is_default",
    "network_type": "provider:network_type",
    "physical_network": "provider:physical_network",
    "segmentation_id": "provider:segmentation_id",
}
MTU_MIN = {4: 68, 6: 1280}
"""What each IP version needs at least."""
PORTS_NAMED_MAX = 10  # In an error's message.


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkRequest:
    """A network to be made. The API has checked the form of each field."""

    project_id: str
    name: str = ""
    description: str = ""
    admin_state_up: bool = True
    shared: bool = False
    external: bool = False
    is_default: bool = False
    port_security_enabled: bool = True
    mtu: int | None = None
    network_type: str | None = None
    physical_network: str | None = None
    segmentation_id: int | None = None
    qos_policy_id: str | None = None
    dns_domain: str = ""


def create(
    connection: Connection, caller: Caller, wanted: NetworkRequest, now: datetime
) -> Network:
    """Raises Forbidden for what only an administrator may set, Invalid for what no host carries."""
    caller.check("create_network", wanted.project_id)
    for name, word in ADMIN_ONLY.items():
        if getattr(wanted, name) not in (False, None):
            caller.check(f"create_network:{word}")
    network_type = provider.network_type(
        wanted.network_type, wanted.physical_network, wanted.segmentation_id
    )
    _require_mtu(wanted.mtu, external=wanted.external)
    qos_policy.require_change(connection, caller, None, {"qos_policy_id": wanted.qos_policy_id})
    quota.require(connection, wanted.project_id, "network")
    security_group.ensure_default(connection, wanted.project_id, now)
    row = Network(
        id=new_id(),
        project_id=wanted.project_id,
        name=wanted.name,
        description=wanted.description,
        admin_state_up=wanted.admin_state_up,
        shared=wanted.shared,
        external=wanted.external,
        is_default=wanted.is_default,
        port_security_enabled=wanted.port_security_enabled,
        mtu=wanted.mtu or (EXTERNAL_MTU if wanted.external else TENANT_MTU),
        network_type=network_type,
        physical_network=wanted.physical_network,
        segmentation_id=wanted.segmentation_id,
        created_at=now,
        updated_at=now,
        revision_number=1,
        qos_policy_id=wanted.qos_policy_id or qos_policy.default(connection, wanted.project_id),
        dns_domain=wanted.dns_domain,
    )
    store.insert(connection, row)
    return row


def get(connection: Connection, caller: Caller, key: str) -> Network:
    """Raises NotFound when there is no such network that the caller may see."""
    row = store.get(connection, key)
    if row is None:
        raise NotFound("network", key)
    shared = row.shared or row.external
    caller.require("get_network", "network", key, row.project_id, shared=shared)
    return row


def page(connection: Connection, caller: Caller, query: NetworkQuery) -> list[Network]:
    return store.page(connection, query, project_id=caller.reach("get_network"))


def update(
    connection: Connection, caller: Caller, key: str, values: Mapping[str, Any], now: datetime
) -> Network:
    """Raises NotFound, and Forbidden for what only an owner or an administrator may change."""
    row = get(connection, caller, key)
    caller.check("update_network", row.project_id)
    for name, word in ADMIN_ONLY.items():
        if name in values:
            caller.check(f"update_network:{word}")
    qos_policy.require_change(connection, caller, row.qos_policy_id, values)
    mtu = values.get("mtu", row.mtu)
    if mtu != row.mtu:
        _require_mtu(mtu, external=values.get("external", row.external))
        for subnet in subnet_store.of_network(connection, key):
            require_mtu_for(key, mtu, subnet.ip_version)
    store.update(connection, key, now=now, **values)
    return get(connection, caller, key)


def require_mtu_for(key: str, mtu: int, ip_version: int) -> None:
    """Raises Conflict when a subnet of that version could not work on the network."""
    least = MTU_MIN[ip_version]
    if mtu < least:
        raise Conflict(
            f"MTU of {mtu} in network {key} is less than the minimum of {least} for its subnets.",
            kind="NetworkMTUSubnetConflict",
        )


def _require_mtu(mtu: int | None, *, external: bool) -> None:
    """Raises Invalid for one that no packet could use."""
    most = EXTERNAL_MTU if external else TENANT_MTU
    if mtu is not None and mtu > most:
        raise Invalid(f"Requested MTU is too big, maximum is {most}", field="mtu")


def delete(connection: Connection, caller: Caller, key: str, _now: datetime) -> None:
    """Delete a network with its subnets and the floating IPs of it that lead to no port.

    Raises NotFound, Forbidden, and Conflict while it has any other port.
    """
    caller.check("delete_network", get(connection, caller, key).project_id)
    for floating in floating_ip_store.find(connection, floating_network_id=key, port_id=None):
        floating_ip_store.delete(connection, floating.id)
        port_store.delete(connection, floating.own_port_id)
    ports = port_store.find(connection, network_id=key)
    if ports:
        named = ", ".join(port.id for port in ports[:PORTS_NAMED_MAX])
        raise Conflict(
            f"Unable to complete operation on network {key}. There are one or more ports still in "
            f"use on the network, id for these ports is: {named}.",
            kind="NetworkInUse",
        )
    for subnet in subnet_store.of_network(connection, key):
        subnet_store.delete(connection, subnet.id)
    store.delete(connection, key)
