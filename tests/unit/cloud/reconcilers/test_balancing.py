"""Load balancers in the network reconciler, with the real store and a network that remembers."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest

from kumoi.base.clock import SetClock
from kumoi.base.errors import Transient
from kumoi.cloud.domain.caller import Caller
from kumoi.cloud.domain.load_balancer import graph, load_balancer, member
from kumoi.cloud.domain.load_balancer.graph import (
    BalancerTreeRequest,
    ListenerTreeRequest,
    PoolTreeRequest,
)
from kumoi.cloud.domain.load_balancer.listener import ListenerRequest
from kumoi.cloud.domain.load_balancer.load_balancer import LoadBalancerRequest
from kumoi.cloud.domain.load_balancer.member import MemberRequest
from kumoi.cloud.domain.load_balancer.pool import PoolRequest
from kumoi.cloud.domain.load_balancer.vip import VipRequest
from kumoi.cloud.domain.network import network, subnet
from kumoi.cloud.domain.network.network import NetworkRequest
from kumoi.cloud.domain.network.subnet import SubnetRequest
from kumoi.cloud.drivers.network.fake import FakeNorthbound
from kumoi.cloud.drivers.network.ovn.northbound import LoadBalancerRecord, RecordKind
from kumoi.cloud.reconcilers.network import DRIFT_S, NetworkReconciler
from kumoi.cloud.store.load_balancer import load_balancer as store
from kumoi.cloud.store.load_balancer import member as member_store
from kumoi.cloud.store.schema import metadata
from kumoi.engine.db import Database

ADMIN = Caller(user_id="u", project_id="p", roles=frozenset({"admin"}), request_id="r")


class Balanced:
    """A balancer with a listener and two members, which the network has."""

    def __init__(self, database: Database) -> None:
        self.database, self.clock, self.northbound = database, SetClock(), FakeNorthbound()
        self.reconciler = NetworkReconciler(database, self.northbound, self.clock)
        with database.write() as connection:
            net = network.create(connection, ADMIN, NetworkRequest(project_id="p"), self.now)
            inside = SubnetRequest(
                project_id="p", network_id=net.id, ip_version=4, cidr="10.0.0.0/24"
            )
            made = subnet.create(connection, ADMIN, inside, self.now)
            wanted = BalancerTreeRequest(
                LoadBalancerRequest(project_id="p", vip=VipRequest(subnet_id=made.id)),
                (_listener(),),
            )
            self.id = graph.create(connection, ADMIN, wanted, self.now).id
        self.reconciler.round()

    @property
    def now(self) -> datetime:
        return self.clock.now()

    def backends(self) -> str:
        (row,) = (
            record
            for key, record in self.northbound.records.items()
            if key.kind == RecordKind.LISTENER
        )
        assert isinstance(row, LoadBalancerRecord)
        return next(iter(row.vips))[1]

    def weigh(self, address: str, weight: int) -> None:
        with self.database.write() as connection:
            (row,) = member_store.find(connection, address=address)
            member.update(connection, ADMIN, row.pool_id, row.id, {"weight": weight}, now=self.now)

    def is_applied(self) -> bool:
        with self.database.read() as connection:
            row = store.get(connection, self.id)
        assert row is not None
        return row.applied_revision == row.revision_number


def _listener() -> ListenerTreeRequest:
    members = tuple(MemberRequest(address=f"10.0.0.1{n}", protocol_port=80) for n in (1, 2))
    pool = PoolTreeRequest(PoolRequest(protocol="TCP", lb_algorithm="ROUND_ROBIN"), members)
    listener = ListenerRequest(load_balancer_id="", protocol="TCP", protocol_port=80)
    return ListenerTreeRequest(listener, pool)


@pytest.fixture
def balanced(store_url: str, tmp_path: Path) -> Iterator[Balanced]:
    database = Database(store_url, wake_dir=tmp_path / "wake")
    metadata.create_all(database.engine)
    yield Balanced(database)
    database.close()


def test_a_member_that_drains_is_no_reason_to_compare_the_whole_network(balanced: Balanced) -> None:
    assert balanced.backends() == "10.0.0.11:80,10.0.0.12:80"
    assert balanced.is_applied()
    balanced.weigh("10.0.0.11", 0)
    assert not balanced.is_applied()
    balanced.reconciler.round()
    assert balanced.backends() == "10.0.0.12:80"
    assert balanced.is_applied()
    assert balanced.northbound.compared == 1
    balanced.clock.advance(DRIFT_S)
    balanced.reconciler.round()
    assert balanced.northbound.compared == 2
    assert balanced.backends() == "10.0.0.12:80"


def test_an_engine_that_does_not_answer_is_told_again(balanced: Balanced) -> None:
    balanced.weigh("10.0.0.11", 0)
    balanced.northbound.failures.fail_next()
    with pytest.raises(Transient):
        balanced.reconciler.round()
    assert not balanced.is_applied()
    balanced.reconciler.round()
    assert balanced.backends() == "10.0.0.12:80"
    assert balanced.is_applied()


def test_one_that_goes_takes_its_place_in_the_feed_along(balanced: Balanced) -> None:
    balanced.weigh("10.0.0.11", 0)
    with balanced.database.write() as connection:
        load_balancer.delete(connection, ADMIN, balanced.id, balanced.now, cascade=True)
    balanced.reconciler.round()
    assert not [key for key in balanced.northbound.records if key.kind == RecordKind.LISTENER]
