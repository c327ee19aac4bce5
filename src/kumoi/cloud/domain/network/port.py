"""Ports: what is allowed. Each function takes the open transaction and touches nothing else.

Users' requests come through `create`, `update` and `delete`. Routers and floating IPs, whose ports
no rule stands in the way of, call `make`, `change` and `remove`. Compute calls `create_bound`,
`bind`, `unbind` and `release_device` inside its own transaction.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from sqlalchemy.engine import Connection

from kumoi.base.errors import Conflict, Invalid, NotFound, Transient
from kumoi.base.ids import new_id
from kumoi.cloud.domain.caller import Caller
from kumoi.cloud.domain.network import (
    fixed_ip,
    owner,
    port_permission,
    qos_policy,
    quota,
    security_group,
)
from kumoi.cloud.domain.network import network as network_domain
from kumoi.cloud.domain.network.fixed_ip import AddressedPort, FixedIp, FixedIpRequest
from kumoi.cloud.store.compute import server as server_store
from kumoi.cloud.store.network import floating_ip as floating_ip_store
from kumoi.cloud.store.network import network as network_store
from kumoi.cloud.store.network import port as store
from kumoi.cloud.store.network import port_forwarding as forwarding_store
from kumoi.cloud.store.network import subnet as subnet_store
from kumoi.cloud.store.network.network import Network
from kumoi.cloud.store.network.port import Port
from kumoi.cloud.store.network.port_forwarding import PortForwarding
from kumoi.cloud.store.network.standard import NetworkQuery

MAC_PREFIX = "fa:16:3e"
MAC_TRIES = 16
DOWN = "DOWN"


@dataclass(frozen=True, slots=True, kw_only=True)
class PortRequest:
    """A port to be made. None leaves the choice to us: for `fixed_ips` an address of each IP
    version, for `security_group_ids` the default group, for `port_security_enabled` the network's
    setting. `allowed_address_pairs` are [address or CIDR, MAC or None].
    """

    project_id: str
    network_id: str
    name: str = ""
    description: str = ""
    admin_state_up: bool = True
    mac_address: str | None = None
    fixed_ips: Sequence[FixedIpRequest] | None = None
    device_id: str = ""
    device_owner: str = ""
    host: str = ""
    vnic_type: str = "normal"
    port_security_enabled: bool | None = None
    security_group_ids: Sequence[str] | None = None
    allowed_address_pairs: Sequence[list[str | None]] = ()
    profile: Mapping[str, Any] = field(default_factory=dict)
    extra_dhcp_opts: Sequence[list[str | None]] = ()
    qos_policy_id: str | None = None
    dns_name: str = ""
    device_index: int = 0
    delete_with_device: bool = False


def create(connection: Connection, caller: Caller, wanted: PortRequest, now: datetime) -> Port:
    """Raises NotFound for a network or group the caller may not see, Forbidden, Invalid, OverQuota,
    and Conflict when an address is taken or none is left.
    """
    network = network_domain.get(connection, caller, wanted.network_id)
    port_permission.check_create(caller, network, wanted.project_id, _attributes_with_rules(wanted))
    security_group.require_all(connection, caller, wanted.security_group_ids or ())
    qos_policy.require_change(connection, caller, None, {"qos_policy_id": wanted.qos_policy_id})
    return _make_on(connection, network, wanted, now)


def create_bound(
    connection: Connection,
    caller: Caller,
    wanted: PortRequest,
    now: datetime,
    *,
    host: str,
    device_id: str,
) -> Port:
    """`create` and `bind` in one, for a port that goes with its server. Raises as they do."""
    network = network_domain.get(connection, caller, wanted.network_id)
    port_permission.check_create(caller, network, wanted.project_id, _attributes_with_rules(wanted))
    security_group.require_all(connection, caller, wanted.security_group_ids or ())
    bound = replace(
        wanted,
        host=host,
        device_id=device_id,
        device_owner=owner.SERVER,
        device_index=_next_index(connection, device_id),
        delete_with_device=True,
    )
    return _make_on(connection, network, bound, now)


def _attributes_with_rules(wanted: PortRequest) -> dict[str, Any]:
    """The attributes that have a rule of their own, as an update would name them."""
    names = ("mac_address", "port_security_enabled", "allowed_address_pairs", "fixed_ips")
    found = {name: getattr(wanted, name) for name in (*names, "device_owner", "profile")}
    return found | ({"host": wanted.host} if wanted.host else {})


def make(connection: Connection, wanted: PortRequest, now: datetime) -> Port:
    """Make a port without asking for a permission. One of NOBODY counts for no quota."""
    network = network_store.get(connection, wanted.network_id)
    if network is None:
        raise NotFound("network", wanted.network_id)
    return _make_on(connection, network, wanted, now)


def _make_on(connection: Connection, network: Network, wanted: PortRequest, now: datetime) -> Port:
    if wanted.project_id != owner.NOBODY:
        quota.require(connection, wanted.project_id, "port")
    mac = _mac(connection, network.id, wanted.mac_address)
    is_router = wanted.device_owner in owner.ROUTER
    port = AddressedPort(
        network_id=network.id, mac=mac, device_owner=wanted.device_owner, is_router=is_router
    )
    pairs = fixed_ip.choose(connection, port, wanted.fixed_ips)
    row = _with_groups(connection, _row(network, wanted, mac, pairs, now), wanted, now)
    store.insert(connection, row)
    return row


def bind(
    connection: Connection,
    port_id: str,
    *,
    host: str,
    device_id: str,
    dns_name: str,
    now: datetime,
) -> Port:
    """Give a user's port to a server on a host, after the ports that the server has; it gets the server's
    name.

    Raises NotFound, Conflict (PortInUse) when another device has it, Invalid when it has another name.
    """
    row = store.get(connection, port_id)
    if row is None:
        raise not_found(port_id)
    if row.device_id not in ("", device_id):
        raise Conflict(f"Port {port_id} is still in use.", kind="PortInUse")
    if not row.device_id and row.dns_name not in ("", dns_name):
        raise Invalid(
            f"Port {port_id} not usable for instance {device_id}. Value {row.dns_name} assigned to "
            f"dns_name attribute does not match instance's hostname {dns_name}",
            field="networks",
        )
    values: dict[str, Any] = {
        "host": host,
        "device_id": device_id,
        "device_owner": owner.SERVER,
        "dns_name": dns_name,
    }
    if not row.host:
        values["device_index"] = _next_index(connection, device_id)
    store.update(connection, port_id, now=now, **values)
    return replace(row, **values, updated_at=now, revision_number=row.revision_number + 1)


def unbind(connection: Connection, port_id: str, now: datetime) -> None:
    """Take a port from its device, and the device's name from it; it keeps its addresses. A deleted port is no
    error.
    """
    if store.get(connection, port_id) is not None:
        store.update(
            connection,
            port_id,
            now=now,
            host="",
            device_id="",
            device_owner="",
            device_index=0,
            delete_with_device=False,
            dns_name="",
            status=DOWN,
        )


def move_device(connection: Connection, device_id: str, host: str, now: datetime) -> None:
    """Bind a server's ports to another host; they keep their order and addresses, and are down until
    they are plugged there.
    """
    for row in store.of_servers(connection, [device_id]):
        store.update(connection, row.id, now=now, host=host, status=DOWN)


def release_device(connection: Connection, device_id: str, now: datetime) -> None:
    """After a server's deletion: delete the ports made for it, release the user's own."""
    for row in store.of_servers(connection, [device_id]):
        if row.delete_with_device:
            remove(connection, row, now)
        else:
            unbind(connection, row.id, now)


def get(connection: Connection, caller: Caller, key: str) -> Port:
    """Raises NotFound when there is no such port that the caller may see."""
    row = store.get(connection, key)
    if row is None:
        raise not_found(key)
    if not caller.may("get_port", row.project_id):
        network = network_store.get(connection, row.network_id)
        if network is None or not caller.may("get_network", network.project_id):
            raise not_found(key)
    return row


def get_changeable(connection: Connection, caller: Caller, key: str) -> Port:
    """Raises NotFound also for a port that the caller sees, on a network of theirs, but may not
    change.
    """
    row = get(connection, caller, key)
    if not caller.may("update_port", row.project_id):
        raise not_found(key)
    return row


def page(connection: Connection, caller: Caller, query: NetworkQuery) -> list[Port]:
    return store.page(connection, query, project_id=caller.reach("get_port"))


def update(
    connection: Connection, caller: Caller, key: str, values: Mapping[str, Any], now: datetime
) -> Port:
    """Change the columns in `values`; `fixed_ips` are FixedIpRequests there. Raises as `create`."""
    row = get(connection, caller, key)
    network = network_domain.get(connection, caller, row.network_id)
    port_permission.check_update(caller, network, row, values)
    qos_policy.require_change(connection, caller, row.qos_policy_id, values)
    if "security_group_ids" in values:
        security_group.require_all(connection, caller, values["security_group_ids"])
    return change(connection, row, values, now)


def change(connection: Connection, row: Port, values: Mapping[str, Any], now: datetime) -> Port:
    """`update` without asking for a permission."""
    new = dict(values)
    if "extra_dhcp_opts" in new:
        new["extra_dhcp_opts"] = _merged_options(row.extra_dhcp_opts, new["extra_dhcp_opts"])
    mac = new.get("mac_address", row.mac_address)
    if mac != row.mac_address:
        if row.host:
            raise Conflict(
                f"Unable to complete operation on port {row.id}, port is already bound, port type: "
                f"ovs, old_mac {row.mac_address}, new_mac {mac}.",
                kind="PortBound",
            )
        if store.mac_is_taken(connection, row.network_id, mac):
            raise _mac_in_use(row.network_id, mac)
    if "fixed_ips" in new or mac != row.mac_address:
        new["fixed_ips"] = _new_fixed_ips(connection, row, mac, new.get("fixed_ips"), now)
    _require_consistent(row, new)
    store.update(connection, row.id, now=now, **new)
    touch_server(connection, row)
    changed = store.get(connection, row.id)
    if changed is None:
        raise not_found(row.id)
    return changed


def delete(connection: Connection, caller: Caller, key: str, now: datetime) -> None:
    """Raises NotFound; Conflict for the ports of routers and floating IPs."""
    row = get(connection, caller, key)
    if row.device_owner in owner.SERVICE:
        raise Conflict(
            f"Port {key} cannot be deleted directly via the port API: has device owner "
            f"{row.device_owner}.",
            kind="ServicePortInUse",
        )
    remove(connection, row, now)


def remove(connection: Connection, row: Port, now: datetime) -> None:
    """`delete` without asking for a permission. Floating IPs that lead to the port lead nowhere
    then.
    """
    for floating in floating_ip_store.of_ports(connection, [row.id]):
        floating_ip_store.update(connection, floating.id, now=now, **NOWHERE)
    drop_forwardings(connection, forwarding_store.find(connection, internal_port_id=row.id), now)
    store.delete(connection, row.id)
    touch_server(connection, row)


def drop_forwardings(
    connection: Connection, forwardings: Sequence[PortForwarding], now: datetime
) -> None:
    """Delete port forwardings. A floating IP without any is at no router then."""
    for row in forwardings:
        forwarding_store.delete(connection, row.id)
    for key in {row.floating_ip_id for row in forwardings}:
        if not forwarding_store.find(connection, floating_ip_id=key):
            floating_ip_store.update(connection, key, now=now, **NOWHERE)


def touch_server(connection: Connection, row: Port) -> None:
    """Have the host of a server's port look at that server again."""
    if row.host and row.device_owner.startswith(owner.COMPUTE):
        server_store.touch(connection, row.host, row.device_id)


