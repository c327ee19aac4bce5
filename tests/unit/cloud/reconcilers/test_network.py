"""The network reconciler, with the real store and a network that remembers."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from kumoi.base.clock import SetClock
from kumoi.base.errors import Transient
from kumoi.cloud.domain.caller import Caller
from kumoi.cloud.domain.host import host
from kumoi.cloud.domain.host.host import HEARD_ALL
from kumoi.cloud.domain.network import floating_ip, network, port, router, router_interface, subnet
from kumoi.cloud.domain.network.floating_ip import FloatingIpRequest
from kumoi.cloud.domain.network.network import NetworkRequest
from kumoi.cloud.domain.network.port import PortRequest
from kumoi.cloud.domain.network.router import Gateway, RouterRequest
from kumoi.cloud.domain.network.subnet import SubnetRequest
from kumoi.cloud.drivers.network.fake import FakeNorthbound, FakeSwitch
from kumoi.cloud.drivers.network.interface import Applied, Topology
from kumoi.cloud.hostapi.hello import HostHello
from kumoi.cloud.reconcilers.network import DRIFT_S, NetworkReconciler
from kumoi.cloud.store.host import host as host_store
from kumoi.cloud.store.network import port as port_store
from kumoi.cloud.store.network.port import Port
from kumoi.cloud.store.schema import metadata
from kumoi.engine import feed
from kumoi.engine.db import Database, now
from kumoi.engine.schema import feed as feed_table
from kumoi.engine.schema import feed_revision

ADMIN = Caller(user_id="u", project_id="p", roles=frozenset({"admin"}), request_id="r")


class Counting(FakeNorthbound):
    """Counts how often it was asked to converge."""

    converged = 0

    def converge(self, topology: Topology, *, asks: bool = False) -> Applied:
        self.converged += 1
        return super().converge(topology, asks=asks)


class World:
    """A network behind a router, with a server's port and a floating IP."""

    def __init__(self, database: Database) -> None:
        self.database, self.clock, self.switch = database, SetClock(), FakeSwitch()
        self.northbound = Counting(switches=[self.switch])
        self.reconciler = NetworkReconciler(database, self.northbound, self.clock)
        now = self.clock.now()
        with database.write() as connection:
            outside = network.create(
                connection,
                ADMIN,
                NetworkRequest(project_id="p", external=True, physical_network="physnet1"),
                now,
            )
            inside = network.create(connection, ADMIN, NetworkRequest(project_id="p"), now)
            ranges = ((outside, "10.201.1.0/24"), (inside, "10.0.0.0/24"))
            subnets = [
                subnet.create(
                    connection,
                    ADMIN,
                    SubnetRequest(project_id="p", network_id=on.id, ip_version=4, cidr=cidr),
                    now,
                )
                for on, cidr in ranges
            ]
            gate = router.create(
                connection,
                ADMIN,
                RouterRequest(project_id="p", gateway=Gateway(network_id=outside.id)),
                now,
            )
            router_interface.add(
                connection, ADMIN, gate.id, subnet_id=subnets[1].id, port_id=None, now=now
            )
            made = port.create(
                connection, ADMIN, PortRequest(project_id="p", network_id=inside.id), now
            )
            self.port_id = made.id
            port.bind(connection, made.id, host="host1", device_id="s1", dns_name="web", now=now)
            self.floating_id = floating_ip.create(
                connection,
                ADMIN,
                FloatingIpRequest(
                    project_id="p", floating_network_id=outside.id, port_id=self.port_id
                ),
                now,
            ).id

    def port(self) -> Port:
        with self.database.read() as connection:
            return port.get(connection, ADMIN, self.port_id)

    def statuses(self) -> set[tuple[str, str]]:
        with self.database.read() as connection:
            return {
                (summary.device_owner, summary.status)
                for summary in port_store.summaries(connection)
            }


@pytest.fixture
def world(store_url: str, tmp_path: Path) -> Iterator[World]:
    database = Database(store_url, wake_dir=tmp_path / "wake")
    metadata.create_all(database.engine)
    yield World(database)
    database.close()


def test_what_is_wanted_reaches_the_engine(world: World) -> None:
    world.reconciler.round()
    topology = world.northbound.topology
    assert len(topology.networks) == 2
    assert {item.device_owner for item in topology.ports} == {
        "compute:nova",
        "network:floatingip",
        "network:router_gateway",
        "network:router_interface",
    }
    assert {item.id: item.host for item in topology.ports if item.host} == {world.port_id: "host1"}
    (floating,) = topology.floating_ips
    assert (floating.port_id, floating.fixed_address) == (world.port_id, "10.0.0.2")
    assert [floating.mac] == [
        item.mac for item in topology.ports if item.device_owner == "network:floatingip"
    ]
    assert [len(group.rules) for group in topology.security_groups] == [4]


def test_another_host_answers_for_the_floating_ip_of_a_server_that_has_no_way_outside(
    world: World,
) -> None:
    hello = HostHello(
        release="0", hostname="h", drivers=[], vcpus=1, ram_mib=1, disk_gib=1, leads_outside=False
    )
    with world.database.write() as connection:
        host.register(connection, "host1", hello, now(connection))
    world.reconciler.round()
    (floating,) = world.northbound.topology.floating_ips
    assert floating.mac is None


