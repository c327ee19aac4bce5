"""Load balancers as things on hosts: trees become the specs for stations, and their reports become
the health of members.

A balancer has a station on each of its hosts; all are told the same balancer. The one of the lowest
slot whose host is up says which members work. Nothing here changes wanted state.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

import msgspec
from msgspec.structs import asdict
from sqlalchemy.engine import Connection

from kumoi.base import log
from kumoi.cloud.domain.host import balancer_tls
from kumoi.cloud.domain.host.balancer_tls import Opened
from kumoi.cloud.domain.host.thing import ThingKind, not_here
from kumoi.cloud.domain.load_balancer import material, stationing, statistics, traffic, tree
from kumoi.cloud.domain.load_balancer.status import is_monitored
from kumoi.cloud.domain.load_balancer.tree import BalancerTree
from kumoi.cloud.hostapi import load_balancer as messages
from kumoi.cloud.hostapi.load_balancer import BalancerStatus
from kumoi.cloud.hostapi.things import NotUnderstood, Thing, ThingReport
from kumoi.cloud.store.host import host as host_store
from kumoi.cloud.store.load_balancer import load_balancer as store
from kumoi.cloud.store.load_balancer import member as member_store
from kumoi.cloud.store.load_balancer import station as station_store
from kumoi.cloud.store.load_balancer.health_monitor import HealthMonitor
from kumoi.cloud.store.load_balancer.l7_policy import L7Policy
from kumoi.cloud.store.load_balancer.listener import BalancerListener
from kumoi.cloud.store.load_balancer.pool import BalancerPool
from kumoi.cloud.store.load_balancer.station import Station
from kumoi.cloud.store.network import network as network_store
from kumoi.cloud.store.seal import Seal

FAULT_MAX = 2_000
STATES = frozenset({messages.ONLINE, messages.ERROR})


def kind(seal: Seal) -> ThingKind:
    """`seal` opens the keys and certificates that hosts are sent."""

    def on_host(connection: Connection, host_id: str) -> list[Thing]:
        return _things(connection, station_store.on_host(connection, host_id), seal)

    def several(connection: Connection, host_id: str, ids: Sequence[str]) -> list[Thing]:
        rows = station_store.of_balancers(connection, ids)
        return _things(connection, [row for row in rows if row.host_id == host_id], seal)

    return ThingKind(station_store.KIND, on_host, several, says_news, take)


def take(connection: Connection, host_id: str, report: ThingReport, now: datetime) -> None:  # noqa: ARG001 - the contract's
    """Write what the report says, or have the host remove a station that is not its own."""
    row = station_store.find(connection, report.id, host_id)
    if row is None:
        not_here(connection, host_id, report)
        return
    health, observed = _health(connection, row, report), _observed(row, report)
    if observed:
        station_store.observe(connection, row, **observed)
    for key, state in health.items():
        member_store.set_health(connection, key, state)
        log.event("member.health_changed", member=key, health=state, host=host_id)
    if health or observed.keys() & {"observed_generation", "fault"}:
        store.note_health(connection, row.load_balancer_id)


def says_news(connection: Connection, host_id: str, report: ThingReport) -> bool:
    """Whether `take` would change anything."""
    row = station_store.find(connection, report.id, host_id)
    if row is None or report.absent:
        return True
    return bool(_observed(row, report) or _health(connection, row, report))


def _observed(row: Station, report: ThingReport) -> dict[str, Any]:
    """The columns of the station that are otherwise by the report."""
    if report.absent or report.generation < row.observed_generation:
        return {}
    now = {listener: asdict(one) for listener, one in _status(report).counters.items()}
    said = {
        "observed_generation": report.generation,
        "fault": report.fault[:FAULT_MAX],
        "counters": statistics.continued(row.counters, now),
    }
    return {name: value for name, value in said.items() if getattr(row, name) != value}


def _health(connection: Connection, row: Station, report: ThingReport) -> dict[str, str]:
    """The members whose state is another than before, where this station is the one to say so."""
    said = _status(report).members
    if not said or not _is_first(connection, row):
        return {}
    known = member_store.of_balancers(connection, [row.load_balancer_id])
    return {
        member.id: said[member.id]
        for member in known
        if member.id in said and said[member.id] in STATES and said[member.id] != member.health
    }


def _is_first(connection: Connection, row: Station) -> bool:
    up = {host.id for host in host_store.every(connection) if host.is_up}
    stations = station_store.of_balancers(connection, [row.load_balancer_id])
    slots = [one.slot for one in stations if one.host_id in up]
    return not slots or row.slot == min(slots)


def _status(report: ThingReport) -> BalancerStatus:
    try:
        return msgspec.json.decode(report.status, type=BalancerStatus)
    except msgspec.DecodeError as error:
        raise NotUnderstood(str(error)) from error


def _things(connection: Connection, rows: Iterable[Station], seal: Seal) -> list[Thing]:
    listed = list(rows)
    balancers = store.many(connection, [row.load_balancer_id for row in listed])
    trees = tree.of(connection, balancers)
    networks = {row.vip_network_id for row in balancers}
    mtus = {row.id: row.mtu for key in networks if (row := network_store.get(connection, key))}
    opened = material.opened(connection, list(trees), seal)
    return [
        messages.balancer_thing(_message(trees[row.load_balancer_id], row, mtus, opened))
        for row in listed
        if row.load_balancer_id in trees
    ]


def _message(
    one: BalancerTree, row: Station, mtus: dict[str, int], opened: Opened
) -> messages.BalancerThing:
    place = stationing.place(one, row)
    proxied = [row for row in stationing.proxied(one) if balancer_tls.is_whole(row, opened)]
    served = {pool.id for listener in proxied for pool in one.pools_of(listener)}
    return messages.BalancerThing(
        id=one.balancer.id,
        generation=one.balancer.revision_number,
        address=one.balancer.vip_address,
        station=messages.StationLink(
            id=row.id,
            port_id=row.id,
            mac=place.mac,
            mtu=mtus[one.balancer.vip_network_id],
            address=f"{place.address}/{place.prefix}",
            gateway=place.gateway,
            gateway_mac=place.gateway_mac,
            first_port=place.first_port,
            first_free_port=place.first_free_port,
            last_port=place.last_port,
            answers_ping=row.slot == min(other.slot for other in one.stations),
        ),
        listeners=[_listener(one, place, listener, opened) for listener in proxied],
        pools=[
            _pool(one, pool, opened)
            for pool in one.pools
            if pool.admin_state_up and (pool.id in served or is_monitored(one, pool.id))
            if balancer_tls.is_whole(pool, opened)
        ],
    )


def _listener(
    one: BalancerTree, place: stationing.StationPlace, row: BalancerListener, opened: Opened
) -> messages.ProxiedListener:
    return messages.ProxiedListener(
        id=row.id,
        protocol=row.protocol,
        port=row.protocol_port,
        station_port=place.listener_port(row),
        pool_id=row.default_pool_id or "",
        connection_limit=row.connection_limit,
        insert_headers=row.insert_headers,
        timeout_client_data=row.timeout_client_data,
        timeout_member_connect=row.timeout_member_connect,
        timeout_member_data=row.timeout_member_data,
        timeout_tcp_inspect=row.timeout_tcp_inspect,
        allowed_cidrs=row.allowed_cidrs,
        policies=[
            _policy(one, policy)
            for policy in sorted(one.policies_of(row.id), key=lambda policy: policy.position)
            if policy.admin_state_up
        ],
        tls=balancer_tls.of_listener(row, opened),
    )


def _policy(one: BalancerTree, row: L7Policy) -> messages.L7PolicySpec:
    return messages.L7PolicySpec(
        action=row.action,
        redirect_pool_id=row.redirect_pool_id or "",
        redirect_url=row.redirect_url or "",
        redirect_prefix=row.redirect_prefix or "",
        redirect_http_code=row.redirect_http_code or 0,
        rules=[
            messages.L7RuleSpec(
                id=rule.id,
                type=rule.type,
                compare_type=rule.compare_type,
                value=rule.value,
                key=rule.key or "",
                invert=rule.invert,
            )
            for rule in one.rules_of(row.id)
            if rule.admin_state_up
        ],
    )


def _pool(one: BalancerTree, row: BalancerPool, opened: Opened) -> messages.PoolSpec:
    monitor = one.monitors.get(row.id)
    said = row.session_persistence or {}
    return messages.PoolSpec(
        id=row.id,
        protocol=row.protocol,
        algorithm=row.lb_algorithm,
        persistence={key: str(value) for key, value in said.items() if value is not None},
        members=[
            messages.MemberSpec(
                id=member.id,
                address=member.address,
                port=member.protocol_port,
                weight=member.weight,
                backup=member.backup,
                monitor_address=member.monitor_address or "",
                monitor_port=member.monitor_port or 0,
                health=member.health or "",
            )
            for member in one.members_of(row.id)
            if member.admin_state_up and traffic.is_reachable(one, member)
        ],
        monitor=_monitor(monitor) if monitor and monitor.admin_state_up else None,
        tls=row.tls_enabled,
        tls_with=balancer_tls.of_pool(row, opened),
    )


def _monitor(row: HealthMonitor) -> messages.MonitorSpec:
    """What the API says nothing of is the default."""
    said = {
        "http_method": row.http_method,
        "url_path": row.url_path,
        "expected_codes": row.expected_codes,
        "http_version": row.http_version and str(row.http_version),
        "domain_name": row.domain_name,
    }
    return messages.MonitorSpec(
        type=row.type,
        delay_s=row.delay,
        timeout_s=row.timeout,
        max_retries=row.max_retries,
        max_retries_down=row.max_retries_down,
        **{name: value for name, value in said.items() if value},
    )