def not_found(key: str) -> NotFound:
    return NotFound("port", key)


NOWHERE: dict[str, Any] = {
    "port_id": None,
    "fixed_ip_address": None,
    "router_id": None,
    "status": DOWN,
}
"""The columns of a floating IP that leads to no port."""


def _row(
    network: Network, wanted: PortRequest, mac: str, pairs: list[FixedIp], now: datetime
) -> Port:
    secured = wanted.port_security_enabled
    if secured is None:
        secured = network.port_security_enabled and wanted.device_owner not in owner.SERVICE
    return Port(
        id=new_id(),
        project_id=wanted.project_id,
        network_id=network.id,
        name=wanted.name,
        description=wanted.description,
        mac_address=mac,
        admin_state_up=wanted.admin_state_up,
        status="N/A" if wanted.device_owner == owner.FLOATING_IP else DOWN,
        device_id=wanted.device_id,
        device_owner=wanted.device_owner,
        device_index=wanted.device_index,
        delete_with_device=wanted.delete_with_device,
        host=wanted.host,
        vnic_type=wanted.vnic_type,
        port_security_enabled=secured,
        allowed_address_pairs=list(wanted.allowed_address_pairs),
        fixed_ips=pairs,
        security_group_ids=list(dict.fromkeys(wanted.security_group_ids or ())),
        created_at=now,
        updated_at=now,
        revision_number=1,
        profile=dict(wanted.profile),
        extra_dhcp_opts=_merged_options((), wanted.extra_dhcp_opts),
        qos_policy_id=wanted.qos_policy_id,
        dns_name=wanted.dns_name,
    )


