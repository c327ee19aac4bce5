"""What the stories of the load balancer service have in common."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from openstack.connection import Connection

from kumoi.base.clock import Clock
from kumoi.cloud.drivers.network.fake import FakeNorthbound
from kumoi.cloud.drivers.network.interface import BalancerSpec
from kumoi.cloud.drivers.network.ovn.northbound import LoadBalancerRecord, RecordKind
from kumoi.cloud.reconcilers.network import NetworkReconciler
from tests.running_cloud import RunningCloud


@dataclass(frozen=True)
class Worker:
    """Does, when told to, what the worker's network loop would do."""

    northbound: FakeNorthbound
    reconciler: NetworkReconciler

    def round(self) -> None:
        self.reconciler.round()

    def balancer(self, key: str) -> BalancerSpec:
        """As the network was told of it last."""
        return next(one for one in self.northbound.topology.balancers if one.id == key)

    def backends(self, listener_id: str) -> list[str]:
        """The address and port of each backend, as often as it is named."""
        self.round()
        for key, record in self.northbound.records.items():
            if key.kind == RecordKind.LISTENER and key.id == listener_id:
                assert isinstance(record, LoadBalancerRecord)
                ((_, ends),) = record.vips
                return [end for end in ends.split(",") if end]
        raise AssertionError(f"listener {listener_id} is not in the network")


@dataclass(frozen=True)
class Raw:
    """Requests as one tenant, without the SDK's help."""

    http: httpx.Client
    token: str

    def __call__(self, method: str, path: str, body: Any = None) -> httpx.Response:
        return self.http.request(
            method, f"/load-balancer/v2.0/{path}", json=body, headers={"X-Auth-Token": self.token}
        )

    def fault(self, method: str, path: str, body: Any = None) -> tuple[int, str]:
        """Status and message of a request that must fail."""
        answer = self(method, path, body)
        return answer.status_code, answer.json()["faultstring"]


@pytest.fixture
def worker(cloud: RunningCloud) -> Worker:
    northbound = FakeNorthbound()
    return Worker(northbound, NetworkReconciler(cloud.database, northbound, Clock()))


@pytest.fixture
def raw(http: httpx.Client, demo: Connection) -> Raw:
    return Raw(http, demo.auth_token)


@pytest.fixture
def raw_admin(http: httpx.Client, admin: Connection) -> Raw:
    return Raw(http, admin.auth_token)


@pytest.fixture
def subnet(demo: Connection) -> Any:
    """A network inside, with room for many addresses."""
    network = demo.network.create_network(name="private")
    return demo.network.create_subnet(network_id=network.id, ip_version=4, cidr="10.0.0.0/24")


@pytest.fixture
def balancer(demo: Connection, subnet: Any) -> Any:
    return demo.load_balancer.create_load_balancer(name="shop", vip_subnet_id=subnet.id)
