"""Routers, their interfaces, gateways and routes."""

from __future__ import annotations

from typing import Any

import pytest
from openstack import exceptions
from openstack.connection import Connection

from tests.stories.network.conftest import Raw


def subnet_of(demo: Connection, cidr: str) -> Any:
    network = demo.network.create_network(name=cidr)
    return demo.network.create_subnet(network_id=network.id, ip_version=4, cidr=cidr)


def test_a_router_leads_outside_and_back(demo: Connection, public: Any) -> None:
    router = demo.network.create_router(
        name="gate", external_gateway_info={"network_id": public.id}
    )
    info = router.external_gateway_info
    assert (info["network_id"], info["enable_snat"]) == (public.id, True)
    assert info["external_fixed_ips"][0]["ip_address"].startswith("10.201.0.")
    cleared = demo.network.update_router(router.id, external_gateway_info={})
    assert cleared.external_gateway_info is None
    demo.network.delete_router(router, ignore_missing=False)


def test_another_tenants_router_does_not_exist(demo: Connection, neighbour: Connection) -> None:
    router = demo.network.create_router(name="gate")
    assert demo.network.get_router(router.id).name == "gate"
    path, change = f"/routers/{router.id}", {"router": {"name": "mine"}}
    for method, body in (("GET", None), ("PUT", change), ("DELETE", None)):
        assert neighbour.network.request(path, method, json=body).status_code == 404
    assert demo.network.get_router(router.id).name == "gate"


def test_an_interface_has_the_subnets_gateway_address(demo: Connection) -> None:
    subnet, router = subnet_of(demo, "10.0.0.0/24"), demo.network.create_router(name="gate")
    made = demo.network.add_interface_to_router(router, subnet=subnet.id)
    port = demo.network.get_port(made["port_id"])
    assert (port.device_id, port.device_owner) == (router.id, "network:router_interface")
    assert port.fixed_ips == [{"subnet_id": subnet.id, "ip_address": "10.0.0.1"}]
    demo.network.remove_interface_from_router(router, subnet=subnet.id)
    with pytest.raises(exceptions.NotFoundException):
        demo.network.get_port(port.id)


def test_an_interface_can_be_a_port_that_is_there(demo: Connection, raw: Raw) -> None:
    subnet, router = subnet_of(demo, "10.0.0.0/24"), demo.network.create_router(name="gate")
    port = demo.network.create_port(network_id=subnet.network_id)
    made = demo.network.add_interface_to_router(router, port=port.id)
    assert made["subnet_ids"] == [subnet.id]
    again = raw.fault("PUT", f"routers/{router.id}/add_router_interface", {"port_id": port.id})
    assert again[:2] == (409, "PortInUse")
    demo.network.remove_interface_from_router(router, port=port.id)


def test_a_router_in_use_stays(demo: Connection, raw: Raw) -> None:
    subnet, router = subnet_of(demo, "10.0.0.0/24"), demo.network.create_router(name="gate")
    demo.network.add_interface_to_router(router, subnet=subnet.id)
    assert raw.fault("DELETE", f"routers/{router.id}")[:2] == (409, "RouterInUse")


def test_subnets_on_a_router_do_not_overlap(demo: Connection, raw: Raw) -> None:
    router = demo.network.create_router(name="gate")
    first, second = subnet_of(demo, "10.0.0.0/24"), subnet_of(demo, "10.0.0.0/25")
    demo.network.add_interface_to_router(router, subnet=first.id)
    path = f"routers/{router.id}/add_router_interface"
    for subnet, part in ((second, "overlaps"), (first, "already has a port")):
        found = raw.fault("PUT", path, {"subnet_id": subnet.id})
        assert found[:2] == (400, "BadRequest")
        assert part in found[2]


def test_interfaces_that_are_not_there_or_not_named(demo: Connection, raw: Raw) -> None:
    subnet, router = subnet_of(demo, "10.0.0.0/24"), demo.network.create_router(name="gate")
    remove = f"routers/{router.id}/remove_router_interface"
    found = raw.fault("PUT", remove, {"subnet_id": subnet.id})
    assert found[:2] == (404, "RouterInterfaceNotFoundForSubnet")
    found = raw.fault("PUT", remove, {"port_id": router.id})
    assert found[:2] == (404, "RouterInterfaceNotFound")
    for body in ({}, {"subnet_id": subnet.id, "port_id": subnet.id}, {"subnet": subnet.id}):
        add = raw.fault("PUT", f"routers/{router.id}/add_router_interface", body)
        assert add[0] == 400


