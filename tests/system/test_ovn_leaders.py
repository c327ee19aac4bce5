"""Two virtual hosts whose OVN has each of its two databases on three servers, and two northds: whoever
leads, packets between the hosts' ports arrive and new ports come up.
"""

from __future__ import annotations

import contextlib
import itertools
import re
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import pytest
from tests.system.conftest import STATE_PARENT
from tests.system.network_world import (
    NETWORKS,
    OPEN,
    SUBNETS,
    Engines,
    World,
    address_of,
    endpoint,
    has_bridge,
    namespace,
    reaches,
)
from tests.system.network_world import wait_until as wait_for
from tests.system.raft import MEMBERS, Raft, every, wait_until

from kumoi.base import process
from kumoi.cloud.drivers.network.interface import PortSpec, Topology
from kumoi.cloud.drivers.network.ovn.apply import OvnNorthbound
from kumoi.cloud.drivers.network.ovs.apply import OvsSwitch
from kumoi.config import CloudSettings, HostSettings, Role
from kumoi.hosts import teardown

pytestmark = [pytest.mark.system, pytest.mark.timeout(170)]

STATE = STATE_PARENT / "kraft"
CLOUD = CloudSettings(
    name="kraft",
    public_cidr="10.206.0.0/24",
    underlay_cidr="10.206.1.0/28",
    southbound_url=Raft(STATE / "sb", "sb").remotes,
)
PLAN_WITHIN_S = 15.0
UP_WITHIN_S = 45.0  # northd and controllers look for a leader every 8 s at last.
TRANSFER_EVERY_S = 5.0
UNDER_TRANSFERS_S = 30.0
TOGETHER = 500
KEPT = 10  # Ports that are there at once, beside the two that are asked.


@dataclass
class Central:
    """Both databases and both northds."""

    northbound: Raft
    southbound: Raft
    northds: list[subprocess.Popen[bytes]]

    @property
    def databases(self) -> tuple[Raft, Raft]:
        return self.northbound, self.southbound

    def start_northd(self, number: int) -> None:
        control = STATE / f"northd-{number}.ctl"
        control.unlink(missing_ok=True)
        remotes = (
            f"--ovnnb-db={self.northbound.remotes}",
            f"--ovnsb-db={self.southbound.remotes}",
        )
        command = ["ovn-northd", *remotes, f"--unixctl={control}"]
        self.northds.append(process.start(command, log=STATE / f"northd-{number}.log"))

    def stop(self) -> None:
        for northd in self.northds:
            northd.kill()
            northd.wait()
        for database in self.databases:
            database.stop()


@dataclass
class Hosts:
    central: Central
    network: OvnNorthbound
    worlds: tuple[World, ...]

    def up(self) -> frozenset[str]:
        return self.network.observe().ports_up

    def wanted(self, *more: PortSpec) -> Topology:
        return Topology(
            networks=NETWORKS[:1],
            subnets=SUBNETS[:2],
            ports=(FIRST, SECOND, *more),
            security_groups=(OPEN,),
        )


def settings(number: int) -> HostSettings:
    return HostSettings(
        name=f"kraft-host{number}",
        state_dir=str(STATE / f"host{number}"),
        underlay_address=f"10.206.1.{number + 1}",
        roles=(Role.AGENT,),
    )


def port(name: str, host: HostSettings, number: int) -> PortSpec:
    return replace(endpoint(name, "a1", number, ("a1-4", f"10.203.16.{number}")), host=host.name)


LINKED = [
    port(f"raft-{number}", settings(1 + number % 2), 20 + number) for number in range(3 * KEPT)
]
FIRST, SECOND = (port(f"raft{number}", settings(number), 100 + number) for number in (1, 2))


def remove_everything() -> None:
    """Also what a killed run left."""
    for number in (1, 2):
        teardown.stop(CLOUD, settings(number))
        if settings(number).state.exists():
            teardown.purge(settings(number))
    for each in (FIRST, SECOND):
        process.run(["ip", "netns", "delete", namespace(each)], check=False)
    process.run(["rm", "-rf", STATE])


