"""Balancers and a member whose server moves: it rests meanwhile, and its weight stays its owner's."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import msgspec
import pytest
from openstack import exceptions
from openstack.connection import Connection
from tests.stories.compute import movers as moving
from tests.stories.compute.conftest import Workbench
from tests.stories.compute.movers import SPARE, Movers

from kumoi.base.clock import Clock
from kumoi.cloud.domain.compute import move
from kumoi.cloud.drivers.network.fake import FakeNorthbound
from kumoi.cloud.drivers.network.ovn.northbound import LoadBalancerRecord, RecordKey, RecordKind
from kumoi.cloud.hostapi.arrival import ArrivalState
from kumoi.cloud.hostapi.messages import SERVER, InstanceState, Power, ServerStatus
from kumoi.cloud.hostapi.things import ThingReport, raw
from kumoi.cloud.reconcilers.network import NetworkReconciler
from kumoi.cloud.reconcilers.server import ServerReconciler
from kumoi.cloud.store.compute import server as store

pytestmark = pytest.mark.apis("load-balancer")


@pytest.fixture
def movers(bench: Workbench, admin: Connection) -> Iterator[Movers]:
    yield from moving.between(bench, admin)


class Balanced:
    """A balancer of TCP with the server as one of its two members."""

    def __init__(self, movers: Movers, demo: Connection, server: Any) -> None:
        self.movers, self.server = movers, server
        self.northbound = FakeNorthbound()
        database = movers.bench.cloud.database
        self.network = NetworkReconciler(database, self.northbound, Clock())
        self.worker = ServerReconciler(database)
        (port,) = demo.network.ports(device_id=server.id)
        subnet_id = port.fixed_ips[0]["subnet_id"]
        self.address = port.fixed_ips[0]["ip_address"]
        balancing = demo.load_balancer
        self.balancer = balancing.create_load_balancer(name="shop", vip_subnet_id=subnet_id)
        self.listener = balancing.create_listener(
            load_balancer_id=self.balancer.id, protocol="TCP", protocol_port=80
        )
        self.pool = balancing.create_pool(
            listener_id=self.listener.id, protocol="TCP", lb_algorithm="ROUND_ROBIN"
        )
        self.member = balancing.create_member(
            self.pool, address=self.address, protocol_port=8080, weight=3
        )
        balancing.create_member(self.pool, address="10.206.0.200", protocol_port=8080)

    def backends(self) -> set[str]:
        self.network.round()
        for key, record in self.northbound.records.items():
            if key == RecordKey(RecordKind.LISTENER, self.listener.id):
                assert isinstance(record, LoadBalancerRecord)
                ((_, ends),) = record.vips
                return {end.partition(":")[0] for end in ends.split(",")}
        raise AssertionError("the listener is not in the network")

    def says(self, host: Any, **use: Any) -> None:
        """The server's host says who uses its ports."""
        (spec,) = [each for each in host.servers() if each.id == self.server.id]
        status = ServerStatus(state=InstanceState.RUNNING, **use)
        host.report(
            ThingReport(kind=SERVER, id=spec.id, generation=spec.generation, status=raw(status))
        )

    def pass_time(self, seconds: float) -> None:
        """The step began so much earlier."""
        database = self.movers.bench.cloud.database
        with database.write() as connection:
            row = store.get(connection, self.server.id)
            assert row is not None
            before = move.of(row)
            assert before.since is not None
            since = before.since - timedelta(seconds=seconds)
            now = msgspec.structs.replace(before, since=since)
            store.update(connection, row, now=row.updated_at, move=msgspec.to_builtins(now))
        self.worker.round()


@pytest.fixture
def balanced(movers: Movers, demo: Connection) -> Balanced:
    return Balanced(movers, demo, movers.bench.active())


def test_a_member_rests_while_its_server_stops_and_until_it_is_listened_again(
    balanced: Balanced, movers: Movers, demo: Connection
) -> None:
    both = {balanced.address, "10.206.0.200"}
    movers.migrate(balanced.server)
    assert balanced.backends() == both  # While its disk is copied it works as ever.
    movers.copied(ArrivalState.READY)
    assert balanced.backends() == {"10.206.0.200"}
    shown = demo.load_balancer.get_member(balanced.member, balanced.pool)
    assert (shown.weight, shown.operating_status) == (3, "DRAINING")
    assert movers.bench.spec(balanced.server).watched == [8080]
    balanced.says(movers.first, connections=2, listening=(8080,))
    balanced.pass_time(move.EMPTY_LEAST_S)
    assert movers.bench.spec(balanced.server).power is Power.RUNNING  # Two are there yet.
    balanced.says(movers.first, connections=0, listening=(8080,))
    assert movers.bench.spec(balanced.server).power is Power.STOPPED
    movers.first.settle()
    movers.copied(ArrivalState.COMPLETE)
    movers.spare.settle()
    assert movers.where(balanced.server) == (SPARE, "MIGRATING", "migrating")
    assert balanced.backends() == {"10.206.0.200"}  # Nobody listens there yet.
    balanced.says(movers.spare, listening=(8080,))
    assert movers.where(balanced.server) == (SPARE, "ACTIVE", None)
    assert balanced.backends() == both


def test_connections_that_do_not_end_keep_no_server(balanced: Balanced, movers: Movers) -> None:
    movers.migrate(balanced.server)
    movers.copied(ArrivalState.READY)
    balanced.says(movers.first, connections=2, listening=(8080,))
    balanced.pass_time(move.EMPTY_S)
    assert movers.bench.spec(balanced.server).power is Power.STOPPED


def test_how_long_connections_may_take_to_end_is_asked_for(
    balanced: Balanced, movers: Movers
) -> None:
    with pytest.raises(exceptions.BadRequestException, match="connections_end_s"):
        movers.migrate(balanced.server, **{"kumoi:connections_end_s": -1})
    movers.migrate(balanced.server, **{"kumoi:connections_end_s": 2 * move.EMPTY_S})
    movers.copied(ArrivalState.READY)
    balanced.says(movers.first, connections=2, listening=(8080,))
    balanced.pass_time(move.EMPTY_S)
    assert movers.bench.spec(balanced.server).power is Power.RUNNING
    balanced.pass_time(move.EMPTY_S)
    assert movers.bench.spec(balanced.server).power is Power.STOPPED


def test_a_member_of_a_move_that_is_given_up_works_again(
    balanced: Balanced, movers: Movers
) -> None:
    movers.migrate(balanced.server)
    movers.copied(ArrivalState.READY)
    assert balanced.backends() == {"10.206.0.200"}
    path = f"/servers/{balanced.server.id}/migrations"
    (shown,) = movers.admin.compute.get(path, microversion="2.80").json()["migrations"]
    movers.admin.compute.delete(f"{path}/{shown['id']}", microversion="2.24")
    assert balanced.backends() == {balanced.address, "10.206.0.200"}
