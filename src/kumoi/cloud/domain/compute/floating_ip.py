"""Floating IPs as compute has them: from a pool, which is an external network, and for a server."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy.engine import Connection

from kumoi.base.errors import Conflict, Invalid, NotFound
from kumoi.cloud.domain.caller import Caller
from kumoi.cloud.domain.compute import networking, server
from kumoi.cloud.domain.network import floating_ip as domain
from kumoi.cloud.domain.network import network
from kumoi.cloud.domain.network.floating_ip import FloatingIpRequest
from kumoi.cloud.store.listing import Listing, Sort
from kumoi.cloud.store.network.floating_ip import FloatingIp
from kumoi.cloud.store.network.network import Network
from kumoi.cloud.store.network.standard import NetworkQuery


def pools(connection: Connection, caller: Caller) -> list[Network]:
    """The external networks that the caller sees, by name."""
    listing = Listing(filters={"external": [True]}, sorts=(Sort("name"),))
    return network.page(connection, caller, NetworkQuery(listing=listing))


def allocate(connection: Connection, caller: Caller, pool: str | None, now: datetime) -> FloatingIp:
    """A floating IP of a pool by its name or id; of the default one where none is named.

    Raises OverQuota, and NotFound when there is no such pool or no address left in it.
    """
    found = [row for row in pools(connection, caller) if pool in (None, row.name, row.id)]
    if not found:
        raise NotFound("pool", pool or "", message="Floating IP pool not found.")
    chosen = next((row for row in found if row.is_default), found[0])
    wanted = FloatingIpRequest(project_id=caller.project_id or "", floating_network_id=chosen.id)
    try:
        return domain.create(connection, caller, wanted, now)
    except Conflict as cause:
        words = f"No more floating IPs in pool {chosen.name}."
        raise NotFound("floating IP", chosen.id, message=words) from cause


def of_project(connection: Connection, caller: Caller) -> list[FloatingIp]:
    listing = Listing(filters={"project_id": [caller.project_id or ""]})
    return domain.page(connection, caller, NetworkQuery(listing=listing))


def associate(
    connection: Connection,
    caller: Caller,
    server_id: str,
    now: datetime,
    *,
    address: str,
    fixed_address: str | None,
) -> None:
    """Make a floating IP lead to a server, there to that address or to its first.

    Raises NotFound for the server and for the floating IP, Invalid for all else.
    """
    found = server.get(connection, caller, server_id)
    ports = [
        (port.id, own)
        for port in networking.ports_of(connection, found)
        for _, own in port.fixed_ips
        if (own == fixed_address if fixed_address else ":" not in own)
    ]
    if not ports:
        words = "Specified fixed address not assigned to instance"
        if not fixed_address:
            words = f"Unable to associate floating IP {address}: the instance has no IPv4 address."
        raise Invalid(words, field="address")
    row = _by_address(connection, caller, address)
    port_id, own = ports[0]
    values = {"port_id": port_id, "fixed_ip_address": own}
    try:
        domain.update(connection, caller, row.id, values, now)
    except (Conflict, NotFound) as cause:
        raise Invalid(cause.message, field="address") from cause


def disassociate(
    connection: Connection, caller: Caller, server_id: str, now: datetime, *, address: str
) -> None:
    """Raises NotFound, and Conflict for a floating IP that does not lead to the server."""
    row = _by_address(connection, caller, address)
    found = server.get(connection, caller, server_id)
    if row.port_id not in {port.id for port in networking.ports_of(connection, found)}:
        raise Conflict(f"Floating IP {address} is not associated with instance {server_id}.")
    domain.update(connection, caller, row.id, {"port_id": None}, now)


def _by_address(connection: Connection, caller: Caller, address: str) -> FloatingIp:
    """One that the caller sees. Raises NotFound."""
    query = NetworkQuery(listing=Listing(filters={"floating_ip_address": [address]}))
    found = domain.page(connection, caller, query)
    if not found:
        raise NotFound("floating IP", address, message="floating IP not found")
    return found[0]