@pytest.fixture(scope="module")
def hosts() -> Iterator[Hosts]:
    remove_everything()
    STATE.mkdir()
    STATE.chmod(0o755)
    rafts = []
    for which in ("nb", "sb"):
        (STATE / which).mkdir()
        rafts.append(Raft(STATE / which, which))
    central = Central(rafts[0], rafts[1], [])
    with contextlib.ExitStack() as until:
        until.callback(remove_everything)
        until.callback(central.stop)
        for raft in rafts:
            raft.grow()
        for number in (1, 2):
            central.start_northd(number)
        network = until.enter_context(
            OvnNorthbound(central.northbound.remotes, timeout_s=PLAN_WITHIN_S)
        )
        worlds = [until.enter_context(_host(number, network)) for number in (1, 2)]
        found = Hosts(central, network, tuple(worlds))
        network.converge(found.wanted())
        for world, each in zip(worlds, (FIRST, SECOND), strict=True):
            world.plug(each)
        for world in worlds:
            _link(world)
        wait_for(lambda: found.up() == {FIRST.id, SECOND.id}, "both ports")
        reaches(FIRST, address_of(SECOND))
        yield found


@contextlib.contextmanager
def _host(number: int, network: OvnNorthbound) -> Iterator[World]:
    host = settings(number)
    engines = Engines(CLOUD, host)
    try:
        engines.start_all()
        with OvsSwitch(host.switch_remote) as switch:
            wait_for(lambda: has_bridge(switch), "the integration bridge")
            yield World(engines, network, switch)
    finally:
        for daemon in engines.processes.values():
            daemon.kill()
            daemon.wait()


def _link(world: World) -> None:
    """What will be ports."""
    host = world.engines.here.name
    links = {one.name: one.id for one in LINKED if one.host == host}
    batch = [f"link add {name} up type veth peer {name}-p" for name in links]
    process.run(["ip", "-n", host, "-batch", "-"], stdin="\n".join(batch))
    world.switch.ensure_ports(links)


@dataclass
class Making:
    """Ports, one after the other on either host, each until it is up; the oldest go. How many, and how
    long the slowest plan and the slowest port took. Their links are plugged already: a switch in user
    space drops packets while links are plugged, whoever leads.
    """

    hosts: Hosts = field(repr=False)
    made: int = 0
    plan_s: float = 0.0
    up_s: float = 0.0

    def run(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            there = [LINKED[(self.made + turn) % len(LINKED)] for turn in range(KEPT)]
            began = time.monotonic()
            self.hosts.network.converge(self.hosts.wanted(*there))
            self.plan_s = max(self.plan_s, time.monotonic() - began)
            self._wait_until_up(there[-1])
            self.up_s = max(self.up_s, time.monotonic() - began)
            self.made += 1

    def _wait_until_up(self, one: PortSpec) -> None:
        until = time.monotonic() + UP_WITHIN_S
        while one.id not in self.hosts.up():
            assert time.monotonic() < until, f"{one.name} is not up after {UP_WITHIN_S:g} s"
            threading.Event().wait(0.02)


@contextlib.contextmanager
def nothing_lost() -> Iterator[None]:
    """Of a packet each millisecond from one host to the other, as far as the machine has time."""
    sent, lost = 0, 0

    def ask() -> None:
        nonlocal sent, lost
        words = ["ping", "-q", "-i", "0.001", "-c", str(TOGETHER), "-W", "5", address_of(SECOND)]
        out = process.run(words, check=False, namespace=namespace(FIRST)).out
        counts = re.findall(r"(\d+) packets transmitted, (\d+) received", out)
        assert counts, out
        sent, lost = sent + int(counts[0][0]), lost + int(counts[0][0]) - int(counts[0][1])

    with every(0.0, ask):
        yield
    assert sent
    assert lost == 0


def test_no_packet_is_lost_and_all_ports_come_up_while_others_lead(hosts: Hosts) -> None:
    turns = itertools.cycle(hosts.central.databases)
    before = sum(raft.term() for raft in hosts.central.databases)
    making = Making(hosts)
    with nothing_lost(), every(TRANSFER_EVERY_S, lambda: next(turns).transfer()):
        making.run(UNDER_TRANSFERS_S)
    transfers = sum(raft.term() for raft in hosts.central.databases) - before
    assert transfers >= UNDER_TRANSFERS_S / TRANSFER_EVERY_S / 2
    assert making.made > transfers


@pytest.mark.parametrize("which", [0, 1], ids=["northbound", "southbound"])
def test_no_packet_is_lost_and_ports_come_up_when_a_leader_is_killed(
    hosts: Hosts, which: int
) -> None:
    raft = hosts.central.databases[which]
    wait_until(lambda: raft.leader() is not None)
    killed = raft.leader()
    assert killed is not None
    making = Making(hosts)
    with nothing_lost():
        raft.kill(killed)
        try:
            making.run(1.0)
        finally:
            raft.start(killed)
        wait_until(lambda: all("cluster member" in raft.status(one) for one in MEMBERS))
    assert making.made
