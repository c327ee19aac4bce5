"""Subnet pools."""

from __future__ import annotations

from typing import Any

import pytest
from openstack.connection import Connection

from tests.stories.network.conftest import Raw


@pytest.fixture
def pool(demo: Connection) -> Any:
    return demo.network.create_subnet_pool(
        name="pool", prefixes=["10.10.0.0/24", "10.10.1.0/24"], default_prefix_length=26
    )


def test_prefixes_that_touch_are_joined(pool: Any) -> None:
    assert pool.prefixes == ["10.10.0.0/23"]
    assert (pool.ip_version, pool.minimum_prefix_length) == (4, 8)


def test_another_tenants_pool_does_not_exist(
    demo: Connection, pool: Any, neighbour: Connection
) -> None:
    assert demo.network.get_subnet_pool(pool.id).name == "pool"
    path, change = f"/subnetpools/{pool.id}", {"subnetpool": {"name": "mine"}}
    for method, body in (("GET", None), ("PUT", change), ("DELETE", None)):
        assert neighbour.network.request(path, method, json=body).status_code == 404
    assert demo.network.get_subnet_pool(pool.id).name == "pool"


def test_subnets_are_cut_from_it_until_it_is_used_up(demo: Connection, pool: Any, raw: Raw) -> None:
    network = demo.network.create_network(name="private")
    cut = {"network_id": network.id, "ip_version": 4, "subnetpool_id": pool.id}
    made = [
        raw("POST", "subnets", {"subnet": {**cut, **wish}}).json()["subnet"]["cidr"]
        for wish in ({}, {"prefixlen": 25}, {}, {"cidr": "10.10.1.128/25"}, {"prefixlen": 25})
    ]
    assert made == [
        "10.10.0.0/26",
        "10.10.0.128/25",
        "10.10.0.64/26",
        "10.10.1.128/25",
        "10.10.1.0/25",
    ]
    found = raw.fault("POST", "subnets", {"subnet": cut})
    assert found[:2] == (409, "SubnetAllocationError")
    found = raw.fault("DELETE", f"subnetpools/{pool.id}")
    assert found[:2] == (400, "SubnetPoolDeleteError")
    demo.network.delete_network(network)
    demo.network.delete_subnet_pool(pool, ignore_missing=False)


def test_prefixes_only_grow(pool: Any, raw: Raw) -> None:
    path = f"subnetpools/{pool.id}"
    found = raw.fault("PUT", path, {"subnetpool": {"prefixes": ["10.10.0.0/24"]}})
    assert found[:2] == (400, "IllegalSubnetPoolPrefixUpdate")
    wish = {"subnetpool": {"prefixes": ["10.10.0.0/23", "10.11.0.0/16"]}}
    assert raw("PUT", path, wish).json()["subnetpool"]["prefixes"] == [
        "10.10.0.0/23",
        "10.11.0.0/16",
    ]


def test_prefixes_are_added_and_removed_alone(demo: Connection, pool: Any, raw: Raw) -> None:
    path = f"subnetpools/{pool.id}"

    def change(verb: str, *prefixes: str) -> Any:
        return raw("PUT", f"{path}/{verb}_prefixes", {"prefixes": prefixes}).json()

    assert change("add", "10.11.0.0/24") == {"prefixes": ["10.10.0.0/23", "10.11.0.0/24"]}
    assert change("remove", "10.10.0.0/25", "10.12.0.0/24") == {
        "prefixes": ["10.10.0.128/25", "10.10.1.0/24", "10.11.0.0/24"]
    }
    same = {"prefixes": ["10.10.0.128/25", "10.10.1.0/24", "10.11.0.0/24"]}
    assert change("remove", "10.12.0.0/24") == change("remove", "fd00::/64") == same
    assert demo.network.get_subnet_pool(pool.id).prefixes == same["prefixes"]
    assert change("remove", "10.10.0.0/16") == {"prefixes": ["10.11.0.0/24"]}


def test_a_prefix_in_use_stays(demo: Connection, pool: Any, raw: Raw) -> None:
    network = demo.network.create_network(name="private")
    cut = {"network_id": network.id, "ip_version": 4, "subnetpool_id": pool.id}
    raw("POST", "subnets", {"subnet": cut})
    path = f"subnetpools/{pool.id}/remove_prefixes"
    for prefix in ("10.10.0.0/27", "10.0.0.0/8"):
        found = raw.fault("PUT", path, {"prefixes": [prefix]})
        assert found[:2] == (400, "IllegalSubnetPoolPrefixUpdate")
    assert raw("PUT", path, {"prefixes": ["10.10.1.0/24"]}).json() == {"prefixes": ["10.10.0.0/24"]}


def test_a_pool_is_not_emptied_and_what_is_no_prefix_is_refused(
    pool: Any, raw: Raw, neighbour: Connection
) -> None:
    path = f"subnetpools/{pool.id}/remove_prefixes"
    found = raw.fault("PUT", path, {"prefixes": ["10.0.0.0/8"]})
    assert found[:2] == (400, "EmptySubnetPoolPrefixList")
    wrong: list[dict[str, Any]] = [
        {},
        *({"prefixes": each} for each in ([], "10.0.0.0/8", ["ten"])),
    ]
    for body in wrong:
        for verb in ("add", "remove"):
            assert raw.fault("PUT", f"subnetpools/{pool.id}/{verb}_prefixes", body)[0] == 400
    found = raw.fault("PUT", path.replace("remove", "add"), {"prefixes": ["fd00::/48"]})
    assert found[:2] == (400, "PrefixVersionMismatch")
    answer = neighbour.network.put(f"/{path}", json={"prefixes": ["10.10.0.0/24"]})
    assert answer.status_code == 404


@pytest.mark.parametrize(
    ("wish", "word"),
    [
        ({"prefixes": []}, "EmptySubnetPoolPrefixList"),
        ({"prefixes": ["10.0.0.0/8", "fd00::/48"]}, "PrefixVersionMismatch"),
        ({"prefixes": ["ten"]}, "HTTPBadRequest"),
        ({"min_prefixlen": 30, "max_prefixlen": 20}, "IllegalSubnetPoolPrefixBounds"),
    ],
)
def test_what_does_not_fit_is_refused(
    demo: Connection, raw: Raw, wish: dict[str, Any], word: str
) -> None:
    body = {"subnetpool": {"name": "pool", "prefixes": ["10.0.0.0/8"], **wish}}
    assert raw.fault("POST", "subnetpools", body)[:2] == (400, word)
    assert list(demo.network.subnet_pools()) == []


def test_a_pool_is_not_cut_into_more_pieces_than_it_may_have(
    demo: Connection, pool: Any, raw: Raw
) -> None:
    path, statuses = f"subnetpools/{pool.id}/add_prefixes", []
    for second in range(12):
        apart = [f"10.{20 + second}.{2 * each}.0/24" for each in range(100)]
        statuses.append(raw("PUT", path, {"prefixes": apart}).status_code)
    assert statuses == [200] * 9 + [400] * 3
    assert len(demo.network.get_subnet_pool(pool.id).prefixes) == 901
