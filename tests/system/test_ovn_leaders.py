"""OVN's databases as members on three control hosts, by the units of the table: whoever leads, is killed or has
lost its disk, packets between the hosts' ports arrive and new ports come up. The tests are one story.
"""

from __future__ import annotations

import contextlib
import itertools
import re
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import partial

import pytest
from tests.system.control_engines import (
    CLOUD,
    STATE,
    ControlEngines,
    ControlHosts,
    settings,
)
from tests.system.network_world import (
    NETWORKS,
    OPEN,
    SUBNETS,
    World,
    address_of,
    endpoint,
    has_bridge,
    namespace,
    reaches,
)
from tests.system.network_world import wait_until as wait_for
from tests.system.raft import every

from kumoi import members
from kumoi.base import process
from kumoi.cloud.drivers.network.interface import PortSpec, Topology
from kumoi.cloud.drivers.network.ovn.apply import OvnNorthbound
from kumoi.cloud.drivers.network.ovs.apply import OvsSwitch
from kumoi.cloud.worker import ELECTED_S
from kumoi.config import HostSettings
from kumoi.hosts import boot
from kumoi.hosts.cluster import ovn_members
from kumoi.hosts.units import rights, table
from kumoi.members import NORTHBOUND, OVN_DATABASES, SOUTHBOUND, OvnDatabase

pytestmark = [pytest.mark.system, pytest.mark.timeout(170)]

UP_WITHIN_S = 60.0  # northd and controllers look for a leader every 8 s at last.
WHOLE_WITHIN_S = 45.0  # Who has just heard of a leader lets nobody else be elected.
TRANSFER_EVERY_S = 5.0
UNDER_TRANSFERS_S = 15.0
TOGETHER = 500
KEPT = 10  # Ports that are there at once, beside the two that are asked.


class Hosts:
    def __init__(self, control: ControlHosts) -> None:
        self.control = control
        self.network: OvnNorthbound

    def connect(self) -> OvnNorthbound:
        """As the worker of the first host does."""
        first = self.control.first
        remote, certificate = members.northbound(first.config, first.here)
        self.network = OvnNorthbound(remote, certificate=certificate, timeout_s=ELECTED_S)
        return self.network

    def up(self) -> frozenset[str]:
        return self.network.observe().ports_up

    def wanted(self, *more: PortSpec) -> Topology:
        return Topology(
            networks=NETWORKS[:1],
            subnets=SUBNETS[:2],
            ports=(FIRST, SECOND, *more),
            security_groups=(OPEN,),
        )


def port(name: str, host: HostSettings, number: int) -> PortSpec:
    return replace(endpoint(name, "a1", number, ("a1-4", f"10.203.16.{number}")), host=host.name)


LINKED = [
    port(f"raft-{number}", settings(1 + number % 2), 20 + number) for number in range(3 * KEPT)
]
FIRST, SECOND = (port(f"raft{number}", settings(number), 100 + number) for number in (1, 2))


def remove_everything(control: ControlHosts) -> None:
    control.reclaim()
    for each in (FIRST, SECOND):
        process.run(["ip", "netns", "delete", namespace(each)], check=False)


@pytest.fixture(scope="module")
def hosts() -> Iterator[Hosts]:
    """Their databases became members of a database that was alone, and lost no packet meanwhile."""
    control = ControlHosts()
    remove_everything(control)
    STATE.mkdir()
    STATE.chmod(0o755)
    with contextlib.ExitStack() as until:
        until.callback(remove_everything, control)
        control.start()
        found = Hosts(control)
        with found.connect() as network:
            network.converge(found.wanted())
            for engines, each in zip(control.engines, (FIRST, SECOND), strict=False):
                switch = until.enter_context(OvsSwitch(engines.here.switch_remote))
                wait_for(partial(has_bridge, switch), "the integration bridge")
                world = World(engines, network, switch)
                world.plug(each)
                _link(world)
            wait_for(lambda: found.up() == {FIRST.id, SECOND.id}, "both ports")
        reaches(FIRST, address_of(SECOND))
        with nothing_lost():
            control.make_members()
        until.enter_context(found.connect())
        yield found


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


def all_members(hosts: Hosts) -> None:
    """Until each of the three is one of each database again."""

    def whole() -> bool:
        seen = [hosts.control.look(database) for database in OVN_DATABASES]
        return all(len(each.followers) == 2 and each.leader for each in seen)

    wait_for(whole, "three members of both databases", within_s=WHOLE_WITHIN_S)


def tell(what: str, making: Making) -> None:
    sys.stdout.write(f"{what}: {making}\n")


