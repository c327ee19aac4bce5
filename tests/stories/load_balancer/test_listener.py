"""Listeners: ports of a virtual address."""

from __future__ import annotations

from typing import Any

import pytest
from openstack import exceptions
from openstack.connection import Connection

from tests.stories.load_balancer.conftest import Raw, Worker


def test_one_is_made_changed_and_deleted(demo: Connection, balancer: Any, worker: Worker) -> None:
    balancing = demo.load_balancer
    made = balancing.create_listener(
        load_balancer_id=balancer.id, name="web", protocol="TCP", protocol_port=80, tags=["a"]
    )
    assert (made.provisioning_status, made.connection_limit, made.tags) == (
        "PENDING_CREATE",
        -1,
        ["a"],
    )
    assert worker.backends(made.id) == []
    changed = balancing.update_listener(made.id, name="www", timeout_client_data=1_000)
    assert (changed.name, changed.timeout_client_data) == ("www", 1_000)
    assert [one.id for one in balancing.listeners(load_balancer_id=balancer.id)] == [made.id]
    balancing.update_listener(made.id, is_admin_state_up=False)
    assert balancing.get_listener(made.id).operating_status == "OFFLINE"
    with pytest.raises(AssertionError):
        worker.backends(made.id)  # Nobody listens.
    balancing.delete_listener(made.id, ignore_missing=False)
    assert balancing.find_listener(made.id, ignore_missing=True) is None


def test_a_port_is_taken_once_for_each_transport(demo: Connection, balancer: Any, raw: Raw) -> None:
    for protocol in ("TCP", "UDP", "SCTP"):
        demo.load_balancer.create_listener(
            load_balancer_id=balancer.id, protocol=protocol, protocol_port=80
        )
    wanted = {"loadbalancer_id": balancer.id, "protocol": "HTTPS", "protocol_port": 80}
    assert raw.fault("POST", "lbaas/listeners", {"listener": wanted}) == (
        409,
        "Another Listener on this Load Balancer is already using protocol TCP and protocol_port 80",
    )


def test_what_is_not_offered_is_refused_in_words(balancer: Any, raw: Raw) -> None:
    good = {"loadbalancer_id": balancer.id, "protocol": "TCP", "protocol_port": 80}
    for said, status in (
        ({"protocol": "TERMINATED_HTTPS"}, 400),
        ({"protocol": "TERMINATED_HTTPS", "default_tls_container_ref": "x"}, 400),
        ({"protocol": "PROMETHEUS"}, 501),
        ({"insert_headers": {"X-Forwarded-For": "true"}}, 400),
        ({"default_tls_container_ref": "x"}, 400),
        ({"protocol": "PIGEON"}, 400),
        ({"protocol_port": 0}, 400),
        ({"loadbalancer_id": "none"}, 404),
        ({"default_pool_id": "none"}, 404),
    ):
        status_now, message = raw.fault("POST", "lbaas/listeners", {"listener": good | said})
        assert status_now == status, (said, message)
    assert raw("GET", "lbaas/listeners").json() == {"listeners": []}


def test_one_of_http_says_what_it_adds_to_requests(balancer: Any, raw: Raw) -> None:
    good = {"loadbalancer_id": balancer.id, "protocol": "HTTP", "protocol_port": 80}
    for said, status in (
        ({"insert_headers": {"X-Forwarded-For": "true", "X-Forwarded-Port": "false"}}, 201),
        ({"insert_headers": {"X-Evil": "true"}}, 400),
        ({"insert_headers": {"X-Forwarded-For": "yes\n"}}, 400),
        ({"insert_headers": {"X-SSL-Client-CN": "true"}}, 400),
        ({"hsts_max_age": 5}, 400),
        ({"sni_container_refs": ["x"]}, 400),
    ):
        port = {"protocol_port": 80 + status}
        answer = raw("POST", "lbaas/listeners", {"listener": good | port | said})
        assert answer.status_code == status, (said, answer.text)


def test_limits_of_a_tcp_listener_are_a_proxys(
    demo: Connection, balancer: Any, raw: Raw, worker: Worker
) -> None:
    balancing = demo.load_balancer
    made = balancing.create_listener(
        load_balancer_id=balancer.id,
        protocol="TCP",
        protocol_port=80,
        connection_limit=5,
        allowed_cidrs=["10.0.0.7/8"],
    )
    assert made.allowed_cidrs == ["10.0.0.0/8"]
    assert balancing.update_listener(made.id, allowed_cidrs=None).allowed_cidrs is None
    change = {"listener": {"allowed_cidrs": ["2001:db8::/64"]}}
    status, message = raw.fault("PUT", f"lbaas/listeners/{made.id}", change)
    assert status == 400
    assert "IP version incompatible" in message
    assert (
        raw.fault("PUT", f"lbaas/listeners/{made.id}", {"listener": {"allowed_cidrs": ["a"]}})[0]
        == 400
    )