def test_routes_go_through_neighbours(demo: Connection, raw: Raw) -> None:
    subnet, router = subnet_of(demo, "10.0.0.0/24"), demo.network.create_router(name="gate")
    demo.network.add_interface_to_router(router, subnet=subnet.id)
    route = {"destination": "10.30.0.0/16", "nexthop": "10.0.0.9"}
    assert demo.network.update_router(router.id, routes=[route]).routes == [route]
    for nexthop in ("10.5.0.1", "10.0.0.1"):
        body = {"router": {"routes": [{**route, "nexthop": nexthop}]}}
        assert raw.fault("PUT", f"routers/{router.id}", body)[:2] == (400, "InvalidRoutes")
    found = raw.fault(
        "PUT", f"routers/{router.id}/remove_router_interface", {"subnet_id": subnet.id}
    )
    assert found[:2] == (409, "RouterInterfaceInUseByRoute")
    more = {"destination": "10.31.0.0/16", "nexthop": "10.0.0.9"}
    body = {"router": {"routes": [more]}}
    added = raw("PUT", f"routers/{router.id}/add_extraroutes", body).json()["router"]
    assert added["routes"] == [route, more]
    left = raw("PUT", f"routers/{router.id}/remove_extraroutes", body).json()["router"]
    assert left["routes"] == [route]
    assert (
        raw("PUT", f"routers/{router.id}", {"router": {"routes": None}}).json()["router"]["routes"]
        == []
    )


def test_a_gateway_is_on_an_external_network(demo: Connection, raw: Raw) -> None:
    inner = demo.network.create_network(name="inner")
    router = demo.network.create_router(name="gate")
    path = f"routers/{router.id}"
    body = {"router": {"external_gateway_info": {"network_id": inner.id}}}
    assert raw.fault("PUT", path, body)[:2] == (400, "BadRequest")
    body["router"]["external_gateway_info"]["network_id"] = router.id
    assert raw.fault("PUT", path, body)[:2] == (404, "NetworkNotFound")
    body["router"]["external_gateway_info"]["network_id"] = "outside"
    assert raw.fault("PUT", path, body)[0] == 400


def test_only_an_administrator_turns_translation_off(
    demo: Connection, admin: Connection, public: Any
) -> None:
    router = demo.network.create_router(name="gate")
    info = {"network_id": public.id, "enable_snat": False}
    with pytest.raises(exceptions.ForbiddenException):
        demo.network.update_router(router.id, external_gateway_info=info)
    changed = admin.network.update_router(router.id, external_gateway_info=info)
    assert not changed.external_gateway_info["enable_snat"]
    demo.network.delete_router(router)


def test_two_ipv6_subnets_of_a_network_share_an_interface(demo: Connection) -> None:
    network, router = demo.network.create_network(name="six"), demo.network.create_router(name="r")
    subnets = [
        demo.network.create_subnet(network_id=network.id, ip_version=6, cidr=cidr)
        for cidr in ("fd00:1::/64", "fd00:2::/64")
    ]
    made = [demo.network.add_interface_to_router(router, subnet=subnet.id) for subnet in subnets]
    assert made[0]["port_id"] == made[1]["port_id"]
    demo.network.remove_interface_from_router(router, subnet=subnets[0].id)
    port = demo.network.get_port(made[0]["port_id"])
    assert [fixed_ip["subnet_id"] for fixed_ip in port.fixed_ips] == [subnets[1].id]


@pytest.mark.parametrize("first", ["joined", "slaac"])
def test_a_slaac_subnet_is_joined_beside_the_ipv4_subnet(demo: Connection, first: str) -> None:
    network = demo.network.create_network(name="private")
    four = demo.network.create_subnet(network_id=network.id, ip_version=4, cidr="10.0.0.0/24")

    def make_six() -> Any:
        return demo.network.create_subnet(
            network_id=network.id,
            ip_version=6,
            cidr="fd00:1::/64",
            ipv6_ra_mode="slaac",
            ipv6_address_mode="slaac",
        )

    router = demo.network.create_router(name="r")
    six = make_six() if first == "slaac" else None
    demo.network.add_interface_to_router(router, subnet_id=four.id)
    six = six or make_six()
    demo.network.add_interface_to_router(router, subnet_id=six.id)
    ports = demo.network.ports(device_id=router.id)
    assert {tuple(ip["subnet_id"] for ip in port.fixed_ips) for port in ports} == {
        (four.id,),
        (six.id,),
    }


def test_a_gateway_named_again_stays_as_it_is(admin: Connection, public: Any) -> None:
    router = admin.network.create_router(external_gateway_info={"network_id": public.id})
    now = router.external_gateway_info["external_fixed_ips"]
    address = {"ip_address": now[0]["ip_address"]}
    subnet = {"subnet_id": now[0]["subnet_id"]}
    for wanted in (now, [address], [subnet], [address, subnet]):
        info = {"network_id": public.id, "external_fixed_ips": wanted}
        changed = admin.network.update_router(router.id, external_gateway_info=info)
        assert changed.external_gateway_info["external_fixed_ips"] == now


def test_a_routers_revision_grows_with_its_interfaces(demo: Connection) -> None:
    network = demo.network.create_network(name="counted")
    subnet = demo.network.create_subnet(network_id=network.id, ip_version=4, cidr="10.0.0.0/24")
    router = demo.network.create_router(name="counted")
    demo.network.add_interface_to_router(router, subnet=subnet.id)
    second = demo.network.get_router(router.id).revision_number
    demo.network.remove_interface_from_router(router, subnet=subnet.id)
    third = demo.network.get_router(router.id).revision_number
    assert router.revision_number < second < third
