"""A server's ports: which networks it is put on, and changes of its ports inside compute's own
transaction.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.engine import Connection

from kumoi.base.errors import Conflict, Forbidden, Invalid, NotFound
from kumoi.cloud.domain.caller import Caller
from kumoi.cloud.domain.network import fixed_ip, security_group
from kumoi.cloud.domain.network import network as network_domain
from kumoi.cloud.domain.network import port as port_domain
from kumoi.cloud.domain.network.fixed_ip import FixedIpRequest
from kumoi.cloud.domain.network.port import PortRequest
from kumoi.cloud.store.compute.server import Server
from kumoi.cloud.store.network import network as network_store
from kumoi.cloud.store.network import port as port_store
from kumoi.cloud.store.network import security_group as group_store
from kumoi.cloud.store.network import subnet as subnet_store
from kumoi.cloud.store.network.port import Port
from kumoi.cloud.store.network.security_group import SecurityGroup

NO_ADDRESS = "IpAddressGenerationFailure"
"""The kind of Conflict that says a network has no address left."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Nic:
    """An interface that a request asks for: an existing port, or a network to make a port on."""

    network_id: str = ""
    port_id: str | None = None
    fixed_ip: str | None = None


def automatic(connection: Connection, caller: Caller, *, may_lack: bool) -> tuple[Nic, ...]:
    """For a request that names no network: the only one that the project may use, its own before
    shared ones. Raises Conflict when there are several, and Invalid when there is none, unless
    the server may lack one.
    """
    usable = [
        row
        for row in network_store.usable_by(connection, caller.project_id or "")
        if subnet_store.of_network(connection, row.id)
    ]
    own = [row for row in usable if row.project_id == caller.project_id]
    found = own or usable
    if len(found) > 1:
        raise Conflict(
            "Multiple possible networks found, use a Network ID to be more specific.",
            kind="NetworkAmbiguous",
        )
    if not found and not may_lack:
        raise Invalid(
            "Unable to automatically allocate a network for project "
            f"{caller.project_id}: it has none.",
            field="networks",
        )
    return tuple(Nic(network_id=row.id) for row in found)


def check(connection: Connection, caller: Caller, nics: Sequence[Nic], *, servers: int) -> None:
    """Whether so many servers may have these interfaces; nothing is claimed yet.

    Raises Invalid, Forbidden, and Conflict for a port in use.
    """
    if servers > 1 and any(nic.port_id or nic.fixed_ip for nic in nics):
        raise Invalid(
            "Unable to launch multiple instances with a single configured port or address. "
            "Please launch your instance one by one with different ports.",
            field="networks",
        )
    seen: set[str] = set()
    for nic in nics:
        if nic.port_id is None:
            _check_network(connection, caller, nic.network_id)
            continue
        if nic.port_id in seen:
            raise Invalid(f"Port {nic.port_id} is asked for twice.", field="networks")
        seen.add(nic.port_id)
        _check_port(connection, caller, nic.port_id)


def groups(
    connection: Connection, caller: Caller, names: Sequence[str], now: datetime
) -> tuple[str, ...]:
    """Ids of security groups by name or id. Raises Invalid, Conflict for an ambiguous name."""
    try:
        found = [security_group.find(connection, caller, name, now).id for name in names]
    except NotFound as cause:
        raise Invalid(
            f"Unable to find security_group with name or id '{cause.key}'",
            field="security_groups",
        ) from cause
    return tuple(dict.fromkeys(found))


def group(connection: Connection, key: str | None) -> SecurityGroup | None:
    """The remote group of a rule, whatever project it is of."""
    return None if key is None else group_store.get(connection, key)


