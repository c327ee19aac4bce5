"""`kumoi exposure`: every address and port that a tenant, or the outside, can reach, and its
process.

Sockets are read from the kernel, tunnels from the switch, tenants' addresses from the public API.
Tenants' packets reach the machine through the edge alone, whose rules let them open the APIs and
the pipeline (hosts/wires/edge.py). All other clients come from the machine's own networks; only the
machine's own firewall may stop them, so every socket beyond loopback counts as reachable from
there.
"""

from __future__ import annotations

import argparse
import ipaddress
from collections import Counter
from collections.abc import Collection
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from keystoneauth1.exceptions import ClientException
from openstack.exceptions import SDKException

from kumoi.base.errors import Conflict, Permanent
from kumoi.cli import choice
from kumoi.cli.output import console, say_json, table
from kumoi.cli.status import admin_entry
from kumoi.components import Api
from kumoi.config import CloudSettings, HostSettings
from kumoi.hosts.first_use import first_run
from kumoi.hosts.units import keeper
from kumoi.hosts.wires import sockets

if TYPE_CHECKING:
    from openstack.connection import Connection

LOOPBACK = "this machine only"
TENANTS = "tenants by their routers, this machine's networks"
UNDERLAY = "the underlay between hosts, this machine's networks"
NETWORKS = "this machine's networks"
NOT_OURS = "not of this cloud"
SERVICE_OWNERS = ("network:dhcp", "network:distributed", "network:local_ip", "neutron:")
ANY = "any"


@dataclass(frozen=True, slots=True)
class ExposedEndpoint:
    """A listening socket. `unit` is the process of ours that answers."""

    place: str
    protocol: str
    address: str
    port: int
    process: str
    pid: int
    unit: str
    reached_by: str


@dataclass(frozen=True, slots=True)
class ExposedFloatingIp:
    """A tenant's address on the external network, and the traffic that its security groups let in."""

    address: str
    fixed_address: str
    server: str
    project_id: str
    opened: list[str]


@dataclass(frozen=True, slots=True)
class ExposedGateway:
    """A router's address on the external network: OVN answers pings there, nothing listens."""

    address: str
    router: str
    project_id: str


def add_to(parser: argparse.ArgumentParser) -> None:
    choice.add_to(parser)
    parser.add_argument("--json", action="store_true", help="for programs")


def run(args: argparse.Namespace) -> int:
    cloud, host = choice.existing(args)
    if keeper.of(cloud, host).read_status() is None:
        raise Conflict(
            f"the cloud {cloud.name} is down: sudo ./kumoi up{choice.words(cloud, host)}"
        )
    found = endpoints(cloud, host)
    for other in choice.others_here(cloud, host):
        found += in_namespaces(cloud, other)
    api = first_run.connect(admin_entry(cloud, host))
    try:
        document = {
            "name": cloud.name,
            "endpoints": [asdict(endpoint) for endpoint in found],
            "floating_ips": [asdict(address) for address in floating_ips(api, cloud.apis)],
            "router_gateways": [],
            "tenant_networks": 0,
            "service_ports": {},
        }
        if Api.NETWORK in cloud.apis:
            document |= {
                "router_gateways": [asdict(gateway) for gateway in gateways(api)],
                "tenant_networks": sum(
                    not net.is_router_external for net in api.network.networks()
                ),
                "service_ports": service_ports(api),
            }
    except (SDKException, ClientException) as cause:
        raise Permanent(
            f"the API does not answer at {cloud.api_url}: sudo ./kumoi up{choice.words(cloud, host)}"
        ) from cause
    if args.json:
        say_json(document)
    else:
        _show(document)
    return 0


def endpoints(cloud: CloudSettings, host: HostSettings) -> list[ExposedEndpoint]:
    """The sockets of this cloud, and those of other programs that its tenants can reach."""
    of_machine = [
        _endpoint(socket, "machine", reached_by(cloud, socket.bound))
        for socket in sockets.of_machine(host)
        if socket.unit or reached_by(cloud, socket.bound) == TENANTS
    ]
    return of_machine + in_namespaces(cloud, host)


def in_namespaces(cloud: CloudSettings, host: HostSettings) -> list[ExposedEndpoint]:
    """The sockets in those of a host, and what its switch receives."""

    def reached(place: str, bound: sockets.Bound) -> str:
        if bound.is_loopback:
            return LOOPBACK
        if bound.address == cloud.shared_address:
            return reached_by(cloud, bound)
        is_pipeline = place == host.control_namespace and bound.port == cloud.pipeline_port
        return TENANTS if is_pipeline else UNDERLAY  # By the edge: runners.

    found = {
        host.name: (*sockets.inside(host.name, host), *sockets.of_switch(host)),
        f"{host.control_namespace}": sockets.inside(host.control_namespace, host),
    }
    return [
        _endpoint(socket, place, reached(place, socket.bound))
        for place, each in found.items()
        for socket in each
    ]


