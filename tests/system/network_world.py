"""A network of our own for system tests: the engines of one virtual host, and endpoints in namespaces.

Two tenants with the same addresses; the first has two networks, a router and a way outside.
"""

from __future__ import annotations

import contextlib
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from pyroute2 import NetNS

from kumoi import config
from kumoi.base import process
from kumoi.base.errors import Transient
from kumoi.base.namespace import NAMESPACES, within
from kumoi.cloud.drivers.network import router_guard
from kumoi.cloud.drivers.network.interface import (
    ROUTER_GATEWAY,
    ROUTER_INTERFACE,
    Direction,
    Ethertype,
    FixedIp,
    FloatingIpSpec,
    NetworkSpec,
    PortSpec,
    RouterSpec,
    RuleSpec,
    SecurityGroupSpec,
    SubnetSpec,
    Topology,
)
from kumoi.cloud.drivers.network.mac_guard import MacTables
from kumoi.cloud.drivers.network.ovn.apply import OvnNorthbound
from kumoi.cloud.drivers.network.ovs.apply import OvsSwitch
from kumoi.config import CloudSettings, HostSettings, first_host
from kumoi.hosts import boot, teardown
from kumoi.hosts.units import ownership, running, table, users
from kumoi.hosts.wires import virtual

CLOUD = CloudSettings(name="knet", public_cidr="10.203.0.0/24", underlay_cidr="10.203.1.0/28")
HERE = first_host(CLOUD, "/var/tmp/knet")
MACHINE = "10.203.0.1"
FLOATING_ADDRESS = "10.203.0.21"
READY_S = 20.0
QUIET_S = 0.4
ALL_PACKETS = 3
NETWORKS = (
    NetworkSpec(id="a1"),
    NetworkSpec(id="a2"),
    NetworkSpec(id="b1"),
    NetworkSpec(id="x", mtu=1500, external=True, physical_network="physnet1"),
)
SUBNETS = (
    SubnetSpec(
        id="a1-4",
        network_id="a1",
        cidr="10.203.16.0/24",
        gateway_ip="10.203.16.1",
        dns_nameservers=("10.203.16.2",),
    ),
    SubnetSpec(
        id="a1-6", network_id="a1", cidr="fd00:203:1::/64", ip_version=6, gateway_ip="fd00:203:1::1"
    ),
    SubnetSpec(
        id="a2-6", network_id="a2", cidr="fd00:203:2::/64", ip_version=6, gateway_ip="fd00:203:2::1"
    ),
    SubnetSpec(id="a2-4", network_id="a2", cidr="10.203.17.0/24", gateway_ip="10.203.17.1"),
    SubnetSpec(id="b1-4", network_id="b1", cidr="10.203.16.0/24", gateway_ip="10.203.16.1"),
    SubnetSpec(
        id="x-4", network_id="x", cidr="10.203.0.0/24", gateway_ip=MACHINE, enable_dhcp=False
    ),
)
EVERYTHING_OUT = (
    RuleSpec(id="out4", direction=Direction.EGRESS),
    RuleSpec(id="out6", direction=Direction.EGRESS, ethertype=Ethertype.IPV6),
)
PING_IN = (
    RuleSpec(id="ping4", direction=Direction.INGRESS, protocol="icmp"),
    RuleSpec(
        id="ping6", direction=Direction.INGRESS, ethertype=Ethertype.IPV6, protocol="ipv6-icmp"
    ),
)
OPEN = SecurityGroupSpec(id="open", rules=(*EVERYTHING_OUT, *PING_IN))
PEERS = SecurityGroupSpec(id="peers")


def endpoint(name: str, network: str, mac: int, *fixed: tuple[str, str]) -> PortSpec:
    return PortSpec(
        id=f"port-{name}",
        name=name,
        network_id=network,
        mac=f"02:cb:00:00:00:{mac:02x}",
        fixed_ips=tuple(FixedIp(subnet_id=subnet, address=address) for subnet, address in fixed),
        device_owner="compute:nova",
        security_group_ids=("open",),
        host=HERE.name,
    )


def router_port(name: str, owner: str, router: str, mac: int, *fixed: tuple[str, str]) -> PortSpec:
    port = endpoint(name, name.partition("-")[0], mac, *fixed)
    return replace(port, device_owner=owner, device_id=router, security_group_ids=(), host=None)