def _with_groups(connection: Connection, row: Port, wanted: PortRequest, now: datetime) -> Port:
    """In the default group, when the request names no groups."""
    _require_consistent(row, {})
    if (
        wanted.security_group_ids is None
        and row.port_security_enabled
        and not owner.is_networks(row.device_owner)
    ):
        default = security_group.ensure_default(connection, wanted.project_id, now)
        return replace(row, security_group_ids=[default.id])
    return row


def _mac(connection: Connection, network_id: str, wanted: str | None) -> str:
    """The MAC asked for, or a free one. Raises Conflict when it is taken."""
    if wanted is not None:
        if store.mac_is_taken(connection, network_id, wanted):
            raise _mac_in_use(network_id, wanted)
        return wanted
    for _ in range(MAC_TRIES):
        mac = ":".join((MAC_PREFIX, *(f"{octet:02x}" for octet in secrets.token_bytes(3))))
        if not store.mac_is_taken(connection, network_id, mac):
            return mac
    raise Transient(f"no free MAC address was found on network {network_id}")


def _mac_in_use(network_id: str, mac: str) -> Conflict:
    return Conflict(
        f"Unable to complete operation for network {network_id}. The mac address {mac} is in use.",
        kind="MacAddressInUse",
    )


def _new_fixed_ips(
    connection: Connection,
    row: Port,
    mac: str,
    wanted: Sequence[FixedIpRequest] | None,
    now: datetime,
) -> list[FixedIp]:
    """What a port has after a change; floating IPs that led to an address it loses lead nowhere.

    `wanted` of None keeps its addresses, but an automatic one follows the MAC.
    """
    current, is_router = row.fixed_ips, row.device_owner in owner.ROUTER
    if wanted is None:
        wanted = [FixedIpRequest(subnet_id=subnet_id) for subnet_id, _ in current]
    if mac != row.mac_address and not is_router:
        subnets = subnet_store.many(connection, {subnet_id for subnet_id, _ in current})
        current = [pair for pair in current if not fixed_ip.is_automatic(subnets[pair[0]])]
    port = AddressedPort(
        network_id=row.network_id,
        mac=mac,
        device_owner=row.device_owner,
        is_router=is_router,
        current=current,
    )
    pairs = fixed_ip.choose(connection, port, wanted)
    addresses = {address for _, address in pairs}
    for floating in floating_ip_store.of_ports(connection, [row.id]):
        if floating.fixed_ip_address not in addresses:
            floating_ip_store.update(connection, floating.id, now=now, **NOWHERE)
    forwardings = forwarding_store.find(connection, internal_port_id=row.id)
    lost = [each for each in forwardings if each.internal_ip_address not in addresses]
    drop_forwardings(connection, lost, now)
    return pairs