def reached_by(cloud: CloudSettings, bound: sockets.Bound) -> str:
    """Who can connect to a socket of the machine."""
    public = (cloud.api_port, cloud.pipeline_port)
    if bound.is_loopback:
        return LOOPBACK
    if (
        bound.protocol == "tcp"
        and bound.port in public
        and (bound.is_any or bound.address in (cloud.public_address, cloud.client_address))
    ):
        return TENANTS
    underlay = cloud.own_addresses - {cloud.public_address}
    return UNDERLAY if bound.address in underlay else NETWORKS


def floating_ips(cloud: Connection, apis: Collection[str]) -> list[ExposedFloatingIp]:
    """By the APIs that are served."""
    if Api.NETWORK not in apis:
        return []
    ports = {port.id: port for port in cloud.network.ports()}
    listed = cloud.compute.servers(all_projects=True) if Api.COMPUTE in apis else ()
    servers = {server.id: server.name for server in listed}
    rules = list(cloud.network.security_group_rules())
    found = []
    for address in cloud.network.ips():
        port = ports.get(address.port_id)
        found.append(
            ExposedFloatingIp(
                address=address.floating_ip_address,
                fixed_address=address.fixed_ip_address or "",
                server=servers.get(port.device_id, port.device_id) if port else "",
                project_id=address.project_id,
                opened=_port_opened(port, rules) if port else [],
            )
        )
    return sorted(found, key=lambda exposed: ipaddress.ip_address(exposed.address))


def gateways(cloud: Connection) -> list[ExposedGateway]:
    return [
        ExposedGateway(fixed["ip_address"], router.name, router.project_id)
        for router in cloud.network.routers()
        for fixed in (router.external_gateway_info or {}).get("external_fixed_ips", [])
    ]


def service_ports(cloud: Connection) -> dict[str, int]:
    """How many ports the cloud itself has in tenants' networks, by their owner. Normally none:
    addresses need no agent, and a gateway is a record in OVN, not a process.
    """
    owners = Counter(port.device_owner or "" for port in cloud.network.ports())
    return {owner: count for owner, count in owners.items() if owner.startswith(SERVICE_OWNERS)}


def opened(rules: list[Any], groups: set[str]) -> list[str]:
    """The traffic that rules of these groups let in, each as "tcp 22 from 0.0.0.0/0", sorted."""
    return sorted(
        {_rule(rule) for rule in rules if rule.direction == "ingress"
         and rule.security_group_id in groups}
    )  # fmt: skip


def _port_opened(port: Any, rules: list[Any]) -> list[str]:
    if not port.is_port_security_enabled:
        return [f"{ANY} from {ANY}: no port security"]
    return opened(rules, set(port.security_group_ids))


def _rule(rule: Any) -> str:
    low, high = rule.port_range_min, rule.port_range_max
    ports = "" if low is None else f" {low}" if low == high else f" {low}-{high}"
    everywhere = "::/0" if rule.ether_type == "IPv6" else "0.0.0.0/0"
    group = f"group {rule.remote_group_id}" if rule.remote_group_id else ""
    source = group or rule.remote_ip_prefix or everywhere
    return f"{rule.protocol or ANY}{ports} from {source}"


def _endpoint(socket: sockets.ListeningSocket, place: str, reached_by: str) -> ExposedEndpoint:
    return ExposedEndpoint(
        place=place,
        protocol=socket.bound.protocol,
        address=socket.bound.address,
        port=socket.bound.port,
        process=socket.process,
        pid=socket.pid,
        unit=socket.unit or NOT_OURS,
        reached_by=reached_by,
    )


def _show(document: dict[str, Any]) -> None:
    out = console()
    for key, title in (
        ("endpoints", "What listens"),
        ("floating_ips", "Floating IPs, and what their security groups open"),
        ("router_gateways", "Routers on the external network: OVN answers pings, nothing listens"),
    ):
        rows = document[key]
        out.print(table(title, rows) if rows else f"{title}: none")
    count = sum(document["service_ports"].values())
    networks = document["tenant_networks"]
    out.print(f"Service addresses in {networks} tenant networks: {count}")