WEB = endpoint("web", "a1", 0x11, ("a1-4", "10.203.16.11"), ("a1-6", "fd00:203:1::11"))
DB = endpoint("db", "a2", 0x12, ("a2-4", "10.203.17.12"), ("a2-6", "fd00:203:2::12"))
ALIEN = endpoint("alien", "b1", 0x13, ("b1-4", "10.203.16.13"))
NEIGHBOUR = endpoint("neigh", "b1", 0x14, ("b1-4", "10.203.16.14"))
EVE = endpoint("eve", "a1", 0x15, ("a1-4", "10.203.16.15"), ("a1-6", "fd00:203:1::15"))
"""Who attacks, in `attacked_world` alone."""
WEB4, WEB6 = "10.203.16.11", "fd00:203:1::11"
EVE4, EVE6 = "10.203.16.15", "fd00:203:1::15"
ROUTER_PORTS = (
    router_port(
        "a1-r", ROUTER_INTERFACE, "ra", 0xA1, ("a1-4", "10.203.16.1"), ("a1-6", "fd00:203:1::1")
    ),
    router_port(
        "a2-r", ROUTER_INTERFACE, "ra", 0xA2, ("a2-4", "10.203.17.1"), ("a2-6", "fd00:203:2::1")
    ),
    router_port("x-ra", ROUTER_GATEWAY, "ra", 0xA3, ("x-4", "10.203.0.10")),
    router_port("b1-r", ROUTER_INTERFACE, "rb", 0xB1, ("b1-4", "10.203.16.1")),
    router_port("x-rb", ROUTER_GATEWAY, "rb", 0xB2, ("x-4", "10.203.0.11")),
)
BASE = Topology(
    networks=NETWORKS,
    subnets=SUBNETS,
    ports=(WEB, DB, ALIEN, NEIGHBOUR, *ROUTER_PORTS),
    routers=(RouterSpec(id="ra"), RouterSpec(id="rb")),
    floating_ips=(
        FloatingIpSpec(
            id="fip",
            address=FLOATING_ADDRESS,
            router_id="ra",
            port_id=WEB.id,
            fixed_address="10.203.16.11",
            mac="02:cb:00:00:00:f1",
        ),
    ),
    security_groups=(OPEN, PEERS),
    gateway_hosts=(HERE.name,),
)
WITH_EVE = replace(BASE, ports=(*BASE.ports, EVE))


def wait_until(holds: Callable[[], bool], what: str, *, within_s: float = READY_S) -> None:
    until = time.monotonic() + within_s
    while not holds():
        assert time.monotonic() < until, f"{what}: not within {within_s:g} s"
        threading.Event().wait(0.02)


class Engines:
    """The engines of one virtual host, without any role of ours."""

    def __init__(self, cloud: CloudSettings, host: HostSettings) -> None:
        self.config, self.here = cloud, host
        self.units = {unit.name: unit for unit in table.engines(cloud, host)}
        self.processes: dict[str, subprocess.Popen[bytes]] = {}

    def start_all(self) -> None:
        virtual.ensure_links(self.config, self.here)
        self.prepare()
        for name in self.units:
            self.start(name)

    def prepare(self) -> None:
        """Directories, databases and their users, as `up` makes them."""
        boot.make_directories(self.here)
        config.write(self.config, self.here.state)
        config.write(self.here, self.here.state)
        users.ensure(self.config, self.here)
        ownership.ensure(self.config, self.here)
        boot.ensure_files(self.config, self.here)

    def start(self, name: str) -> None:
        unit = self.units[name]
        marks = running.mark(self.here.state_dir, name, unit.digest)
        self.processes[name] = process.start(
            unit.command, env={**dict(unit.env), **marks}, log=self.here.log_dir / f"{name}.log"
        )
        listens = Path(unit.listens.removeprefix("unix:"))
        wait_until(listens.exists, f"{name} to listen")
        running.run_then(unit)

    def kill(self, name: str) -> None:
        self.processes[name].kill()
        self.processes[name].wait()


@dataclass
class World:
    """The host, what it is wanted to be, and the endpoints plugged into it."""

    engines: Engines
    network: OvnNorthbound
    switch: OvsSwitch
    wanted: Topology = BASE
    plugged: set[str] = field(default_factory=set)
    macs: MacTables = field(default_factory=MacTables)

    def become(self, wanted: Topology) -> None:
        """`converge`, where it is not so already."""
        if self.wanted != wanted:
            self.converge(wanted)

    def converge(self, wanted: Topology) -> None:
        """And wait until the host has it."""
        self.wanted = wanted
        self.network.converge(wanted)
        for port in wanted.ports:
            if namespace(port) in self.plugged:
                self._guard(port)
        self.settle()

    def settle(self) -> None:
        self.northbound("--wait=hv", "sync")

    def northbound(self, *args: str) -> str:
        remote = self.engines.here.northbound_remote
        return process.run(["ovn-nbctl", f"--db={remote}", "--timeout=15", *args]).out

    def southbound(self, *args: str) -> str:
        remote = self.engines.here.southbound_remote
        return process.run(["ovn-sbctl", f"--db={remote}", "--timeout=15", *args]).out.strip()

    def claimed_by(self, port: PortSpec) -> str:
        """The chassis that has the port; empty for none."""
        look = ("--bare", "--columns=chassis", "find", "port_binding", f"logical_port={port.id}")
        chassis = self.southbound(*look)
        return self.southbound("get", "chassis", chassis, "name").strip('"') if chassis else ""

    def plug(self, port: PortSpec) -> None:
        self.make_link(port)
        self.switch.ensure_ports({namespace(port): port.id})

    def make_link(self, port: PortSpec) -> None:
        """A namespace with the port's link in it, its addresses set as a server's would be."""
        name, host = namespace(port), self.engines.here.name
        process.run(["ip", "netns", "add", name])
        batch = [f"link add name {name} type veth peer name eth0 netns {name}"]
        batch += [f"link set dev {name} up mtu 1442"]
        process.run(["ip", "-n", host, "-batch", "-"], stdin="\n".join(batch))
        batch = ["link set dev lo up", f"link set dev eth0 address {port.mac} mtu 1442 up"]
        for fixed_ip in port.fixed_ips:
            subnet = next(subnet for subnet in SUBNETS if subnet.id == fixed_ip.subnet_id)
            prefix = subnet.cidr.rpartition("/")[2]
            flags = " nodad" if ":" in fixed_ip.address else ""
            batch += [f"addr add {fixed_ip.address}/{prefix} dev eth0{flags}"]
            batch += [f"route add default via {subnet.gateway_ip}"]
        process.run(["ip", "-n", name, "-batch", "-"], stdin="\n".join(batch))
        process.run(["ethtool", "-K", name, "tx", "off", "rx", "off"], namespace=host)
        process.run(["ethtool", "-K", "eth0", "tx", "off"], namespace=name)
        self.plugged.add(name)
        self._guard(port)

    def _guard(self, port: PortSpec) -> None:
        """As an agent does."""
        name = namespace(port)

        def guard() -> None:
            if port.port_security_enabled:
                router_guard.hold_back([name])
            else:
                self.macs.bound({name: port.mac})

        within(NAMESPACES / self.engines.here.name, guard)

    def unplug(self, port: PortSpec) -> None:
        """The link goes at once; with its namespace it would go some time later."""
        name, host = namespace(port), self.engines.here.name
        self.switch.delete_ports([name])
        process.run(["ip", "-n", host, "link", "delete", "dev", name])
        process.run(["ip", "netns", "delete", name])
        self.plugged.discard(name)