def test_a_host_that_is_lost_leads_no_router_outside(world: World) -> None:
    hello = HostHello(release="0", hostname="h", drivers=[], vcpus=1, ram_mib=1, disk_gib=1)
    with world.database.write() as connection:
        for name in ("host1", "host2"):
            host.register(connection, name, hello, now(connection) - HEARD_ALL)

    def gateways() -> tuple[str, ...]:
        world.reconciler.round()
        return world.northbound.topology.gateway_hosts

    def silence(*names: str) -> None:
        with world.database.write() as connection:
            at = now(connection)
            for name in names:
                host_store.update(connection, name, seen_at=at - timedelta(seconds=31))
            host.mark_silent(connection, before=at - timedelta(seconds=30), now=at)

    assert gateways() == ("host1", "host2")
    silence("host2")
    assert gateways() == ("host1",)
    with world.database.write() as connection:
        host.register(connection, "host2", hello, now(connection))
    assert gateways() == ("host1", "host2")
    with world.database.write() as connection:
        host.change(connection, "host2", {"forced_down": True}, now(connection))
    assert gateways() == ("host1",)

    silence("host1", "host2")  # Nobody is heard: it is the control plane that was lost.
    assert gateways() == ("host1", "host2")
    with world.database.write() as connection:
        host.register(connection, "host1", hello, now(connection))
    assert gateways() == ("host1", "host2")
    with world.database.write() as connection:
        host_store.update(connection, "host1", updated_at=now(connection) - HEARD_ALL)
    world.clock.advance(DRIFT_S)
    assert gateways() == ("host1",)


def test_a_host_whose_disk_fills_goes_on_being_one_that_leads_outside(world: World) -> None:
    """What a host has changes with each hello then, and it has been up all the while."""

    def says(name: str, disk_gib: int) -> None:
        hello = HostHello(
            release="0", hostname="h", drivers=[], vcpus=1, ram_mib=1, disk_gib=disk_gib
        )
        with world.database.write() as connection:
            host.register(connection, name, hello, now(connection))

    for name in ("host1", "host2"):
        says(name, 9)
    with world.database.write() as connection:
        at = now(connection)
        host_store.update(connection, "host1", updated_at=at - HEARD_ALL)
        host_store.update(connection, "host2", seen_at=at - timedelta(seconds=31))
    says("host1", 8)
    with world.database.write() as connection:
        host.mark_silent(connection, before=at - timedelta(seconds=30), now=at)
    world.reconciler.round()
    assert world.northbound.topology.gateway_hosts == ("host1",)


def test_a_port_is_active_while_its_host_has_it_plugged(world: World) -> None:
    world.reconciler.round()
    assert world.statuses() == {
        ("compute:nova", "DOWN"),
        ("network:floatingip", "N/A"),
        ("network:router_gateway", "ACTIVE"),
        ("network:router_interface", "ACTIVE"),
    }
    world.switch.ensure_ports({"tap1": world.port_id})
    world.reconciler.round()
    assert world.port().status == "ACTIVE"
    world.switch.delete_ports(["tap1"])
    world.reconciler.round()
    assert world.port().status == "DOWN"


def test_a_status_is_no_new_revision_of_what_is_wanted(world: World) -> None:
    before = world.port()
    world.switch.ensure_ports({"tap1": world.port_id})
    world.reconciler.round()
    world.reconciler.round()
    assert world.port().revision_number == before.revision_number
    assert world.northbound.converged == 1


def test_a_floating_ip_is_active_while_it_leads_somewhere(world: World) -> None:
    def status() -> str:
        world.reconciler.round()
        with world.database.read() as connection:
            return floating_ip.get(connection, ADMIN, world.floating_id).status

    assert status() == "ACTIVE"
    with world.database.write() as connection:
        floating_ip.update(
            connection, ADMIN, world.floating_id, {"port_id": None}, world.clock.now()
        )
    assert status() == "DOWN"


def test_nothing_is_compared_when_nothing_was_written_until_it_may_have_drifted(
    world: World,
) -> None:
    for _ in range(3):
        world.reconciler.round()
    assert world.northbound.converged == 1
    world.clock.advance(DRIFT_S)
    world.reconciler.round()
    assert world.northbound.converged == 2


def test_drift_is_repaired(world: World) -> None:
    world.reconciler.round()
    wanted = dict(world.northbound.records)
    world.northbound.records.popitem()
    world.clock.advance(DRIFT_S)
    world.reconciler.round()
    assert world.northbound.records == wanted


def test_a_store_that_went_back_is_compared_although_its_revision_was_seen(world: World) -> None:
    world.reconciler.round()
    with world.database.write() as connection:
        name = port.update(connection, ADMIN, world.port_id, {"name": "n"}, world.clock.now()).name
        connection.execute(sa.update(feed_revision).values(value=feed_revision.c.value - 1))
        connection.execute(sa.update(feed_table).values(revision=1))
        feed.new_epoch(connection)
    world.reconciler.round()
    assert name in {item.name for item in world.northbound.topology.ports}


def test_a_change_is_not_forgotten_when_the_engine_does_not_answer(world: World) -> None:
    world.northbound.failures.fail_next()
    with pytest.raises(Transient):
        world.reconciler.round()
    world.reconciler.round()
    assert world.northbound.topology.networks
