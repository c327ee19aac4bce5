"""Rows as Octavia shows them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, TypeVar

from sqlalchemy.engine import Connection

from kumoi.cloud.domain.load_balancer import capability, status
from kumoi.cloud.domain.load_balancer.tree import BalancerTree
from kumoi.cloud.domain.load_balancer.tree import of_parts as trees_of
from kumoi.cloud.store.load_balancer.health_monitor import HealthMonitor
from kumoi.cloud.store.load_balancer.l7_policy import L7Policy
from kumoi.cloud.store.load_balancer.l7_rule import L7Rule
from kumoi.cloud.store.load_balancer.listener import BalancerListener
from kumoi.cloud.store.load_balancer.member import PoolMember
from kumoi.cloud.store.load_balancer.part import BalancerPart
from kumoi.cloud.store.load_balancer.pool import BalancerPool

Shown = dict[str, Any]
Row = TypeVar("Row", bound=BalancerPart)
TagsOf = Mapping[str, Sequence[str]]


def balancer(tree: BalancerTree, tags: TagsOf, *, full: bool = False) -> Shown:
    """With `full`, its parts are shown whole."""
    row = tree.balancer
    return {
        "id": row.id,
        "name": row.name,
        "description": row.description,
        "admin_state_up": row.admin_state_up,
        "project_id": row.project_id,
        "tenant_id": row.project_id,
        "provisioning_status": status.provisioning(tree),
        "operating_status": status.of_balancer(tree),
        "created_at": time(row.created_at),
        "updated_at": time(row.updated_at),
        "vip_address": row.vip_address,
        "vip_port_id": row.vip_port_id,
        "vip_subnet_id": row.vip_subnet_id,
        "vip_network_id": row.vip_network_id,
        "vip_qos_policy_id": None,
        "additional_vips": [],
        "provider": capability.PROVIDER,
        "flavor_id": row.flavor_id,
        "availability_zone": row.availability_zone,
        "listeners": [listener(tree, one, tags, full=True) for one in tree.listeners]
        if full
        else ids(tree.listeners),
        "pools": [pool(tree, one, tags, full=True) for one in tree.pools]
        if full
        else ids(tree.pools),
        "tags": list(tags.get(row.id, ())),
    }


def of_parts(
    show: Callable[[BalancerTree, Row, TagsOf], Shown],
) -> Callable[[Connection, Sequence[Row], TagsOf], list[Shown]]:
    """Shows parts, each with the tree that it belongs to."""

    def shown(connection: Connection, rows: Sequence[Row], tags: TagsOf) -> list[Shown]:
        trees = trees_of(connection, rows)
        return [show(trees[row.load_balancer_id], row, tags) for row in rows]

    return shown


def listener(
    tree: BalancerTree, row: BalancerListener, tags: TagsOf, *, full: bool = False
) -> Shown:
    policies = tree.policies_of(row.id)
    return {
        **_common(tree, row, tags, status.of_listener(tree, row)),
        "description": row.description,
        "protocol": row.protocol,
        "protocol_port": row.protocol_port,
        "connection_limit": row.connection_limit,
        "default_pool_id": row.default_pool_id,
        "default_tls_container_ref": row.default_tls_container_ref,
        "sni_container_refs": row.sni_container_refs or [],
        "client_ca_tls_container_ref": row.client_ca_tls_container_ref,
        "client_authentication": row.client_authentication,
        "client_crl_container_ref": row.client_crl_container_ref,
        "tls_ciphers": row.tls_ciphers,
        "tls_versions": row.tls_versions or [],
        "alpn_protocols": row.alpn_protocols or [],
        "hsts_max_age": row.hsts_max_age,
        "hsts_include_subdomains": row.hsts_include_subdomains,
        "hsts_preload": row.hsts_preload,
        "insert_headers": row.insert_headers,
        "l7policies": [l7_policy(tree, one, tags, full=True) for one in policies]
        if full
        else ids(policies),
        "loadbalancers": [{"id": row.load_balancer_id}],
        "timeout_client_data": row.timeout_client_data,
        "timeout_member_connect": row.timeout_member_connect,
        "timeout_member_data": row.timeout_member_data,
        "timeout_tcp_inspect": row.timeout_tcp_inspect,
        "allowed_cidrs": row.allowed_cidrs or None,
    }


def pool(tree: BalancerTree, row: BalancerPool, tags: TagsOf, *, full: bool = False) -> Shown:
    members, monitor = tree.members_of(row.id), tree.monitors.get(row.id)
    return {
        **_common(tree, row, tags, status.of_pool(tree, row)),
        "description": row.description,
        "protocol": row.protocol,
        "lb_algorithm": row.lb_algorithm,
        "session_persistence": row.session_persistence,
        "loadbalancers": [{"id": row.load_balancer_id}],
        "listeners": ids(tree.listeners_of(row.id)),
        "members": [member(tree, one, tags) for one in members] if full else ids(members),
        **_monitored(tree, monitor, tags, full=full),
        "tls_enabled": row.tls_enabled,
        "tls_container_ref": row.tls_container_ref,
        "ca_tls_container_ref": row.ca_tls_container_ref,
        "crl_container_ref": row.crl_container_ref,
        "tls_ciphers": row.tls_ciphers,
        "tls_versions": row.tls_versions or [],
        "alpn_protocols": row.alpn_protocols or [],
    }


def member(tree: BalancerTree, row: PoolMember, tags: TagsOf) -> Shown:
    return {
        **_common(tree, row, tags, status.of_member(tree, row)),
        "address": row.address_text or row.address,
        "protocol_port": row.protocol_port,
        "weight": row.weight,
        "backup": row.backup,
        "subnet_id": row.subnet_id,
        "monitor_address": row.monitor_address_text or row.monitor_address,
        "monitor_port": row.monitor_port,
    }


def health_monitor(tree: BalancerTree, row: HealthMonitor, tags: TagsOf) -> Shown:
    return {
        **_common(tree, row, tags, status.of_monitor(tree, row)),
        "type": row.type,
        "delay": row.delay,
        "timeout": row.timeout,
        "max_retries": row.max_retries,
        "max_retries_down": row.max_retries_down,
        "http_method": row.http_method,
        "url_path": row.url_path,
        "expected_codes": row.expected_codes,
        "http_version": row.http_version,
        "domain_name": row.domain_name,
        "pools": [{"id": row.pool_id}],
    }


def l7_policy(tree: BalancerTree, row: L7Policy, tags: TagsOf, *, full: bool = False) -> Shown:
    rules = tree.rules_of(row.id)
    return {
        **_common(tree, row, tags, status.of_l7(tree, row)),
        "description": row.description,
        "listener_id": row.listener_id,
        "action": row.action,
        "position": row.position,
        "redirect_pool_id": row.redirect_pool_id,
        "redirect_url": row.redirect_url,
        "redirect_prefix": row.redirect_prefix,
        "redirect_http_code": row.redirect_http_code,
        "rules": [l7_rule(tree, one, tags) for one in rules] if full else ids(rules),
    }


def l7_rule(tree: BalancerTree, row: L7Rule, tags: TagsOf) -> Shown:
    shown = {
        **_common(tree, row, tags, status.of_l7(tree, row)),
        "type": row.type,
        "compare_type": row.compare_type,
        "key": row.key,
        "value": row.value,
        "invert": row.invert,
    }
    return {name: value for name, value in shown.items() if name != "name"}


def states(tree: BalancerTree) -> Shown:
    """The status tree: Octavia's pools are below the listeners that lead to them."""
    return {
        "id": tree.balancer.id,
        "name": tree.balancer.name,
        "provisioning_status": status.provisioning(tree),
        "operating_status": status.of_balancer(tree),
        "listeners": [
            {
                **_state(tree, row, status.of_listener(tree, row)),
                "pools": [_pool_state(tree, one) for one in tree.pools_of(row)],
            }
            for row in tree.listeners
        ],
    }


