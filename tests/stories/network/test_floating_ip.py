"""Floating IPs: an address outside that leads to a port inside."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
from openstack import exceptions
from openstack.connection import Connection

from tests.stories.network.conftest import Raw


@dataclass(frozen=True)
class Inside:
    """A network behind a router, with a port."""

    network: Any
    subnet: Any
    router: Any
    port: Any


@pytest.fixture
def inside(demo: Connection, public: Any) -> Inside:
    return behind(demo, public, "10.0.0.0/24")


def behind(demo: Connection, public: Any, cidr: str) -> Inside:
    network = demo.network.create_network(name="private")
    subnet = demo.network.create_subnet(network_id=network.id, ip_version=4, cidr=cidr)
    router = demo.network.create_router(
        name="gate", external_gateway_info={"network_id": public.id}
    )
    demo.network.add_interface_to_router(router, subnet=subnet.id)
    return Inside(network, subnet, router, demo.network.create_port(network_id=network.id))


def test_it_leads_to_a_port_to_another_and_nowhere(
    demo: Connection, public: Any, inside: Inside
) -> None:
    floating = demo.network.create_ip(floating_network_id=public.id, port_id=inside.port.id)
    assert floating.fixed_ip_address == inside.port.fixed_ips[0]["ip_address"]
    assert floating.router_id == inside.router.id
    second = demo.network.create_port(network_id=inside.network.id)
    moved = demo.network.update_ip(floating.id, port_id=second.id)
    assert (moved.port_id, moved.port_details["mac_address"]) == (second.id, second.mac_address)
    loose = demo.network.update_ip(floating.id, port_id=None)
    assert (loose.port_id, loose.fixed_ip_address, loose.router_id) == (None, None, None)
    demo.network.delete_ip(floating, ignore_missing=False)


def test_it_stays_when_its_port_goes(demo: Connection, public: Any, inside: Inside) -> None:
    floating = demo.network.create_ip(floating_network_id=public.id, port_id=inside.port.id)
    demo.network.delete_port(inside.port)
    left = demo.network.get_ip(floating.id)
    assert (left.port_id, left.router_id) == (None, None)
    demo.network.delete_ip(floating)


def test_it_follows_to_another_router(demo: Connection, public: Any, inside: Inside) -> None:
    floating = demo.network.create_ip(floating_network_id=public.id, port_id=inside.port.id)
    there = behind(demo, public, "10.1.0.0/24")
    moved = demo.network.update_ip(floating.id, port_id=there.port.id)
    assert moved.router_id == there.router.id
    demo.network.delete_ip(floating)


def test_what_it_needs_stays(demo: Connection, public: Any, inside: Inside, raw: Raw) -> None:
    floating = demo.network.create_ip(floating_network_id=public.id, port_id=inside.port.id)
    router = f"routers/{inside.router.id}"
    found = raw.fault("PUT", f"{router}/remove_router_interface", {"subnet_id": inside.subnet.id})
    assert found[:2] == (409, "RouterInterfaceInUseByFloatingIP")
    found = raw.fault("PUT", router, {"router": {"external_gateway_info": {}}})
    assert found[:2] == (409, "RouterExternalGatewayInUseByFloatingIp")
    demo.network.delete_ip(floating)


def test_a_port_with_two_addresses_needs_one_named(
    demo: Connection, public: Any, inside: Inside, raw: Raw
) -> None:
    both = [{"ip_address": "10.0.0.50"}, {"ip_address": "10.0.0.51"}]
    port = demo.network.create_port(network_id=inside.network.id, fixed_ips=both)
    body = {"floatingip": {"floating_network_id": public.id, "port_id": port.id}}
    assert raw.fault("POST", "floatingips", body)[:2] == (400, "BadRequest")
    floating = demo.network.create_ip(
        floating_network_id=public.id, port_id=port.id, fixed_ip_address="10.0.0.51"
    )
    moved = demo.network.update_ip(floating.id, port_id=port.id, fixed_ip_address="10.0.0.50")
    assert moved.fixed_ip_address == "10.0.0.50"
    demo.network.delete_ip(floating)


def test_one_fixed_address_has_one_floating_address(
    demo: Connection, public: Any, inside: Inside, raw: Raw
) -> None:
    floating = demo.network.create_ip(floating_network_id=public.id, port_id=inside.port.id)
    body = {"floatingip": {"floating_network_id": public.id, "port_id": inside.port.id}}
    found = raw.fault("POST", "floatingips", body)
    assert found[:2] == (409, "FloatingIPPortAlreadyAssociated")
    demo.network.delete_ip(floating)


def test_where_there_is_no_way_there_is_no_floating_ip(
    demo: Connection, public: Any, raw: Raw
) -> None:
    network = demo.network.create_network(name="island")
    demo.network.create_subnet(network_id=network.id, ip_version=4, cidr="10.0.0.0/24")
    port = demo.network.create_port(network_id=network.id)
    body: dict[str, Any] = {"floatingip": {"floating_network_id": public.id, "port_id": port.id}}
    found = raw.fault("POST", "floatingips", body)
    assert found[:2] == (404, "ExternalGatewayForFloatingIPNotFound")
    body["floatingip"]["floating_network_id"] = network.id
    assert raw.fault("POST", "floatingips", body)[:2] == (400, "BadRequest")
    assert list(demo.network.ips()) == []


def test_the_pool_runs_out_with_an_error_and_nothing_is_kept(
    demo: Connection, public: Any, raw: Raw
) -> None:
    body = {"floatingip": {"floating_network_id": public.id}}
    made: list[str] = []
    for _ in range(20):
        answer = raw("POST", "floatingips", body)
        if answer.status_code != 201:
            break
        made.append(answer.json()["floatingip"]["id"])
    error = answer.json()["NeutronError"]
    assert (answer.status_code, error["type"]) == (409, "IpAddressGenerationFailure")
    for key in made:
        demo.network.delete_ip(key)
    assert raw("POST", "floatingips", body).status_code == 201


def test_only_an_administrator_chooses_the_address(
    demo: Connection, admin: Connection, public: Any
) -> None:
    wish = {"floating_network_id": public.id, "floating_ip_address": "10.201.0.12"}
    with pytest.raises(exceptions.ForbiddenException):
        demo.network.create_ip(**wish)
    floating = admin.network.create_ip(**wish, project_id=demo.current_project_id)
    assert demo.network.get_ip(floating.id).floating_ip_address == "10.201.0.12"
    demo.network.delete_ip(floating.id, ignore_missing=False)


def test_a_change_that_names_nothing_makes_it_lead_nowhere(
    demo: Connection, public: Any, inside: Inside, raw: Raw
) -> None:
    floating = demo.network.create_ip(floating_network_id=public.id, port_id=inside.port.id)
    demo.network.update_ip(floating, description="mine")
    assert demo.network.get_ip(floating.id).port_id == inside.port.id
    assert raw("PUT", f"floatingips/{floating.id}", {"floatingip": {}}).status_code == 200
    assert demo.network.get_ip(floating.id).port_id is None
    demo.network.delete_ip(floating)


def test_a_port_of_another_project_is_not_led_to(
    demo: Connection, admin: Connection, public: Any, inside: Inside, raw: Raw
) -> None:
    others = admin.network.create_port(network_id=inside.network.id)
    wish = {"floating_network_id": public.id, "port_id": others.id}
    assert raw.fault("POST", "floatingips", {"floatingip": wish})[0] == 400
    admin.network.delete_port(others)