def namespace(port: PortSpec) -> str:
    return f"knet-{port.name}"


def remove_everything() -> None:
    """Also what a killed run left behind."""
    teardown.stop(CLOUD, HERE)
    for line in process.run(["ip", "netns", "list"]).out.splitlines():
        if line.startswith("knet-"):
            process.run(["ip", "netns", "delete", line.split()[0]])
    if HERE.state.exists():
        teardown.purge(HERE)


@contextlib.contextmanager
def running_world() -> Iterator[World]:
    """The host as in BASE, and nothing of it afterwards."""
    remove_everything()
    engines = Engines(CLOUD, HERE)
    try:
        engines.start_all()
        with (
            NetNS(HERE.name) as inside,
            OvnNorthbound(HERE.northbound_remote) as network,
            OvsSwitch(
                HERE.switch_remote,
                link_index=lambda name: next(iter(inside.link_lookup(ifname=name)), None),
            ) as switch,
        ):
            world = World(engines, network, switch)
            network.converge(BASE)
            wait_until(lambda: has_bridge(switch), "the integration bridge")
            for port in (WEB, DB, ALIEN, NEIGHBOUR):
                world.plug(port)
            world.settle()
            yield world
    finally:
        for daemon in engines.processes.values():
            daemon.kill()
            daemon.wait()
        remove_everything()


@contextlib.contextmanager
def attacked_world(wanted: Topology) -> Iterator[World]:
    """`running_world` with EVE, whose packets reach WEB as long as they are honest."""
    with running_world() as world:
        world.converge(wanted)
        world.plug(EVE)
        reaches(EVE, WEB4)
        reaches(EVE, WEB6)
        yield world


def has_bridge(switch: OvsSwitch) -> bool:
    try:
        switch.list_ports()
    except Transient:
        return False
    return True


def address_of(port: PortSpec) -> str:
    return port.fixed_ips[0].address


def ping(port: PortSpec | None, address: str, *options: str) -> bool:
    """Whether two pings are answered, within two seconds. None is the machine itself."""
    args = ["ping", "-n", "-q", "-c", "2", "-i", "0.1", "-W", "1", *options, address]
    inside = None if port is None else namespace(port)
    status = process.run(args, check=False, namespace=inside).status
    assert status <= 2, "ping could not be run"
    return status == 0


def raw_socket(port: PortSpec, name: str = "eth0") -> socket.socket:
    """On a server's link, as its root opens it."""

    def opened() -> socket.socket:
        link = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ALL_PACKETS))
        link.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 32 << 20)
        link.bind((name, ALL_PACKETS))
        link.settimeout(QUIET_S)
        return link

    return within(NAMESPACES / namespace(port), opened)


def crossing(
    frame: bytes, times: int, *, leaves: PortSpec, arrives: PortSpec, link: str = "eth0"
) -> int:
    """How many of these frames one server receives when another sends so many by a link of its own."""
    with raw_socket(arrives) as victim, raw_socket(leaves, link) as attacker:
        for _ in range(times):
            attacker.send(frame)
        seen = 0
        while True:
            try:
                seen += victim.recv(2_048) == frame
            except TimeoutError:
                return seen


def reaches(port: PortSpec | None, address: str, *options: str) -> None:
    """In time. The first packets may be lost while neighbours are being looked for."""
    wait_until(lambda: ping(port, address, *options), f"{address} to answer")
