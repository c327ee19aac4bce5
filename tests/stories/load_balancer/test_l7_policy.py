"""L7 policies: what becomes of requests of a listener."""

from __future__ import annotations

from typing import Any

import pytest
from openstack import exceptions
from openstack.connection import Connection

from tests.stories.load_balancer.conftest import Raw


@pytest.fixture
def listener(demo: Connection, balancer: Any) -> Any:
    return demo.load_balancer.create_listener(
        load_balancer_id=balancer.id, protocol="HTTP", protocol_port=80
    )


def test_they_stand_in_an_order_without_gaps(demo: Connection, listener: Any) -> None:
    balancing = demo.load_balancer

    def order() -> list[tuple[str, int]]:
        found = balancing.l7_policies(listener_id=listener.id)
        return sorted(((one.name, one.position) for one in found), key=lambda one: one[1])

    made = {
        name: balancing.create_l7_policy(
            listener_id=listener.id, action="REJECT", name=name, position=position
        )
        for name, position in (("a", 1), ("b", 7), ("c", 1))
    }
    assert order() == [("c", 1), ("a", 2), ("b", 3)]
    assert balancing.update_l7_policy(made["c"].id, position=2).position == 2
    assert order() == [("a", 1), ("c", 2), ("b", 3)]
    balancing.delete_l7_policy(made["a"].id, ignore_missing=False)
    assert order() == [("c", 1), ("b", 2)]
    shown = balancing.get_listener(listener.id).l7_policies
    assert [one["id"] for one in shown] == [made["c"].id, made["b"].id]


def _code(raw: Raw, policy: Any) -> Any:
    """The SDK shows no redirect_http_code."""
    return raw("GET", f"lbaas/l7policies/{policy.id}").json()["l7policy"]["redirect_http_code"]


def test_where_one_leads_follows_its_action(
    demo: Connection, balancer: Any, listener: Any, raw: Raw
) -> None:
    balancing = demo.load_balancer
    pool = balancing.create_pool(
        loadbalancer_id=balancer.id, protocol="HTTP", lb_algorithm="ROUND_ROBIN"
    )
    made = balancing.create_l7_policy(
        listener_id=listener.id, action="REDIRECT_TO_URL", redirect_url="https://shop.example/"
    )
    assert _code(raw, made) == 302
    changed = balancing.update_l7_policy(
        made.id, action="REDIRECT_TO_POOL", redirect_pool_id=pool.id
    )
    assert (changed.redirect_pool_id, changed.redirect_url) == (pool.id, None)
    assert [one["id"] for one in balancing.get_pool(pool.id).listeners] == [listener.id]
    with pytest.raises(exceptions.ConflictException):
        balancing.delete_pool(pool.id)
    changed = balancing.update_l7_policy(
        made.id, action="REDIRECT_PREFIX", redirect_prefix="https://a.example"
    )
    assert (changed.redirect_prefix, _code(raw, changed)) == ("https://a.example", 302)
    change = {"l7policy": {"redirect_http_code": 308}}
    assert raw("PUT", f"lbaas/l7policies/{made.id}", change).status_code == 200
    assert _code(raw, made) == 308
    changed = balancing.update_l7_policy(made.id, action="REJECT")
    assert (changed.redirect_prefix, _code(raw, changed)) == (None, None)


def test_what_makes_no_sense_is_refused(
    demo: Connection, balancer: Any, listener: Any, raw: Raw
) -> None:
    balancing = demo.load_balancer
    plain = balancing.create_listener(
        load_balancer_id=balancer.id, protocol="TCP", protocol_port=81
    )
    pool = balancing.create_pool(
        loadbalancer_id=balancer.id, protocol="TCP", lb_algorithm="ROUND_ROBIN"
    )
    url = {"action": "REDIRECT_TO_URL", "redirect_url": "http://a.example/"}
    for said, status in (
        ({"action": "REDIRECT_TO_URL"}, 400),
        ({"action": "SING"}, 400),
        (url | {"redirect_pool_id": pool.id}, 400),
        (url | {"redirect_url": "ftp://a.example/"}, 400),
        (url | {"redirect_url": "http://a.example/\n acl"}, 400),
        (url | {"redirect_url": "http://["}, 400),
        (url | {"redirect_http_code": 304}, 400),
        ({"action": "REDIRECT_TO_POOL", "redirect_pool_id": pool.id}, 400),
        ({"action": "REDIRECT_TO_POOL", "redirect_pool_id": "none"}, 404),
        ({"action": "REJECT", "listener_id": "none"}, 404),
        ({"action": "REJECT", "listener_id": plain.id}, 501),
        ({"action": "REJECT", "position": 0}, 400),
    ):
        wanted = {"l7policy": {"listener_id": listener.id} | said}
        status_now, message = raw.fault("POST", "lbaas/l7policies", wanted)
        assert status_now == status, (said, message)
    assert list(balancing.l7_policies()) == []


def test_a_balancer_is_made_with_all_its_parts_at_once(
    subnet: Any, raw: Raw, demo: Connection
) -> None:
    rule = {"type": "PATH", "compare_type": "STARTS_WITH", "value": "/img"}
    wanted = {
        "vip_subnet_id": subnet.id,
        "name": "whole",
        "pools": [{"name": "web", "protocol": "HTTP", "lb_algorithm": "LEAST_CONNECTIONS"}],
        "listeners": [
            {
                "protocol": "HTTP",
                "protocol_port": 80,
                "tags": ["front"],
                "default_pool": {"name": "web"},
                "l7policies": [
                    {
                        "action": "REDIRECT_TO_POOL",
                        "redirect_pool": {
                            "name": "images",
                            "protocol": "HTTP",
                            "lb_algorithm": "ROUND_ROBIN",
                            "members": [{"address": "10.0.0.12", "protocol_port": 80}],
                            "healthmonitor": {
                                "type": "HTTP",
                                "delay": 2,
                                "timeout": 1,
                                "max_retries": 1,
                            },
                        },
                        "rules": [rule],
                    }
                ],
            }
        ],
    }
    made = raw("POST", "lbaas/loadbalancers", {"loadbalancer": wanted}).json()["loadbalancer"]
    (listener,) = made["listeners"]
    assert listener["tags"] == ["front"]
    (policy,) = listener["l7policies"]
    (shown,) = policy["rules"]
    assert {name: shown[name] for name in rule} == rule
    images = next(one for one in made["pools"] if one["name"] == "images")
    assert policy["redirect_pool_id"] == images["id"]
    assert images["healthmonitor"]["url_path"] == "/"
    tree = raw("GET", f"lbaas/loadbalancers/{made['id']}/status").json()["statuses"]
    (listened,) = tree["loadbalancer"]["listeners"]
    assert {one["name"] for one in listened["pools"]} == {"web", "images"}
    wanted["listeners"][0]["default_pool"]["name"] = "nobody"
    assert raw.fault("POST", "lbaas/loadbalancers", {"loadbalancer": wanted})[0] == 400
    demo.load_balancer.delete_load_balancer(made["id"], cascade=True, ignore_missing=False)
    assert list(demo.load_balancer.l7_policies()) == []


def test_anothers_is_forbidden(demo: Connection, other: Connection, listener: Any) -> None:
    made = demo.load_balancer.create_l7_policy(listener_id=listener.id, action="REJECT")
    with pytest.raises(exceptions.ForbiddenException):
        other.load_balancer.get_l7_policy(made.id)
    with pytest.raises(exceptions.ForbiddenException):
        other.load_balancer.create_l7_policy(listener_id=listener.id, action="REJECT")
    assert list(other.load_balancer.l7_policies()) == []
