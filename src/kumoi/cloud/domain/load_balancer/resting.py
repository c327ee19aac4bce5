"""Members of balancers whose servers are about to move: they get no new connections, as with a weight of 0.

Nothing of a member's own row says so. It is worked out from the servers that move now, so there is nothing to put back,
whatever is killed and whatever its owner changes meanwhile.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from sqlalchemy.engine import Connection

from kumoi.cloud.store.compute import server as server_store
from kumoi.cloud.store.compute.server import Server
from kumoi.cloud.store.load_balancer import load_balancer as balancer_store
from kumoi.cloud.store.load_balancer import member as store
from kumoi.cloud.store.load_balancer.member import PoolMember
from kumoi.cloud.store.network import port as port_store

STEPS = ("emptying", "stopping", "finishing", "starting", "settling", "returning")
"""Of domain/compute/move.py: while the disk is copied beforehand, the server is used as ever."""


def members(connection: Connection, server: Server) -> list[PoolMember]:
    """The members that are this server."""
    places = _places(connection, [server])
    found = [
        member
        for address in {address for address, *_ in places}
        for member in store.find(connection, address=address)
    ]
    return [member for member in found if _is_at(member, places)]


def touch(connection: Connection, server: Server) -> None:
    """Whoever balances is to look at the server again."""
    for key in {member.load_balancer_id for member in members(connection, server)}:
        balancer_store.note_resting(connection, key)


def apply(connection: Connection, found: Sequence[PoolMember]) -> list[PoolMember]:
    """The members with the weights by which they get connections now."""
    moving = server_store.in_steps(connection, STEPS) if found else []
    if not moving:
        return list(found)
    places = _places(connection, moving)
    return [replace(member, weight=0) if _is_at(member, places) else member for member in found]


Places = set[tuple[str, str, str]]
"""Addresses, each once with its subnet and once with its project, where a member says nothing of its subnet."""


def _places(connection: Connection, servers: Sequence[Server]) -> Places:
    places = set()
    for port in port_store.of_servers(connection, [server.id for server in servers]):
        for subnet_id, address in port.fixed_ips:
            places |= {(address, "subnet", subnet_id), (address, "project", port.project_id)}
    return places


def _is_at(member: PoolMember, places: Places) -> bool:
    if member.subnet_id is not None:
        return (member.address, "subnet", member.subnet_id) in places
    return (member.address, "project", member.project_id) in places
