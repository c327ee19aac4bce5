"""Port forwardings of floating IPs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from openstack.connection import Connection

from tests.stories.network.conftest import Raw
from tests.stories.network.test_floating_ip import Inside, behind


@pytest.fixture
def inside(demo: Connection, public: Any) -> Inside:
    return behind(demo, public, "10.0.0.0/24")


@pytest.fixture
def floating(demo: Connection, public: Any, inside: Inside) -> Iterator[Any]:
    made = demo.network.create_ip(floating_network_id=public.id)
    yield made
    if demo.network.find_ip(made.id, ignore_missing=True):
        for forwarding in demo.network.floating_ip_port_forwardings(made):
            demo.network.delete_floating_ip_port_forwarding(made, forwarding)


def ends(inside: Inside, outer: int = 2222, inner: int = 22) -> dict[str, Any]:
    return {
        "protocol": "tcp",
        "external_port": outer,
        "internal_port_id": inside.port.id,
        "internal_port": inner,
    }


def test_a_port_of_a_floating_ip_leads_to_a_port_inside(
    demo: Connection, inside: Inside, floating: Any
) -> None:
    made = demo.network.create_floating_ip_port_forwarding(floating, **ends(inside))
    address = inside.port.fixed_ips[0]["ip_address"]
    assert (made.internal_ip_address, made.protocol) == (address, "tcp")
    changed = demo.network.update_floating_ip_port_forwarding(
        floating, made, internal_port=23, description="shell"
    )
    assert (changed.external_port, changed.internal_port) == (2222, 23)
    assert (changed.internal_ip_address, changed.description) == (address, "shell")
    (listed,) = demo.network.floating_ip_port_forwardings(floating, external_port=2222)
    found = demo.network.get_floating_ip_port_forwarding(floating, made)
    assert listed.id == found.id == made.id
    at = demo.network.get_ip(floating.id)
    assert (at.router_id, at.port_id) == (inside.router.id, None)
    demo.network.delete_floating_ip_port_forwarding(floating, made, ignore_missing=False)
    assert demo.network.get_ip(floating.id).router_id is None


def test_a_floating_ip_shows_its_forwardings_and_stays_while_it_has_any(
    demo: Connection, inside: Inside, floating: Any, raw: Raw
) -> None:
    made = demo.network.create_floating_ip_port_forwarding(floating, **ends(inside))
    path = f"floatingips/{floating.id}"
    shown = raw("GET", path).json()["floatingip"]["port_forwardings"]
    assert [each["id"] for each in shown] == [made.id]
    assert raw.fault("DELETE", path)[:2] == (409, "FipInUseByPortForwarding")
    whole = {"floatingip": {"port_id": inside.port.id}}
    assert raw.fault("PUT", path, whole)[:2] == (409, "FipInUseByPortForwarding")
    assert raw("PUT", path, {"floatingip": {"port_id": None}}).status_code == 200
    assert demo.network.get_ip(floating.id).router_id == inside.router.id
    leave = {"subnet_id": inside.subnet.id}
    found = raw.fault("PUT", f"routers/{inside.router.id}/remove_router_interface", leave)
    assert found[:2] == (409, "RouterInterfaceInUseByFloatingIP")


def test_they_go_with_the_port_or_its_address(
    demo: Connection, inside: Inside, floating: Any
) -> None:
    demo.network.create_floating_ip_port_forwarding(floating, **ends(inside))
    moved = demo.network.update_port(
        inside.port, fixed_ips=[{"subnet_id": inside.subnet.id, "ip_address": "10.0.0.99"}]
    )
    assert list(demo.network.floating_ip_port_forwardings(floating)) == []
    demo.network.create_floating_ip_port_forwarding(floating, **ends(inside))
    demo.network.delete_port(moved)
    assert list(demo.network.floating_ip_port_forwardings(floating)) == []
    assert demo.network.get_ip(floating.id).router_id is None
    demo.network.delete_ip(floating, ignore_missing=False)


def test_an_end_is_forwarded_once(
    demo: Connection, public: Any, inside: Inside, floating: Any, raw: Raw
) -> None:
    path = f"floatingips/{floating.id}/port_forwardings"

    def refused(**body: Any) -> tuple[int, str]:
        return raw.fault("POST", path, {"port_forwarding": body})[:2]

    demo.network.create_floating_ip_port_forwarding(floating, **ends(inside))
    assert refused(**ends(inside, inner=23)) == (400, "BadRequest")
    assert refused(**ends(inside, outer=2223)) == (400, "BadRequest")
    assert refused(**ends(inside, outer=70_000, inner=9))[0] == 400
    assert refused(**ends(inside, 9, 9) | {"protocol": "icmp"})[0] == 400
    assert refused(**ends(inside, 9, 9), internal_ip_address="10.0.0.77")[0] == 400
    second = demo.network.create_port(network_id=inside.network.id)
    demo.network.create_ip(floating_network_id=public.id, port_id=second.id)
    taken = ends(inside, 9, 9) | {"internal_port_id": second.id}
    assert refused(**taken) == (409, "PortHasBindingFloatingIP")
    assert len(list(demo.network.floating_ip_port_forwardings(floating))) == 1


def test_another_tenants_forwardings_do_not_exist(
    demo: Connection, inside: Inside, floating: Any, other: Connection
) -> None:
    made = demo.network.create_floating_ip_port_forwarding(floating, **ends(inside))
    path = f"/floatingips/{floating.id}/port_forwardings"
    change = {"port_forwarding": {"internal_port": 1}}
    for method, where, body in (
        ("GET", path, None),
        ("POST", path, {"port_forwarding": ends(inside, 9, 9)}),
        ("GET", f"{path}/{made.id}", None),
        ("PUT", f"{path}/{made.id}", change),
        ("DELETE", f"{path}/{made.id}", None),
    ):
        assert other.network.request(where, method, json=body).status_code == 404
    assert demo.network.get_floating_ip_port_forwarding(floating, made).internal_port == 22
