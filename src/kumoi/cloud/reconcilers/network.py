"""Reconciler: makes the network engine match the store, and writes the state of ports to the store.

The engine may drift, so it is compared with the store whenever something was written, and every
DRIFT_S in any case. Runs in the worker under a lease (engine/loop.py). It writes no wanted state: only
the status of ports and floating IPs, and only when it differs.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from sqlalchemy.engine import Connection

from kumoi.base import log
from kumoi.base.clock import Clock
from kumoi.cloud.domain.host import host as host_domain
from kumoi.cloud.domain.load_balancer import tree
from kumoi.cloud.domain.network import owner
from kumoi.cloud.domain.network.security_group_rule import normalized
from kumoi.cloud.drivers.network.interface import (
    AddressPair,
    BalancerSpec,
    DhcpOption,
    Direction,
    Ethertype,
    FixedIp,
    FloatingIpSpec,
    ForwardingSpec,
    HostRoute,
    NetworkSpec,
    Northbound,
    PortSpec,
    RateSpec,
    RouterSpec,
    RuleSpec,
    SecurityGroupSpec,
    SubnetSpec,
    Topology,
)
from kumoi.cloud.reconcilers.balancing import balancer_spec
from kumoi.cloud.reconcilers.installed import InstalledBalancers
from kumoi.cloud.store.host import host as host_store
from kumoi.cloud.store.host.host import Host
from kumoi.cloud.store.load_balancer import load_balancer as balancer_store
from kumoi.cloud.store.network import address_group as address_group_store
from kumoi.cloud.store.network import floating_ip as floating_ip_store
from kumoi.cloud.store.network import network as network_store
from kumoi.cloud.store.network import port as port_store
from kumoi.cloud.store.network import port_forwarding as forwarding_store
from kumoi.cloud.store.network import qos_rule as qos_rule_store
from kumoi.cloud.store.network import router as router_store
from kumoi.cloud.store.network import security_group as security_group_store
from kumoi.cloud.store.network import security_group_rule as rule_store
from kumoi.cloud.store.network import standard
from kumoi.cloud.store.network import subnet as subnet_store
from kumoi.cloud.store.network import subnet_pool as pool_store
from kumoi.cloud.store.network.qos_rule import QosKind
from kumoi.engine import db, feed
from kumoi.engine.db import Database
from kumoi.engine.position import Position

DRIFT_S = 60.0  # How long the engine may differ when somebody else changed it.
ACTIVE = "ACTIVE"
DOWN = "DOWN"
NOT_APPLICABLE = "N/A"


class NetworkReconciler:
    """One `round` at a time, from one thread."""

    def __init__(self, database: Database, northbound: Northbound, clock: Clock) -> None:
        self._database = database
        self._northbound = northbound
        self._clock = clock
        self._seen = Position()  # Up to where the engine has what was written.
        self._compared_at_s = 0.0
        self._ports_up: frozenset[str] | None = None
        self._balancers = InstalledBalancers()

    def round(self) -> None:
        """Raises Transient when the engine does not answer; the next round does it all again."""
        changed = self._converge()
        observed = self._northbound.observe()
        now_s = self._clock.monotonic()
        changed = self._balancers.hear(observed.sequence, now_s=now_s) or changed
        if changed or observed.ports_up != self._ports_up:
            self._ports_up = None  # Until it is written.
            self._write_back(observed.ports_up)
            self._ports_up = observed.ports_up

    def _converge(self) -> bool:
        """Whether the engine was compared with the store."""
        now_s = self._clock.monotonic()
        with self._database.read() as connection:
            now = feed.position(connection)
            is_due = now_s - self._compared_at_s >= DRIFT_S or not now.continues(self._seen)
            changes = feed.changes(connection, standard.TOPIC, since=self._seen.revision)
            is_due = is_due or bool(changes.keys)
            topology = load(connection) if is_due else None
            balancers = [] if is_due else _rebalanced(connection, self._seen)
        if topology is None:
            return self._rebalance(balancers, now)
        revisions = {balancer.id: balancer.generation for balancer in topology.balancers}
        applied = self._northbound.converge(topology, asks=revisions != self._balancers.told)
        if applied.actions:
            duration_s = round(self._clock.monotonic() - now_s, 3)
            log.event("network.converged", actions=len(applied.actions), duration_s=duration_s)
        self._seen, self._compared_at_s = now, now_s
        self._balancers.tell(applied.sequence, revisions, now_s=now_s)
        return True

    def _rebalance(self, balancers: list[BalancerSpec], now: Position) -> bool:
        """Nothing changed but members, if anything: whether the engine was told of some."""
        if not balancers:
            return False
        applied = self._northbound.rebalance(balancers)
        self._seen = now
        revisions = {balancer.id: balancer.generation for balancer in balancers}
        now_s = self._clock.monotonic()
        self._balancers.tell(applied.sequence, {**self._balancers.told, **revisions}, now_s=now_s)
        return True

    def _write_back(self, up: frozenset[str]) -> None:
        """The status of ports and floating IPs, into the store; no write when none differs."""
        with self._database.read() as connection:
            stale = stale_statuses(port_store.summaries(connection), up)
            floating = floating_ip_store.has_stale_status(connection)
            applied = _newly_applied(balancer_store.applied(connection), self._balancers.revisions)
        if not stale and not floating and not applied:
            return
        with self._database.write(wakes=False) as connection:
            # Looked at again: ports may have been bound or released since.
            for status, keys in stale_statuses(port_store.summaries(connection), up).items():
                port_store.set_status(connection, keys, status)
            floating_ip_store.set_statuses(connection)
            balancer_store.set_applied(connection, applied)


def _rebalanced(connection: Connection, since: Position) -> list[BalancerSpec]:
    """The balancers whose members changed and nothing else."""
    keys = feed.changes(connection, balancer_store.TOPIC, since=since.revision).keys
    if not keys:
        return []
    trees = tree.of(connection, balancer_store.many(connection, keys))
    lost = _lost(host_store.every(connection))
    return [balancer_spec(balancer_tree, lost) for balancer_tree in trees.values()]


def _lost(hosts: Sequence[Host]) -> frozenset[str]:
    """Those that nobody hears of, and those out of service."""
    return frozenset(row.id for row in hosts if not (row.is_up and row.enabled))


def _newly_applied(said: Mapping[str, int], has: Mapping[str, int]) -> dict[str, int]:
    """The revisions that hosts have of balancers, where the store says another."""
    return {key: has[key] for key, revision in said.items() if key in has and has[key] != revision}


def stale_statuses(
    summaries: list[port_store.PortSummary], up: frozenset[str]
) -> dict[str, list[str]]:
    """Ids of the ports whose status differs from what it should be, by the status it should be."""
    stale: dict[str, list[str]] = defaultdict(list)
    for port in summaries:
        status = _status(port, up)
        if status != port.status:
            stale[status].append(port.id)
    return stale


def _status(port: port_store.PortSummary, up: frozenset[str]) -> str:
    """The port of a router or balancer needs no plugging; a server's is active when its host has
    plugged it.
    """
    if port.device_owner == owner.FLOATING_IP:
        return NOT_APPLICABLE
    if not port.admin_state_up:
        return DOWN
    if port.device_owner in owner.ROUTER or port.device_owner == owner.BALANCER:
        return ACTIVE
    return ACTIVE if port.host and port.id in up else DOWN


def load(connection: Connection) -> Topology:
    """The whole network as wanted, in one query for each kind of thing."""
    ports = port_store.every(connection)
    networks = network_store.every(connection)
    scopes = pool_store.scopes(connection)
    quality = _quality_by_policy(connection)
    of_network = {row.id: row.qos_policy_id for row in networks}
    hosts = host_store.every(connection)
    lost, gateways = _lost(hosts), host_domain.leading_outside(hosts, db.now(connection))
    return Topology(
        networks=tuple(_network(row) for row in networks),
        subnets=tuple(_subnet(row, scopes) for row in subnet_store.every(connection)),
        ports=tuple(
            _port(row, quality.get(row.qos_policy_id or of_network.get(row.network_id) or ""))
            for row in ports
        ),
        routers=tuple(_router(row) for row in router_store.every(connection)),
        forwardings=_forwardings(connection),
        floating_ips=_floating_ips(connection, ports, hosts),
        security_groups=_security_groups(connection),
        balancers=tuple(balancer_spec(one, lost) for one in tree.every(connection)),
        gateway_hosts=tuple(row.id for row in gateways),
    )


def _network(row: network_store.Network) -> NetworkSpec:
    return NetworkSpec(
        id=row.id,
        name=row.name,
        mtu=row.mtu,
        external=row.external,
        physical_network=row.physical_network,
        admin_state_up=row.admin_state_up,
    )


def _subnet(row: subnet_store.Subnet, scopes: Mapping[str, str]) -> SubnetSpec:
    return SubnetSpec(
        id=row.id,
        network_id=row.network_id,
        cidr=row.cidr,
        ip_version=row.ip_version,
        gateway_ip=row.gateway_ip,
        enable_dhcp=row.enable_dhcp,
        dns_nameservers=tuple(row.dns_nameservers),
        host_routes=_routes(row.host_routes),
        ipv6_ra_mode=row.ipv6_ra_mode,
        ipv6_address_mode=row.ipv6_address_mode,
        address_scope_id=scopes.get(row.subnetpool_id or ""),
    )


@dataclass(frozen=True, slots=True)
class _Quality:
    """What the rules of a policy make of a port."""

    rates: tuple[RateSpec, ...] = ()
    dscp: int | None = None


def _quality_by_policy(connection: Connection) -> dict[str, _Quality]:
    found: dict[str, _Quality] = defaultdict(_Quality)
    for row in qos_rule_store.every(connection):
        before = found[row.qos_policy_id]
        if row.kind == QosKind.DSCP_MARKING:
            found[row.qos_policy_id] = replace(before, dscp=row.dscp_mark)
        elif row.max_kbps is not None and row.direction is not None:
            rate = RateSpec(
                direction=Direction(row.direction),
                kbps=row.max_kbps,
                burst_kbit=row.max_burst_kbps or 0,
            )
            found[row.qos_policy_id] = replace(before, rates=(*before.rates, rate))
    return found


def _port(row: port_store.Port, quality: _Quality | None) -> PortSpec:
    """The services' own ports have no quality of service: a policy is for what is plugged."""
    has_one = quality is not None and row.device_owner not in owner.SERVICE
    return PortSpec(
        id=row.id,
        network_id=row.network_id,
        mac=row.mac_address,
        name=row.name,
        fixed_ips=tuple(FixedIp(subnet_id=pair[0], address=pair[1]) for pair in row.fixed_ips),
        device_owner=row.device_owner,
        device_id=row.device_id,
        host=row.host or None,
        admin_state_up=row.admin_state_up,
        port_security_enabled=row.port_security_enabled,
        security_group_ids=tuple(row.security_group_ids),
        allowed_address_pairs=tuple(
            AddressPair(address=address, mac=mac)
            for address, mac in row.allowed_address_pairs
            if address is not None
        ),
        dhcp=tuple(
            DhcpOption(name=name, value=value, ip_version=int(version))
            for name, value, version in row.extra_dhcp_opts
        ),
        rates=quality.rates if quality is not None and has_one else (),
        dscp=quality.dscp if quality is not None and has_one else None,
        generation=row.revision_number,
    )


