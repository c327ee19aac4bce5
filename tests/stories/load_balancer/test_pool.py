"""Pools: what a listener gives its connections to."""

from __future__ import annotations

from typing import Any

import pytest
from openstack import exceptions
from openstack.connection import Connection

from tests.stories.load_balancer.conftest import Raw, Worker


def test_one_is_made_changed_and_deleted_with_its_members(
    demo: Connection, balancer: Any, worker: Worker
) -> None:
    balancing = demo.load_balancer
    listener = balancing.create_listener(
        load_balancer_id=balancer.id, protocol="TCP", protocol_port=80
    )
    pool = balancing.create_pool(
        listener_id=listener.id, protocol="TCP", lb_algorithm="ROUND_ROBIN", name="web"
    )
    assert [one["id"] for one in pool.listeners] == [listener.id]
    balancing.create_member(pool, address="10.0.0.11", protocol_port=1)
    changed = balancing.update_pool(pool.id, lb_algorithm="SOURCE_IP", tags=["a"])
    assert (changed.lb_algorithm, changed.tags) == ("SOURCE_IP", ["a"])
    worker.round()
    (spec,) = worker.balancer(balancer.id).listeners
    assert spec.by_source
    balancing.delete_pool(pool.id, ignore_missing=False)
    assert worker.backends(listener.id) == []
    assert balancing.get_listener(listener.id).default_pool_id is None
    assert not list(balancing.pools(loadbalancer_id=balancer.id))


def test_a_client_stays_with_its_member(demo: Connection, balancer: Any, worker: Worker) -> None:
    balancing = demo.load_balancer
    listener = balancing.create_listener(
        load_balancer_id=balancer.id, protocol="UDP", protocol_port=53
    )
    pool = balancing.create_pool(
        listener_id=listener.id,
        protocol="UDP",
        lb_algorithm="SOURCE_IP_PORT",
        session_persistence={"type": "SOURCE_IP", "persistence_timeout": 60},
    )
    worker.round()
    (spec,) = worker.balancer(balancer.id).listeners
    assert spec.sticky_s == 60
    balancing.update_pool(pool.id, session_persistence=None)
    worker.round()
    (spec,) = worker.balancer(balancer.id).listeners
    assert spec.sticky_s is None


def test_one_that_is_down_gets_nothing(demo: Connection, balancer: Any, worker: Worker) -> None:
    balancing = demo.load_balancer
    listener = balancing.create_listener(
        load_balancer_id=balancer.id, protocol="TCP", protocol_port=80
    )
    pool = balancing.create_pool(
        listener_id=listener.id, protocol="TCP", lb_algorithm="ROUND_ROBIN"
    )
    balancing.create_member(pool, address="10.0.0.11", protocol_port=1)
    balancing.update_pool(pool.id, is_admin_state_up=False)
    assert worker.backends(listener.id) == []
    assert balancing.get_pool(pool.id).operating_status == "OFFLINE"


def test_what_is_not_offered_is_refused_in_words(demo: Connection, balancer: Any, raw: Raw) -> None:
    good = {"loadbalancer_id": balancer.id, "protocol": "TCP", "lb_algorithm": "ROUND_ROBIN"}
    for said, status in (
        ({"protocol": "UDP", "lb_algorithm": "LEAST_CONNECTIONS"}, 501),
        ({"protocol": "UDP", "session_persistence": {"type": "HTTP_COOKIE"}}, 400),
        ({"session_persistence": {"type": "SOURCE_IP", "cookie_name": "x"}}, 400),
        ({"session_persistence": {"type": "SOURCE_IP", "persistence_timeout": 1}}, 400),
        ({"loadbalancer_id": None}, 400),
        ({"loadbalancer_id": "none"}, 404),
        ({"listener_id": "none"}, 404),
    ):
        status_now, message = raw.fault("POST", "lbaas/pools", {"pool": good | said})
        assert status_now == status, (said, message)
    for kept in ({"persistence_timeout": 70_000}, {"persistence_granularity": "255.0.0.0"}):
        wanted: dict[str, Any] = good | {
            "protocol": "UDP",
            "session_persistence": {"type": "SOURCE_IP"} | kept,
        }
        assert raw.fault("POST", "lbaas/pools", {"pool": wanted})[0] in (400, 501)
    assert not list(demo.load_balancer.pools())


def test_a_listener_has_one_default_pool_of_its_protocol(
    demo: Connection, balancer: Any, subnet: Any, raw: Raw
) -> None:
    balancing = demo.load_balancer
    listener = balancing.create_listener(
        load_balancer_id=balancer.id, protocol="TCP", protocol_port=80
    )
    wanted = {"listener_id": listener.id, "protocol": "UDP", "lb_algorithm": "ROUND_ROBIN"}
    assert raw.fault("POST", "lbaas/pools", {"pool": wanted})[0] == 400
    wanted["protocol"] = "TCP"
    second = balancing.create_load_balancer(vip_subnet_id=subnet.id)
    elsewhere = wanted | {"loadbalancer_id": second.id}
    assert raw.fault("POST", "lbaas/pools", {"pool": elsewhere})[0] == 404
    assert raw("POST", "lbaas/pools", {"pool": wanted}).status_code == 201
    assert raw.fault("POST", "lbaas/pools", {"pool": wanted}) == (
        409,
        "This listener already has a default pool",
    )


def test_anothers_is_forbidden(demo: Connection, other: Connection, balancer: Any) -> None:
    made = demo.load_balancer.create_pool(
        loadbalancer_id=balancer.id, protocol="TCP", lb_algorithm="ROUND_ROBIN"
    )
    with pytest.raises(exceptions.ForbiddenException):
        other.load_balancer.get_pool(made.id)
    with pytest.raises(exceptions.ForbiddenException):
        other.load_balancer.create_member(made, address="10.0.0.1", protocol_port=1)


def test_what_a_proxy_can_is_offered_where_there_is_one(
    demo: Connection, balancer: Any, raw: Raw
) -> None:
    good = {"loadbalancer_id": balancer.id, "protocol": "HTTP", "lb_algorithm": "ROUND_ROBIN"}
    cookie = {"type": "APP_COOKIE", "cookie_name": "id"}
    for said, status in (
        ({"protocol": "PROXY"}, 201),
        ({"protocol": "PROXYV2"}, 201),
        ({"lb_algorithm": "LEAST_CONNECTIONS"}, 201),
        ({"session_persistence": {"type": "HTTP_COOKIE"}}, 201),
        ({"session_persistence": cookie}, 201),
        ({"session_persistence": cookie | {"cookie_name": "a b"}}, 400),
        ({"session_persistence": {"type": "APP_COOKIE"}}, 400),
        ({"protocol": "UDP", "lb_algorithm": "LEAST_CONNECTIONS"}, 501),
        ({"tls_versions": ["TLSv1.1"]}, 400),
        ({"tls_versions": []}, 400),
        ({"tls_ciphers": "RC4:AES"}, 400),
        ({"tls_ciphers": "AES\nx"}, 400),
        ({"alpn_protocols": ["spdy"]}, 400),
        ({"tls_ciphers": "HIGH:!RC4", "tls_versions": ["TLSv1.3"]}, 201),
    ):
        answer = raw("POST", "lbaas/pools", {"pool": good | said})
        assert answer.status_code == status, (said, answer.text)
    made = raw("POST", "lbaas/pools", {"pool": good}).json()["pool"]
    change = {"pool": {"session_persistence": cookie}}
    assert (
        raw("PUT", f"lbaas/pools/{made['id']}", change).json()["pool"]["session_persistence"][
            "cookie_name"
        ]
        == "id"
    )