def test_each_has_three_members_and_one_northd_works(hosts: Hosts) -> None:
    all_members(hosts)
    controls = [
        rights.run_dir(each.here, members.NORTHD) / "control.ctl" for each in hosts.control.engines
    ]

    def active() -> list[str]:
        said = [process.run(["ovs-appctl", "-t", each, "status"]).out.strip() for each in controls]
        return sorted(said)

    wanted = ["Status: active", "Status: standby", "Status: standby"]
    wait_for(lambda: active() == wanted, "one northd that works")


def test_a_hosts_certificate_does_not_open_the_northbound_database(hosts: Hosts) -> None:
    """It opens the southbound one, as its controller has to."""
    host = hosts.control.engines[1].here
    statuses = []
    for database in OVN_DATABASES:
        key, certificate = (host.pki_dir / f"{host.name}.{end}" for end in ("key", "crt"))
        ask = ["ovsdb-client", "--timeout=5", f"--private-key={key}"]
        ask += [f"--certificate={certificate}"]
        ask += [f"--ca-cert={host.pki_dir / 'ovn-authorities.crt'}", "list-dbs"]
        remote = f"ssl:{CLOUD.control_address}:{database.port}"
        statuses.append(process.run([*ask, remote], check=False).status)
    assert statuses[0] != 0
    assert statuses[1] == 0


def test_no_packet_is_lost_and_all_ports_come_up_while_others_lead(hosts: Hosts) -> None:
    turns = itertools.cycle(OVN_DATABASES)
    all_members(hosts)
    before = sum(hosts.control.look(database).term for database in OVN_DATABASES)
    making = Making(hosts)
    with nothing_lost(), every(TRANSFER_EVERY_S, lambda: hosts.control.transfer(next(turns))):
        making.run(UNDER_TRANSFERS_S)
    transfers = sum(hosts.control.look(database).term for database in OVN_DATABASES) - before
    tell(f"{transfers} transfers", making)
    assert transfers >= UNDER_TRANSFERS_S / TRANSFER_EVERY_S / 2
    assert making.made > transfers


def plans_go_on_without(hosts: Hosts, each: ControlEngines, *names: str) -> Making:
    """After these of its units were killed; they are back afterwards."""
    making = Making(hosts)
    with nothing_lost():
        for name in names:
            each.kill(name)
        try:
            making.run(1.0)
        finally:
            for name in names:
                each.start(name)
        all_members(hosts)
    assert making.made
    return making


def test_no_packet_is_lost_and_ports_come_up_when_the_southbound_leader_is_killed(
    hosts: Hosts,
) -> None:
    all_members(hosts)
    leader = hosts.control.leader(SOUTHBOUND)
    assert leader is not None
    tell("the southbound leader killed", plans_go_on_without(hosts, leader, SOUTHBOUND.unit))


def test_no_packet_is_lost_and_ports_come_up_when_all_of_the_northbound_leaders_host_is_killed(
    hosts: Hosts,
) -> None:
    all_members(hosts)
    leader = hosts.control.leader(NORTHBOUND)
    assert leader is not None
    tell("a host killed", plans_go_on_without(hosts, leader, *sorted(ovn_members.CENTRAL)))


def test_a_member_that_lost_its_disk_joins_anew_and_the_old_one_is_forgotten(hosts: Hosts) -> None:
    all_members(hosts)
    third = hosts.control.engines[2]
    before = {database: member_ids(hosts, database) for database in OVN_DATABASES}
    for name in ovn_members.CENTRAL:
        third.kill(name)
    for database in OVN_DATABASES:
        table.ovn_database(third.here, database.name).unlink()
    boot.ensure_files(CLOUD, third.here)
    for database in OVN_DATABASES:
        third.start(database.unit)
    third.start(members.NORTHD)
    assert ovn_members.settle(CLOUD, third.here) == []
    for database in OVN_DATABASES:

        def is_replaced(database: OvnDatabase = database) -> bool:
            now = member_ids(hosts, database)
            return len(now) == 3 and len(now & before[database]) == 2

        wait_for(is_replaced, f"another member of {database.schema} in the place of the lost one")
    all_members(hosts)


def member_ids(hosts: Hosts, database: OvnDatabase) -> frozenset[str]:
    status = hosts.control.status(hosts.control.first, database)
    return frozenset(id_ for id_, _ in ovn_members.MEMBER.findall(status))


def test_the_databases_are_alone_again_with_all_that_was_in_them(hosts: Hosts) -> None:
    all_members(hosts)
    hosts.network.converge(hosts.wanted(*LINKED[:KEPT]))
    hosts.network.close()
    with nothing_lost():
        hosts.control.make_alone()
    with hosts.connect() as network:
        assert network.converge(hosts.wanted(*LINKED[:KEPT])).actions == ()
        making = Making(hosts)
        making.run(1.0)
        assert making.made
    for each in hosts.control.engines[1:]:
        assert not ovn_members.CENTRAL & each.processes.keys()
