"""Who may say what about a port. Called by port.py."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from kumoi.base.errors import Conflict, Forbidden
from kumoi.cloud.domain.caller import Caller
from kumoi.cloud.domain.network import owner
from kumoi.cloud.store.network.network import Network
from kumoi.cloud.store.network.port import Port

if TYPE_CHECKING:
    from kumoi.cloud.domain.network.port import NewPort

# What only an administrator or the network's owner may say.
OWNER_ONLY = ("mac_address", "port_security_enabled", "allowed_address_pairs")


def require_may_create(caller: Caller, network: Network, wanted: NewPort) -> None:
    """Raises Forbidden."""
    if not caller.sees(wanted.project_id):
        raise Forbidden("rule:create_port is disallowed by policy")
    owns = caller.sees(network.project_id)
    if not (owns or network.shared):
        raise Forbidden(f"Tenant {caller.project_id} not allowed to create port on this network")
    asked = {name for name in OWNER_ONLY if getattr(wanted, name) not in (None, ())}
    if any(one.ip_address is not None for one in wanted.fixed_ips or ()):
        asked.add("fixed_ips:ip_address")
    if owner.is_networks(wanted.device_owner):
        asked.add("device_owner")
    if asked and not owns:
        raise _disallowed("create_port", asked)
    if wanted.host and not caller.is_admin:
        raise _disallowed("create_port", {"binding:host_id"})
    _require_no_service(caller, "create_port", wanted.device_owner)


def require_may_change(
    caller: Caller, network: Network, row: Port, values: Mapping[str, Any]
) -> None:
    """Raises Forbidden, and Conflict for what has the port."""
    if not caller.sees(row.project_id):
        raise Forbidden("rule:update_port is disallowed by policy")
    owns = caller.sees(network.project_id)
    asked = {name for name in OWNER_ONLY if values.get(name) not in (None, [])}
    if any(one.ip_address is not None for one in values.get("fixed_ips") or ()):
        asked.add("fixed_ips:ip_address")
    if owner.is_networks(values.get("device_owner", "")):
        asked.add("device_owner")
    if asked and not owns:
        raise _disallowed("update_port", asked)
    if "host" in values and not caller.is_admin:
        raise _disallowed("update_port", {"binding:host_id"})
    _require_no_service(caller, "update_port", values.get("device_owner", ""))
    moves = any(
        name in values and values[name] != getattr(row, name)
        for name in ("device_id", "device_owner")
    )
    if moves and not caller.is_admin and (row.host or row.device_owner in owner.SERVICE):
        raise Conflict(
            f"Unable to complete operation on port {row.id} for network {row.network_id}. Port "
            f"already has an attached device {row.device_id}.",
            kind="PortInUse",
        )


def _require_no_service(caller: Caller, action: str, device_owner: str) -> None:
    """Who says that a port is a router's would be on that router, whosever it is."""
    if device_owner in owner.SERVICE and not caller.is_admin:
        raise _disallowed(action, {"device_owner"})


def _disallowed(action: str, names: set[str]) -> Forbidden:
    rules = " and ".join(f"rule:{action}:{name}" for name in sorted(names))
    return Forbidden(f"({rules}) is disallowed by policy")