def _router(row: router_store.Router) -> RouterSpec:
    return RouterSpec(
        id=row.id,
        name=row.name,
        admin_state_up=row.admin_state_up,
        enable_snat=row.enable_snat,
        routes=_routes(row.routes),
    )


def _floating_ips(
    connection: Connection, ports: Sequence[port_store.Port], hosts: Sequence[host_store.Host]
) -> tuple[FloatingIpSpec, ...]:
    """Answered for by the server's own host where that has a way outside; by the router's gateway elsewhere."""
    macs = {row.id: row.mac_address for row in ports}
    inside = {row.id for row in hosts if not row.leads_outside}
    kept_in = {row.id for row in ports if row.host in inside}
    return tuple(
        FloatingIpSpec(
            id=row.id,
            address=row.floating_ip_address,
            router_id=row.router_id,
            port_id=row.port_id,
            fixed_address=row.fixed_ip_address,
            mac=None if row.port_id in kept_in else macs.get(row.own_port_id),
        )
        for row in floating_ip_store.at_routers(connection)
        if row.router_id and row.port_id and row.fixed_ip_address
    )


def _forwardings(connection: Connection) -> tuple[ForwardingSpec, ...]:
    rows = forwarding_store.every(connection)
    floating = {
        row.id: row for row in floating_ip_store.at_routers(connection) if row.port_id is None
    }
    return tuple(
        ForwardingSpec(
            id=row.id,
            router_id=at.router_id,
            protocol=row.protocol,
            outer_address=at.floating_ip_address,
            outer_port=row.external_port,
            inner_address=row.internal_ip_address,
            inner_port=row.internal_port,
        )
        for row in rows
        if (at := floating.get(row.floating_ip_id)) is not None and at.router_id is not None
    )


