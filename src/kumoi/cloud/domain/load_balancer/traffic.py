"""Who gets new connections, and for how long. Pure."""

from __future__ import annotations

from kumoi.cloud.domain.load_balancer.status import ONLINE, is_monitored
from kumoi.cloud.domain.load_balancer.tree import BalancerTree
from kumoi.cloud.store.load_balancer.member import PoolMember
from kumoi.cloud.store.load_balancer.pool import BalancerPool

TRANSPORTS = {"TCP": "tcp", "HTTPS": "tcp", "UDP": "udp", "SCTP": "sctp"}
"""Of the listeners that OVN can serve."""
STICKY_S = 360
"""How long a client stays with its member, where nothing is said of it. Octavia's own."""
SOURCE_IP = "SOURCE_IP"


def receiving(tree: BalancerTree, pool: BalancerPool) -> list[PoolMember]:
    """Members that get new connections: those that work, or the backups when none does. One that is
    watched gets none before its first good probe.
    """
    if not pool.admin_state_up:
        return []
    watched = is_monitored(tree, pool.id)
    able = [
        member
        for member in tree.members_of(pool.id)
        if member.admin_state_up
        and member.weight > 0
        and is_reachable(tree, member)
        and (not watched or member.health == ONLINE)
    ]
    return [member for member in able if not member.backup] or able


def is_reachable(tree: BalancerTree, member: PoolMember) -> bool:
    """Whether its address is of the virtual address's version: nothing here translates between them."""
    return (":" in member.address) == (":" in tree.balancer.vip_address)


def sticky_s(pool: BalancerPool) -> int | None:
    """How long a client stays with its member; None where it need not."""
    said = pool.session_persistence
    if not said or said["type"] != SOURCE_IP:
        return None
    return int(said.get("persistence_timeout") or STICKY_S)