def attach(
    connection: Connection,
    caller: Caller,
    server: Server,
    nic: Nic,
    *,
    group_ids: Sequence[str],
    now: datetime,
) -> Port:
    """Give a server one more port, bound to its host. Raises as the network's rules do."""
    if nic.port_id is None:
        wanted = PortRequest(
            project_id=server.project_id,
            network_id=nic.network_id,
            fixed_ips=(FixedIpRequest(ip_address=nic.fixed_ip),) if nic.fixed_ip else None,
            security_group_ids=tuple(group_ids) if group_ids else None,
            dns_name=server.hostname.lower(),
        )
        return port_domain.create_bound(
            connection, caller, wanted, now, host=server.host_id or "", device_id=server.id
        )
    return port_domain.bind(
        connection,
        nic.port_id,
        host=server.host_id or "",
        device_id=server.id,
        dns_name=server.hostname.lower(),
        now=now,
    )


def detach(connection: Connection, server: Server, port_id: str, now: datetime) -> None:
    """Raises NotFound when the server has no such port."""
    row = next((port for port in ports_of(connection, server) if port.id == port_id), None)
    if row is None:
        raise NotFound(
            "port", port_id, message=f"Instance {server.id} does not have a port {port_id}"
        )
    if row.delete_with_device:
        port_domain.remove(connection, row, now)
    else:
        port_domain.unbind(connection, port_id, now)


def add_address(connection: Connection, server: Server, network_id: str, now: datetime) -> None:
    """Add an address to the server's port on a network, on the subnet that it has the first of.

    Raises Invalid for a network that the server is not on, Conflict when no address is left.
    """
    subnets = subnet_store.of_network(connection, network_id)
    ports = ports_of(connection, server)
    row = next((port for port in ports if port.network_id == network_id), None)
    if row is None or not subnets:
        raise Invalid(
            f"Instance {server.id} has no port on network {network_id}", field="networkId"
        )
    subnet_id = row.fixed_ips[0][0] if row.fixed_ips else subnets[0].id
    wanted = [*fixed_ip.requests(row.fixed_ips), FixedIpRequest(subnet_id=subnet_id)]
    port_domain.change(connection, row, {"fixed_ips": wanted}, now)


def remove_address(connection: Connection, server: Server, address: str, now: datetime) -> None:
    """Raises Invalid when no port of the server has the address."""
    for row in ports_of(connection, server):
        left = [pair for pair in row.fixed_ips if pair[1] != address]
        if len(left) < len(row.fixed_ips):
            port_domain.change(connection, row, {"fixed_ips": fixed_ip.requests(left)}, now)
            return
    raise Invalid(f"Instance {server.id} doesn't have the fixed IP '{address}'.", field="address")


def change_group(
    connection: Connection, caller: Caller, server: Server, name: str, now: datetime, *, add: bool
) -> None:
    """Add all ports of a server to a security group, or remove them from it.

    Raises NotFound for a group that does not exist, Conflict for a removal where no port is in it.
    """
    group = security_group.find(connection, caller, name, now)
    ports = [port for port in ports_of(connection, server) if port.port_security_enabled]
    if not add and not any(group.id in port.security_group_ids for port in ports):
        raise Conflict(f"Security group {name} not associated with the instance {server.id}")
    for port in ports:
        others = [key for key in port.security_group_ids if key != group.id]
        ids = [*others, group.id] if add else others
        port_domain.change(connection, port, {"security_group_ids": ids}, now)


def ports_of(connection: Connection, server: Server) -> list[Port]:
    """In the order in which they were attached."""
    return port_store.of_servers(connection, [server.id])


def _check_network(connection: Connection, caller: Caller, key: str) -> None:
    try:
        network = network_domain.get(connection, caller, key)
    except NotFound as cause:
        raise Invalid(f"Network {key} could not be found.", field="networks") from cause
    if network.external and not caller.may("network:attach_external_network"):
        raise Forbidden("It is not allowed to create an interface on external network " + key)
    if not subnet_store.of_network(connection, key):
        raise Invalid(
            f"Network {key} requires a subnet in order to boot instances on.", field="networks"
        )


def _check_port(connection: Connection, caller: Caller, key: str) -> None:
    try:
        port = port_domain.get_changeable(connection, caller, key)
    except NotFound as cause:
        raise Invalid(f"Port {key} could not be found.", field="networks") from cause
    if port.device_id:
        raise Conflict(f"Port {key} is still in use.")