def ids(rows: Iterable[BalancerPart]) -> list[Shown]:
    return [{"id": row.id} for row in rows]


def time(at: datetime) -> str:
    return at.isoformat()[:19]


def _common(tree: BalancerTree, row: BalancerPart, tags: TagsOf, operating: str) -> Shown:
    return {
        "id": row.id,
        "name": row.name,
        "admin_state_up": row.admin_state_up,
        "project_id": row.project_id,
        "tenant_id": row.project_id,
        "provisioning_status": status.provisioning(tree, row),
        "operating_status": operating,
        "created_at": time(row.created_at),
        "updated_at": time(row.updated_at),
        "tags": list(tags.get(row.id, ())),
    }


def _monitored(tree: BalancerTree, row: HealthMonitor | None, tags: TagsOf, *, full: bool) -> Shown:
    if full and row is not None:
        return {"healthmonitor": health_monitor(tree, row, tags)}
    return {"healthmonitor_id": None if row is None else row.id}


def _pool_state(tree: BalancerTree, row: BalancerPool) -> Shown:
    shown = {
        **_state(tree, row, status.of_pool(tree, row)),
        "members": [
            {
                **_state(tree, one, status.of_member(tree, one)),
                "address": one.address_text or one.address,
                "protocol_port": one.protocol_port,
            }
            for one in tree.members_of(row.id)
        ],
    }
    monitor = tree.monitors.get(row.id)
    return shown if monitor is None else shown | {"health_monitor": _monitor_state(tree, monitor)}


def _monitor_state(tree: BalancerTree, row: HealthMonitor) -> Shown:
    return {**_state(tree, row, status.of_monitor(tree, row)), "type": row.type}


def _state(tree: BalancerTree, row: BalancerPart, operating: str) -> Shown:
    return {
        "id": row.id,
        "name": row.name,
        "provisioning_status": status.provisioning(tree, row),
        "operating_status": operating,
    }
