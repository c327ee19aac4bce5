"""A server's ports: which networks it gets, and port calls inside compute's own transaction."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.engine import Connection

from kumoi.base.errors import Conflict, Forbidden, Invalid, NotFound
from kumoi.cloud.domain.caller import Caller
from kumoi.cloud.domain.network import network as network_domain
from kumoi.cloud.domain.network import port as port_domain
from kumoi.cloud.domain.network import security_group
from kumoi.cloud.domain.network.fixed_ip import FixedIpRequest
from kumoi.cloud.domain.network.port import PortRequest
from kumoi.cloud.store.compute.server import Server
from kumoi.cloud.store.network import network as network_store
from kumoi.cloud.store.network import security_group as group_store
from kumoi.cloud.store.network import subnet as subnet_store
from kumoi.cloud.store.network.port import Port
from kumoi.cloud.store.network.security_group import SecurityGroup

NO_ADDRESS = "IpAddressGenerationFailure"
"""The kind of Conflict that says a network has no address left."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Nic:
    """A port that is there, or a network to make one on. `required` is False for a network we chose
    ourselves: it may turn out to have no subnet.
    """

    network_id: str = ""
    port_id: str | None = None
    fixed_ip: str | None = None


def automatic(connection: Connection, caller: Caller, *, may_lack: bool) -> tuple[Nic, ...]:
    """The one network the project may use. Raises Conflict when there are several, and Invalid
    when there is none, unless a server may lack one.
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
    """Before anything is claimed. Raises Invalid, Forbidden, and Conflict for a port in use."""
    pinned = any(nic.port_id or nic.fixed_ip for nic in nics)
    if servers > 1 and pinned:
        raise Invalid(
            "Unable to launch multiple instances with a single configured port or address. "
            "Please launch your instance one by one with different ports.",
            field="networks",
        )
    seen: set[str] = set()
    for nic in nics:
        if nic.port_id is None:
            _check_network(connection, caller, nic)
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
    """A group that a rule names, whoever's it is."""
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
    """One more port for a server, bound to its host. Raises as the network's rules do."""
    if nic.port_id is None:
        wanted = PortRequest(
            project_id=server.project_id,
            network_id=nic.network_id,
            fixed_ips=(FixedIpRequest(ip_address=nic.fixed_ip),) if nic.fixed_ip else None,
            security_group_ids=tuple(group_ids) if group_ids else None,
        )
        return port_domain.create_bound(
            connection, caller, wanted, now, host=server.host_id or "", device_id=server.id
        )
    return port_domain.bind(
        connection, nic.port_id, host=server.host_id or "", device_id=server.id, now=now
    )


def detach(connection: Connection, server: Server, port_id: str, now: datetime) -> None:
    """Raises NotFound when the server has no such port."""
    row = next((row for row in of(connection, server) if row.id == port_id), None)
    if row is None:
        raise NotFound(
            "port", port_id, message=f"Instance {server.id} does not have a port {port_id}"
        )
    if row.delete_with_device:
        port_domain.remove(connection, row, now)
    else:
        port_domain.unbind(connection, port_id, now)


def add_address(connection: Connection, server: Server, network_id: str, now: datetime) -> None:
    """Raises Invalid for a network that the server is not on, Conflict when none is left."""
    subnets = subnet_store.of_network(connection, network_id)
    row = next((row for row in of(connection, server) if row.network_id == network_id), None)
    if row is None or not subnets:
        raise Invalid(
            f"Instance {server.id} has no port on network {network_id}", field="networkId"
        )
    has = tuple(FixedIpRequest(subnet_id=pair[0], ip_address=pair[1]) for pair in row.fixed_ips)
    more = FixedIpRequest(subnet_id=has[0].subnet_id if has else subnets[0].id)
    port_domain.change(connection, row, {"fixed_ips": (*has, more)}, now)


def remove_address(connection: Connection, server: Server, address: str, now: datetime) -> None:
    """Raises Invalid when no port of the server has it."""
    for row in of(connection, server):
        left = [pair for pair in row.fixed_ips if pair[1] != address]
        if len(left) < len(row.fixed_ips):
            kept = tuple(FixedIpRequest(subnet_id=subnet, ip_address=has) for subnet, has in left)
            port_domain.change(connection, row, {"fixed_ips": kept}, now)
            return
    raise Invalid(f"Instance {server.id} doesn't have the fixed IP '{address}'.", field="address")


def change_group(
    connection: Connection, caller: Caller, server: Server, name: str, now: datetime, *, add: bool
) -> None:
    """Raises NotFound for a group that is not there, Conflict when nothing would change."""
    group = security_group.find(connection, caller, name, now)
    ports = [row for row in of(connection, server) if row.port_security_enabled]
    if not add and not any(group.id in row.security_group_ids for row in ports):
        raise Conflict(f"Security group {name} not associated with the instance {server.id}")
    for row in ports:
        kept = [key for key in row.security_group_ids if key != group.id]
        groups = [*kept, group.id] if add else kept
        port_domain.change(connection, row, {"security_group_ids": groups}, now)


def release(connection: Connection, server: Server, now: datetime) -> None:
    """The server is gone."""
    port_domain.release_device(connection, server.id, now)


def of(connection: Connection, server: Server) -> list[Port]:
    """In the order in which they were attached."""
    return port_domain.of_device(connection, server.id)


def _check_network(connection: Connection, caller: Caller, nic: Nic) -> None:
    try:
        found = network_domain.get(connection, caller, nic.network_id)
    except NotFound as cause:
        raise Invalid(f"Network {nic.network_id} could not be found.", field="networks") from cause
    if found.external and not caller.may("network:attach_external_network"):
        raise Forbidden(
            "It is not allowed to create an interface on external network " + nic.network_id
        )
    if not subnet_store.of_network(connection, nic.network_id):
        raise Invalid(
            f"Network {nic.network_id} requires a subnet in order to boot instances on.",
            field="networks",
        )


def _check_port(connection: Connection, caller: Caller, key: str) -> None:
    try:
        found = port_domain.get(connection, caller, key)
    except NotFound as cause:
        raise Invalid(f"Port {key} could not be found.", field="networks") from cause
    if not caller.may(
        "update_port", found.project_id
    ):  # Seen only since it is on the caller's network.
        raise Invalid(f"Port {key} could not be found.", field="networks")
    if found.device_id:
        raise Conflict(f"Port {key} is still in use.")