def _security_groups(connection: Connection) -> tuple[SecurityGroupSpec, ...]:
    rules: dict[str, list[RuleSpec]] = defaultdict(list)
    addresses = {row.id: row.addresses for row in address_group_store.every(connection)}
    for row in rule_store.every(connection):
        rules[row.security_group_id].append(_rule(row, addresses))
    return tuple(
        SecurityGroupSpec(
            id=row.id, name=row.name, stateful=row.stateful, rules=tuple(rules[row.id])
        )
        for row in security_group_store.every(connection)
    )


def _rule(row: rule_store.SecurityGroupRule, addresses: Mapping[str, Sequence[str]]) -> RuleSpec:
    group = row.remote_address_group_id
    return RuleSpec(
        id=row.id,
        direction=Direction(row.direction),
        ethertype=Ethertype(row.ethertype),
        protocol=row.protocol,
        port_min=row.port_range_min,
        port_max=row.port_range_max,
        remote_prefix=None if group else normalized(row.remote_ip_prefix),
        remote_group_id=row.remote_group_id,
        remote_networks=None if group is None else tuple(sorted(addresses.get(group, ()))),
    )


def _routes(pairs: list[list[str]]) -> tuple[HostRoute, ...]:
    return tuple(HostRoute(destination=pair[0], nexthop=pair[1]) for pair in pairs)
