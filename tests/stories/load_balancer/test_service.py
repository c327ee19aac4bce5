"""What clients ask the load balancer service before they ask for anything."""

from __future__ import annotations

import httpx
from openstack.connection import Connection

from tests.stories.load_balancer.conftest import Raw


def test_versions_ascend_as_clients_take_the_last(http: httpx.Client) -> None:
    found = http.get("/load-balancer/").json()["versions"]
    ids = [tuple(map(int, one["id"].removeprefix("v").split("."))) for one in found]
    assert ids == sorted(ids)
    assert [one["status"] for one in found][-1] == "CURRENT"
    assert found[-1]["links"][0]["href"].endswith("/load-balancer/v2.0")


def test_there_is_one_provider_and_nothing_else_to_choose(demo: Connection, raw: Raw) -> None:
    balancing = demo.load_balancer
    assert [one.name for one in balancing.providers()] == ["kumoi"]
    assert list(balancing.provider_flavor_capabilities("kumoi")) == []
    zones = raw("GET", "lbaas/providers/kumoi/availability_zone_capabilities").json()
    assert zones == {"availability_zone_capabilities": []}
    assert raw.fault("GET", "lbaas/providers/amphora/flavor_capabilities")[0] == 404
    assert list(balancing.flavors()) == []
    assert list(balancing.availability_zones()) == []


def test_there_are_no_amphorae(raw_admin: Raw) -> None:
    assert raw_admin.fault("GET", "octavia/amphorae")[0] == 501