@pytest.mark.parametrize("protocol", ["TCP", "UDP", "SCTP"])
def test_whoever_is_not_in_allowed_cidrs_is_kept_out_by_the_network(
    demo: Connection, balancer: Any, worker: Worker, protocol: str
) -> None:
    demo.load_balancer.create_listener(
        load_balancer_id=balancer.id,
        protocol=protocol,
        protocol_port=53,
        allowed_cidrs=["10.0.0.0/8", "192.0.2.7/32"],
    )
    worker.round()
    (told,) = worker.balancer(balancer.id).listeners
    assert told.allowed_cidrs == ("10.0.0.0/8", "192.0.2.7/32")


def test_a_connection_limit_of_datagrams_is_kept(demo: Connection, balancer: Any) -> None:
    made = demo.load_balancer.create_listener(
        load_balancer_id=balancer.id, protocol="UDP", protocol_port=53, connection_limit=9
    )
    assert made.connection_limit == 9


def test_a_pool_of_another_protocol_or_balancer_is_refused(
    demo: Connection, balancer: Any, subnet: Any, raw: Raw
) -> None:
    balancing = demo.load_balancer
    second = balancing.create_load_balancer(vip_subnet_id=subnet.id)
    alien = balancing.create_pool(
        loadbalancer_id=second.id, protocol="TCP", lb_algorithm="ROUND_ROBIN"
    )
    datagrams = balancing.create_pool(
        loadbalancer_id=balancer.id, protocol="UDP", lb_algorithm="ROUND_ROBIN"
    )
    good = {"loadbalancer_id": balancer.id, "protocol": "TCP", "protocol_port": 80}
    for pool, status in ((alien, 404), (datagrams, 400)):
        wanted = {"listener": good | {"default_pool_id": pool.id}}
        assert raw.fault("POST", "lbaas/listeners", wanted)[0] == status


def test_it_moves_from_one_pool_to_another(demo: Connection, balancer: Any, worker: Worker) -> None:
    """Blue and green, without a moment between."""
    balancing = demo.load_balancer
    blue, green = (
        balancing.create_pool(
            loadbalancer_id=balancer.id, name=name, protocol="TCP", lb_algorithm="ROUND_ROBIN"
        )
        for name in ("blue", "green")
    )
    balancing.create_member(blue, address="10.0.0.11", protocol_port=1)
    balancing.create_member(green, address="10.0.0.12", protocol_port=1)
    listener = balancing.create_listener(
        load_balancer_id=balancer.id, protocol="TCP", protocol_port=80, default_pool_id=blue.id
    )
    assert worker.backends(listener.id) == ["10.0.0.11:1"]
    balancing.update_listener(listener.id, default_pool_id=green.id)
    assert worker.backends(listener.id) == ["10.0.0.12:1"]
    with pytest.raises(exceptions.NotFoundException):
        balancing.update_listener(listener.id, default_pool_id="none")


def test_anothers_is_forbidden(demo: Connection, other: Connection, balancer: Any) -> None:
    made = demo.load_balancer.create_listener(
        load_balancer_id=balancer.id, protocol="TCP", protocol_port=80
    )
    with pytest.raises(exceptions.ForbiddenException):
        other.load_balancer.get_listener(made.id)
    with pytest.raises(exceptions.ForbiddenException):
        other.load_balancer.create_listener(
            load_balancer_id=balancer.id, protocol="TCP", protocol_port=81
        )


def test_without_a_key_manager_no_secret_is_named(balancer: Any, raw: Raw) -> None:
    named = {
        "protocol": "TERMINATED_HTTPS",
        "protocol_port": 443,
        "loadbalancer_id": balancer.id,
        "default_tls_container_ref": "https://192.0.2.1/v1/secrets/1",
    }
    status, fault = raw.fault("POST", "lbaas/listeners", {"listener": named})
    assert status == 400
    assert fault == (
        "This cloud has no key manager, which default_tls_container_ref names a secret of."
    )
