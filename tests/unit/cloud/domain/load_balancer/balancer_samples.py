"""A balancer with a listener, a pool and members, as rows. For this folder's tests."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from kumoi.cloud.domain.load_balancer.tree import BalancerTree
from kumoi.cloud.store.load_balancer.health_monitor import HealthMonitor
from kumoi.cloud.store.load_balancer.listener import BalancerListener
from kumoi.cloud.store.load_balancer.load_balancer import LoadBalancer
from kumoi.cloud.store.load_balancer.member import PoolMember
from kumoi.cloud.store.load_balancer.pool import BalancerPool

NOW = datetime(2026, 11, 28, tzinfo=UTC)
ROW: dict[str, Any] = {
    "project_id": "project",
    "description": "",
    "name": "",
    "admin_state_up": True,
    "created_at": NOW,
    "updated_at": NOW,
    "revision_number": 1,
}
PART = ROW | {"load_balancer_id": "lb", "made_revision": 2, "changed_revision": 3}
BALANCER = LoadBalancer(
    **ROW | {"revision_number": 5},
    id="lb",
    vip_address="10.0.0.5",
    vip_network_id="net",
    vip_subnet_id="subnet",
    vip_port_id="port",
    owns_vip_port=True,
    applied_revision=5,
)
POOL = BalancerPool(
    **PART, id="pool", protocol="TCP", lb_algorithm="ROUND_ROBIN", session_persistence=None
)
LISTENER = BalancerListener(
    **PART,
    id="listener",
    protocol="TCP",
    protocol_port=80,
    connection_limit=-1,
    default_pool_id="pool",
    insert_headers={},
    allowed_cidrs=[],
    timeout_client_data=1,
    timeout_member_connect=1,
    timeout_member_data=1,
    timeout_tcp_inspect=0,
)
MEMBER = PoolMember(
    **PART,
    id="one",
    pool_id="pool",
    address="10.0.0.11",
    protocol_port=80,
    weight=1,
    backup=False,
    subnet_id=None,
    monitor_address=None,
    monitor_port=None,
    health=None,
)
MONITOR = HealthMonitor(
    **PART,
    id="monitor",
    pool_id="pool",
    type="TCP",
    delay=1,
    timeout=1,
    max_retries=1,
    max_retries_down=1,
    http_method=None,
    url_path=None,
    expected_codes=None,
    http_version=None,
    domain_name=None,
)


def member(name: str, **values: Any) -> PoolMember:
    return replace(MEMBER, id=name, **values)


def tree(*members: PoolMember, monitor: HealthMonitor | None = None, **values: Any) -> BalancerTree:
    """`values` are the balancer's."""
    return BalancerTree(
        replace(BALANCER, **values),
        [LISTENER],
        [POOL],
        {"pool": list(members)},
        {} if monitor is None else {"pool": monitor},
    )