def _merged_options(
    present: Sequence[Sequence[str]], wanted: Sequence[Sequence[str | None]]
) -> list[list[str]]:
    """With those of a change: each replaces that of its name and version, a value of None removes it, and
    the others stay, as in Neutron.
    """
    values: dict[tuple[str | None, str | None], str | None] = {
        (name, version): value for name, value, version in [*present, *wanted]
    }
    return [
        [name, value, version]
        for (name, version), value in values.items()
        if name is not None and version is not None and value is not None
    ]


def _next_index(connection: Connection, device_id: str) -> int:
    ports = store.of_servers(connection, [device_id])
    return max((port.device_index for port in ports), default=-1) + 1


def _require_consistent(row: Port, values: Mapping[str, Any]) -> None:
    """Raises for security groups or address pairs on a port without port security."""
    if values.get("port_security_enabled", row.port_security_enabled):
        return
    if row.security_group_ids and "security_group_ids" not in values and values:
        raise Conflict(
            "Port has security group associated. Cannot disable port security or IP address until "
            "security group is removed.",
            kind="PortSecurityPortHasSecurityGroup",
        )
    if values.get("security_group_ids", row.security_group_ids):
        raise Invalid(
            "Port security must be enabled and port must have an IP address in order to use "
            "security groups.",
            field="port_security_enabled",
            kind="PortSecurityAndIPRequiredForSecurityGroups",
        )
    if values.get("allowed_address_pairs", row.allowed_address_pairs):
        raise Conflict(
            "Port Security must be enabled in order to have allowed address pairs on a port.",
            kind="AddressPairAndPortSecurityRequired",
        )
