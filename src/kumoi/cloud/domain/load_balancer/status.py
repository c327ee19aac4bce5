"""What is said of a balancer's state. Pure: worked out from the rows when somebody looks.

`provisioning_status` compares what is wanted with what the network engine has; `operating_status`
is what hosts report of members, and what follows from it for whatever holds them.
"""

from __future__ import annotations

from kumoi.cloud.domain.load_balancer.tree import BalancerTree
from kumoi.cloud.store.load_balancer.health_monitor import HealthMonitor
from kumoi.cloud.store.load_balancer.listener import BalancerListener
from kumoi.cloud.store.load_balancer.member import PoolMember
from kumoi.cloud.store.load_balancer.part import BalancerPart
from kumoi.cloud.store.load_balancer.pool import BalancerPool

ACTIVE = "ACTIVE"
PENDING_CREATE = "PENDING_CREATE"
PENDING_UPDATE = "PENDING_UPDATE"

ONLINE = "ONLINE"
OFFLINE = "OFFLINE"
DEGRADED = "DEGRADED"
DRAINING = "DRAINING"
ERROR = "ERROR"
NO_MONITOR = "NO_MONITOR"


def provisioning(tree: BalancerTree, part: BalancerPart | None = None) -> str:
    """Of a part, or of the balancer itself."""
    made = 1 if part is None else part.made_revision
    changed = tree.balancer.revision_number if part is None else part.changed_revision
    if tree.balancer.applied_revision < made:
        return PENDING_CREATE
    return PENDING_UPDATE if tree.balancer.applied_revision < changed else ACTIVE


def of_balancer(tree: BalancerTree) -> str:
    if not tree.balancer.admin_state_up or provisioning(tree) == PENDING_CREATE:
        return OFFLINE
    pools = {of_pool(tree, row) for row in tree.pools}
    return next((worst for worst in (ERROR, DEGRADED) if worst in pools), ONLINE)


def of_listener(tree: BalancerTree, row: BalancerListener) -> str:
    return _switched(tree, row)


def of_l7(tree: BalancerTree, row: BalancerPart) -> str:
    """Of an L7 policy or rule."""
    return _switched(tree, row)


def of_monitor(tree: BalancerTree, row: HealthMonitor) -> str:
    return _switched(tree, row)


def of_pool(tree: BalancerTree, row: BalancerPool) -> str:
    """One that no listener leads to is offline, whatever its members are."""
    if _switched(tree, row) == OFFLINE or not tree.listeners_of(row.id):
        return OFFLINE
    states = [of_member(tree, one) for one in tree.members_of(row.id)]
    if ERROR not in states:
        return ONLINE
    return ERROR if all(state in (ERROR, OFFLINE) for state in states) else DEGRADED


def of_member(tree: BalancerTree, row: PoolMember) -> str:
    if not row.admin_state_up:
        return OFFLINE
    # As the tree has it: the weight of a member whose server moves is 0 meanwhile.
    known = [one.weight for one in tree.members_of(row.pool_id) if one.id == row.id]
    weight = known[0] if known else row.weight
    if weight == 0:
        return DRAINING
    if not is_monitored(tree, row.pool_id):
        return NO_MONITOR
    return row.health or OFFLINE


def is_monitored(tree: BalancerTree, pool_id: str) -> bool:
    monitor = tree.monitors.get(pool_id)
    return monitor is not None and monitor.admin_state_up


def _switched(tree: BalancerTree, row: BalancerPart) -> str:
    is_on = row.admin_state_up and provisioning(tree, row) != PENDING_CREATE
    return ONLINE if is_on else OFFLINE
