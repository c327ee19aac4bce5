"""Who may set which attributes of a port. Called by port.py."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kumoi.base.errors import Conflict, Forbidden
from kumoi.cloud.domain.caller import Caller
from kumoi.cloud.domain.network import owner
from kumoi.cloud.store.network.network import Network
from kumoi.cloud.store.network.port import Port

# Each has a rule of its own, for creation and for update.
ATTRIBUTES = ("mac_address", "port_security_enabled", "allowed_address_pairs")


def check_create(
    caller: Caller, network: Network, project_id: str, values: Mapping[str, Any]
) -> None:
    """`values` are the attributes that the request names. Raises Forbidden."""
    caller.check("create_port", project_id)
    if not (network.shared or caller.may("update_network", network.project_id)):
        raise Forbidden(f"Tenant {caller.project_id} not allowed to create port on this network")
    if values.get("profile"):
        caller.check("create_port:binding:profile")
    _check_attributes(caller, "create_port", network, values)


def check_update(caller: Caller, network: Network, row: Port, values: Mapping[str, Any]) -> None:
    """Raises Forbidden, and Conflict for giving the port of one device to another."""
    caller.check("update_port", row.project_id)
    if values.get("profile", row.profile) != row.profile:
        caller.check("update_port:binding:profile")
    _check_attributes(caller, "update_port", network, values)
    moves = any(
        name in values and values[name] != getattr(row, name)
        for name in ("device_id", "device_owner")
    )
    is_bound = bool(row.host) or row.device_owner in owner.SERVICE
    if moves and is_bound and not caller.may("update_port:device_id:bound"):
        raise Conflict(
            f"Unable to complete operation on port {row.id} for network {row.network_id}. Port "
            f"already has an attached device {row.device_id}.",
            kind="PortInUse",
        )
    if row.device_owner == owner.BALANCER and ("fixed_ips" in values or "mac_address" in values):
        raise Conflict(
            f"Port {row.id} has the virtual address of load balancer {row.device_id}, which cannot "
            "change.",
            kind="PortInUse",
        )


def _check_attributes(
    caller: Caller, action: str, network: Network, values: Mapping[str, Any]
) -> None:
    """The owners that a port of a router or floating IP has are for the service alone: such a port
    would be on that router, whose project is not asked.
    """
    named = [name for name in ATTRIBUTES if values.get(name) not in (None, (), [])]
    if any(wanted.ip_address is not None for wanted in values.get("fixed_ips") or ()):
        named.append("fixed_ips:ip_address")
    device_owner = values.get("device_owner") or ""
    if owner.is_networks(device_owner):
        named.append("device_owner")
    for name in named:
        caller.check(f"{action}:{name}", network.project_id)
    if "host" in values:
        caller.check(f"{action}:binding:host_id")
    if device_owner in owner.SERVICE:
        caller.check(f"{action}:device_owner:service")
