"""A host asks whose the ports and routers of its switch are: a project each, and nothing more."""

from __future__ import annotations

import httpx
import pytest
from openstack.connection import Connection

from kumoi.cloud.hostapi.hello import PATH
from kumoi.cloud.hostapi.owner import ASKED_MAX, OWNERS_PATH
from kumoi.cloud.reconcilers.load_balancer import StationReconciler
from kumoi.cloud.store.load_balancer import station as station_store
from tests.plain_http import PLAIN
from tests.running_cloud import HOST_HEADER, RunningCloud
from tests.stories.load_balancer.hosting import serving

pytestmark = pytest.mark.apis("compute")
NOBODYS = "00000000-0000-4000-8000-00000000abcd"


def asks(cloud: RunningCloud, *ids: str) -> httpx.Response:
    url = f"{cloud.host.url}{PATH}{OWNERS_PATH}"
    return httpx.post(url, json={"ids": ids}, headers={HOST_HEADER: cloud.host.name}, verify=PLAIN)


def test_whose_ports_routers_and_balancers_are(
    cloud: RunningCloud, demo: Connection, admin: Connection
) -> None:
    serving(cloud)
    network = demo.network.create_network(name="own")
    subnet = demo.network.create_subnet(network_id=network.id, ip_version=4, cidr="10.0.0.0/24")
    port = demo.network.create_port(network_id=network.id)
    theirs = admin.network.create_port(network_id=network.id)
    router = demo.network.create_router(name="own")
    balancer = demo.load_balancer.create_load_balancer(vip_subnet_id=subnet.id)
    demo.load_balancer.create_listener(
        load_balancer_id=balancer.id, protocol="HTTP", protocol_port=80
    )
    StationReconciler(cloud.database).round()
    with cloud.database.read() as connection:
        (station,) = station_store.of_balancers(connection, [balancer.id])
    own = [port.id, router.id, balancer.id, balancer.vip_port_id, station.id]
    expected = dict.fromkeys(own, demo.current_project_id)
    expected[theirs.id] = admin.current_project_id
    answer = asks(cloud, *expected, network.id, NOBODYS)
    assert (answer.status_code, answer.json()) == (200, {"owners": expected})


def test_so_many_are_asked_of_at_once_and_no_more(cloud: RunningCloud) -> None:
    ids = [f"{number}" for number in range(ASKED_MAX)]
    assert asks(cloud, *ids).json() == {"owners": {}}
    assert asks(cloud, *ids, "one more").status_code == 400
