"""Members: addresses and ports that a pool gives connections to."""

from __future__ import annotations

from typing import Any

import pytest
from openstack import exceptions
from openstack.connection import Connection

from tests.stories.load_balancer.conftest import Raw, Worker


@pytest.fixture
def listener(demo: Connection, balancer: Any) -> Any:
    return demo.load_balancer.create_listener(
        load_balancer_id=balancer.id, protocol="TCP", protocol_port=80
    )


@pytest.fixture
def pool(demo: Connection, listener: Any) -> Any:
    return demo.load_balancer.create_pool(
        listener_id=listener.id, protocol="TCP", lb_algorithm="ROUND_ROBIN"
    )


def test_one_is_made_changed_and_deleted(
    demo: Connection, pool: Any, listener: Any, worker: Worker
) -> None:
    balancing = demo.load_balancer
    made = balancing.create_member(
        pool, name="a", address="10.0.0.11", protocol_port=80, tags=["x"]
    )
    assert (made.weight, made.backup, made.operating_status, made.tags) == (
        1,
        False,
        "NO_MONITOR",
        ["x"],
    )
    changed = balancing.update_member(made, pool, weight=7, monitor_address="10.0.0.99")
    assert (changed.weight, changed.monitor_address) == (7, "10.0.0.99")
    balancing.update_member(made, pool, is_admin_state_up=False)
    assert worker.backends(listener.id) == []
    assert balancing.get_member(made, pool).operating_status == "OFFLINE"
    assert [one.id for one in balancing.members(pool, weight=7)] == [made.id]
    balancing.delete_member(made, pool, ignore_missing=False)
    assert balancing.find_member(made.id, pool, ignore_missing=True) is None


def test_backups_get_connections_when_nobody_else_can(
    demo: Connection, pool: Any, listener: Any, worker: Worker
) -> None:
    balancing = demo.load_balancer
    first = balancing.create_member(pool, address="10.0.0.11", protocol_port=80)
    balancing.create_member(pool, address="10.0.0.12", protocol_port=80, backup=True)
    assert worker.backends(listener.id) == ["10.0.0.11:80"]
    balancing.update_member(first, pool, weight=0)
    assert worker.backends(listener.id) == ["10.0.0.12:80"]


def test_all_are_replaced_at_once(
    demo: Connection, pool: Any, listener: Any, worker: Worker, raw: Raw
) -> None:
    """Those that stay keep their id; whoever is not named goes, unless others are only added."""
    first = demo.load_balancer.create_member(pool, address="10.0.0.11", protocol_port=80)
    demo.load_balancer.create_member(pool, address="10.0.0.12", protocol_port=80)
    path = f"lbaas/pools/{pool.id}/members"
    kept = {"address": "10.0.0.11", "protocol_port": 80, "weight": 2}
    new = {"address": "10.0.0.13", "protocol_port": 80, "weight": 2}
    assert raw("PUT", path, {"members": [kept, new]}).status_code == 202
    assert worker.backends(listener.id) == ["10.0.0.11:80", "10.0.0.13:80"]
    assert demo.load_balancer.get_member(first, pool).weight == 2
    added = {"address": "10.0.0.14", "protocol_port": 80, "weight": 2}
    assert raw("PUT", f"{path}?additive_only=true", {"members": [added]}).status_code == 202
    assert len(worker.backends(listener.id)) == 3
    assert raw.fault("PUT", path, {"members": [kept, kept]})[0] == 400
    assert raw.fault("PUT", path, {"member": kept})[0] == 400
    assert raw("PUT", path, {"members": []}).status_code == 202
    assert worker.backends(listener.id) == []


def test_an_end_is_a_member_once_and_makes_sense(demo: Connection, pool: Any, raw: Raw) -> None:
    demo.load_balancer.create_member(pool, address="10.0.0.11", protocol_port=80)
    good = {"address": "10.0.0.11", "protocol_port": 80}
    path = f"lbaas/pools/{pool.id}/members"
    for said, status in (
        ({}, 409),
        ({"address": "here"}, 400),
        ({"address": "169.254.169.254"}, 400),
        ({"weight": 257}, 400),
        ({"protocol_port": 65_536}, 400),
        ({"subnet_id": "none"}, 400),
        ({"address": "10.0.0.12", "request_sriov": True}, 501),
    ):
        status_now, message = raw.fault("POST", path, {"member": good | said})
        assert status_now == status, (said, message)
    nowhere = path.replace(pool.id, "none")
    assert raw.fault("POST", nowhere, {"member": good}) == (404, "Pool none not found.")
    assert raw.fault("GET", f"{path}/none") == (404, "Member none not found.")


def test_one_on_another_subnet_brings_its_network_in(
    demo: Connection, pool: Any, balancer: Any, worker: Worker
) -> None:
    network = demo.network.create_network(name="far")
    far = demo.network.create_subnet(network_id=network.id, ip_version=4, cidr="10.9.0.0/24")
    demo.load_balancer.create_member(pool, address="10.9.0.5", protocol_port=80, subnet_id=far.id)
    worker.round()
    assert worker.balancer(balancer.id).member_subnet_ids == (far.id,)


def test_anothers_subnet_cannot_be_named(demo: Connection, other: Connection, pool: Any) -> None:
    network = other.network.create_network(name="theirs")
    theirs = other.network.create_subnet(network_id=network.id, ip_version=4, cidr="10.9.0.0/24")
    with pytest.raises(exceptions.BadRequestException):
        demo.load_balancer.create_member(
            pool, address="10.9.0.5", protocol_port=80, subnet_id=theirs.id
        )
