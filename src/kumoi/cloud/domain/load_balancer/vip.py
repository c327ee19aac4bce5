"""The virtual address: the port that keeps it. Called by load_balancer.py."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy.engine import Connection

from kumoi.base.errors import Invalid, NotFound, Unsupported
from kumoi.cloud.domain.caller import Caller
from kumoi.cloud.domain.load_balancer.refusal import invalid
from kumoi.cloud.domain.network import network as network_domain
from kumoi.cloud.domain.network import owner, port_permission
from kumoi.cloud.domain.network import port as port_domain
from kumoi.cloud.domain.network import subnet as subnet_domain
from kumoi.cloud.domain.network.fixed_ip import FixedIpRequest
from kumoi.cloud.domain.network.port import PortRequest
from kumoi.cloud.store.network import port as port_store
from kumoi.cloud.store.network import subnet as subnet_store
from kumoi.cloud.store.network.network import Network
from kumoi.cloud.store.network.port import Port

IPV4 = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class VipRequest:
    """At least one of the ids is set."""

    address: str | None = None
    network_id: str | None = None
    subnet_id: str | None = None
    port_id: str | None = None


@dataclass(frozen=True, slots=True)
class AllocatedVip:
    """`owns_port` is false for a port of the user's own."""

    port: Port
    subnet_id: str
    address: str
    owns_port: bool


def take(
    connection: Connection,
    caller: Caller,
    wanted: VipRequest,
    *,
    balancer_id: str,
    project_id: str,
    now: datetime,
) -> AllocatedVip:
    """Raises Invalid, Forbidden, OverQuota, Conflict when the address is taken, and Unsupported on
    an external network.
    """
    if wanted.port_id is not None:
        return _given(connection, caller, wanted, balancer_id=balancer_id, now=now)
    if wanted.network_id is None and wanted.subnet_id is None:
        raise invalid("VIP must contain one of: vip_port_id, vip_network_id, vip_subnet_id.")
    network, subnet_id = _place(connection, caller, wanted)
    address = FixedIpRequest(subnet_id=subnet_id, ip_address=wanted.address)
    port_permission.check_create(caller, network, project_id, {"fixed_ips": (address,)})
    made = port_domain.make(
        connection,
        PortRequest(
            project_id=project_id,
            network_id=network.id,
            name=f"octavia-lb-{balancer_id}",
            device_id=_device(balancer_id),
            device_owner=owner.BALANCER,
            fixed_ips=(address,),
        ),
        now,
    )
    subnet_id, text = made.fixed_ips[0]
    return AllocatedVip(made, subnet_id, text, owns_port=True)


def release(connection: Connection, port_id: str, *, owns_port: bool, now: datetime) -> None:
    """A port of the user's own stays, for whoever takes it next."""
    row = port_store.get(connection, port_id)
    if row is None:
        return
    if owns_port:
        port_domain.remove(connection, row, now)
    else:
        port_domain.unbind(connection, port_id, now)


def _device(balancer_id: str) -> str:
    return f"lb-{balancer_id}"


def _given(
    connection: Connection,
    caller: Caller,
    wanted: VipRequest,
    *,
    balancer_id: str,
    now: datetime,
) -> AllocatedVip:
    """The user's own port."""
    port_id = str(wanted.port_id)
    row = _named(port_domain.get, connection, caller, "Port", port_id)
    caller.check("update_port", row.project_id)
    if row.device_id or row.device_owner:
        raise invalid(f"Port {port_id} is already used by another device {row.device_id}.")
    _require_inside(network_domain.get(connection, caller, row.network_id))
    fitting = [
        (subnet_id, address)
        for subnet_id, address in row.fixed_ips
        if wanted.subnet_id in (None, subnet_id) and wanted.address in (None, address)
    ]
    if not fitting:
        raise invalid("Specified VIP address not found on the specified VIP port.")
    if len(fitting) > 1 and wanted.subnet_id is None:
        raise invalid(
            "VIP port's subnet could not be determined. Please specify either a VIP subnet or "
            "address."
        )
    values = {"device_id": _device(balancer_id), "device_owner": owner.BALANCER}
    port_store.update(connection, port_id, now=now, **values)
    subnet_id, address = fitting[0]
    return AllocatedVip(row, subnet_id, address, owns_port=False)


def _place(
    connection: Connection, caller: Caller, wanted: VipRequest
) -> tuple[Network, str | None]:
    """The network, and the subnet where the address does not say it."""
    network_id, subnet_id = wanted.network_id, wanted.subnet_id
    if subnet_id is not None:
        subnet = _named(subnet_domain.get, connection, caller, "Subnet", subnet_id)
        if network_id not in (None, subnet.network_id):
            raise invalid(f"Network {network_id} does not contain subnet {subnet_id}.")
        network_id = subnet.network_id
    network: Network = _named(network_domain.get, connection, caller, "Network", str(network_id))
    _require_inside(network)
    if subnet_id is None and wanted.address is None:
        subnet_id = _first_subnet(connection, network.id)
    return network, subnet_id


def _first_subnet(connection: Connection, network_id: str) -> str:
    """One of version 4, if there is any."""
    subnets = subnet_store.of_network(connection, network_id)
    if not subnets:
        raise invalid("Supplied network does not contain a subnet.")
    return min(subnets, key=lambda subnet: subnet.ip_version != IPV4).id


def _require_inside(network: Network) -> None:
    if network.external:
        raise Unsupported(
            f"Network {network.id} is external: take a virtual address on a network inside, and "
            "associate a floating IP with its port"
        )


def _named(get: Any, connection: Connection, caller: Caller, noun: str, key: str) -> Any:
    """What the body names. Raises Invalid where it is not there: the path has nothing to do with it."""
    try:
        return get(connection, caller, key)
    except NotFound as cause:
        raise Invalid(f"{noun} {key} not found.") from cause
