"""Subnets, as openstacksdk and raw requests see them."""

from __future__ import annotations

from typing import Any

import pytest
from openstack import exceptions
from openstack.connection import Connection

from tests.stories.network.conftest import Raw


@pytest.fixture
def network(demo: Connection) -> Any:
    return demo.network.create_network(name="private")


def test_a_subnet_has_a_gateway_and_gives_the_rest(demo: Connection, network: Any) -> None:
    subnet = demo.network.create_subnet(network_id=network.id, ip_version=4, cidr="10.0.0.0/24")
    assert subnet.gateway_ip == "10.0.0.1"
    assert subnet.allocation_pools == [{"start": "10.0.0.2", "end": "10.0.0.254"}]
    assert subnet.is_dhcp_enabled


def test_a_gateway_in_the_middle_splits_the_pool(demo: Connection, network: Any) -> None:
    subnet = demo.network.create_subnet(
        network_id=network.id, ip_version=4, cidr="10.0.0.0/29", gateway_ip="10.0.0.3"
    )
    assert subnet.allocation_pools == [
        {"start": "10.0.0.1", "end": "10.0.0.2"},
        {"start": "10.0.0.4", "end": "10.0.0.6"},
    ]


def test_a_subnet_can_be_without_a_gateway(network: Any, raw: Raw) -> None:
    body = {"network_id": network.id, "ip_version": 4, "cidr": "10.0.0.0/29", "gateway_ip": None}
    subnet = raw("POST", "subnets", {"subnet": body}).json()["subnet"]
    assert subnet["gateway_ip"] is None
    assert subnet["allocation_pools"] == [{"start": "10.0.0.1", "end": "10.0.0.6"}]


def test_names_routes_and_gateway_can_change(demo: Connection, network: Any) -> None:
    subnet = demo.network.create_subnet(
        network_id=network.id,
        ip_version=4,
        cidr="10.0.0.0/24",
        allocation_pools=[{"start": "10.0.0.100", "end": "10.0.0.200"}],
    )
    changed = demo.network.update_subnet(
        subnet.id,
        gateway_ip="10.0.0.2",
        dns_nameservers=["9.9.9.9", "149.112.112.112"],
        host_routes=[{"destination": "10.20.0.0/16", "nexthop": "10.0.0.9"}],
        is_dhcp_enabled=False,
    )
    assert changed.gateway_ip == "10.0.0.2"
    assert changed.dns_nameservers == ["9.9.9.9", "149.112.112.112"]
    assert changed.host_routes == [{"destination": "10.20.0.0/16", "nexthop": "10.0.0.9"}]
    assert not changed.is_dhcp_enabled


def test_a_subnet_with_an_address_in_use_stays(demo: Connection, network: Any, raw: Raw) -> None:
    subnet = demo.network.create_subnet(network_id=network.id, ip_version=4, cidr="10.0.0.0/24")
    port = demo.network.create_port(network_id=network.id)
    status, word, _ = raw.fault("DELETE", f"subnets/{subnet.id}")
    assert (status, word) == (409, "SubnetInUse")
    demo.network.delete_port(port)
    demo.network.delete_subnet(subnet, ignore_missing=False)


BAD: dict[str, tuple[dict[str, Any], int, str, str]] = {
    "not a network": ({"cidr": "10.0.0.0/33"}, 400, "HTTPBadRequest", "cidr"),
    "no prefix": ({"cidr": "10.0.0.0"}, 400, "HTTPBadRequest", "10.0.0.0/32"),
    "other version": ({"cidr": "fd00::/64"}, 400, "InvalidInput", "ip_version"),
    "version 5": ({"ip_version": 5}, 400, "HTTPBadRequest", "ip_version"),
    "no cidr": ({"cidr": None}, 400, "BadRequest", "cidr"),
    "whole internet": ({"cidr": "0.0.0.0/0"}, 400, "InvalidInput", "0 is not allowed"),
    "one address with dhcp": ({"cidr": "10.0.0.1/32"}, 400, "InvalidInput", "DHCP"),
    "gateway is the network": ({"gateway_ip": "10.0.0.0"}, 400, "InvalidInput", "Gateway"),
    "gateway is text": ({"gateway_ip": "router"}, 400, "HTTPBadRequest", "gateway_ip"),
    "pool outside": (
        {"allocation_pools": [{"start": "10.0.0.250", "end": "10.0.1.2"}]},
        400,
        "OutOfBoundsAllocationPool",
        "10.0.0.250-10.0.1.2",
    ),
    "pool backwards": (
        {"allocation_pools": [{"start": "10.0.0.9", "end": "10.0.0.3"}]},
        400,
        "InvalidAllocationPool",
        "10.0.0.9",
    ),
    "pools overlap": (
        {
            "allocation_pools": [
                {"start": "10.0.0.10", "end": "10.0.0.20"},
                {"start": "10.0.0.20", "end": "10.0.0.30"},
            ]
        },
        409,
        "OverlappingAllocationPools",
        "10.0.0.20",
    ),
    "gateway in the pool": (
        {"allocation_pools": [{"start": "10.0.0.1", "end": "10.0.0.9"}]},
        409,
        "GatewayConflictWithAllocationPools",
        "10.0.0.1",
    ),
    "too many name servers": (
        {"dns_nameservers": [f"9.9.9.{last}" for last in range(6)]},
        400,
        "DNSNameServersExhausted",
        "5",
    ),
    "route of another version": (
        {"host_routes": [{"destination": "fd00::/64", "nexthop": "10.0.0.9"}]},
        400,
        "InvalidInput",
        "host_routes",
    ),
    "mode on IPv4": ({"ipv6_ra_mode": "slaac"}, 400, "InvalidInput", "ipv6_ra_mode"),
    "unknown attribute": ({"vlan": 3}, 400, "HTTPBadRequest", "'vlan'"),
    "dhcp is a word": ({"enable_dhcp": "maybe"}, 400, "HTTPBadRequest", "enable_dhcp"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_does_not_fit_is_refused_and_changes_nothing(
    demo: Connection, network: Any, raw: Raw, name: str
) -> None:
    wish, status, word, part = BAD[name]
    body = {"network_id": network.id, "ip_version": 4, "cidr": "10.0.0.0/24", **wish}
    found = raw.fault("POST", "subnets", {"subnet": body})
    assert found[:2] == (status, word)
    assert part in found[2]
    assert demo.network.get_network(network.id).subnet_ids == []


def test_subnets_of_a_network_do_not_overlap(demo: Connection, network: Any) -> None:
    demo.network.create_subnet(network_id=network.id, ip_version=4, cidr="10.0.0.0/24")
    with pytest.raises(exceptions.BadRequestException, match="overlaps with another subnet"):
        demo.network.create_subnet(network_id=network.id, ip_version=4, cidr="10.0.0.128/25")
    demo.network.create_subnet(network_id=network.id, ip_version=4, cidr="10.0.1.0/24")


def test_what_cannot_change_says_so(demo: Connection, network: Any, raw: Raw) -> None:
    subnet = demo.network.create_subnet(network_id=network.id, ip_version=4, cidr="10.0.0.0/24")
    found = raw.fault("PUT", f"subnets/{subnet.id}", {"subnet": {"cidr": "10.1.0.0/24"}})
    assert found == (400, "HTTPBadRequest", "Cannot update read-only attribute cidr")


def test_the_gateway_that_a_router_has_stays(demo: Connection, network: Any, raw: Raw) -> None:
    subnet = demo.network.create_subnet(network_id=network.id, ip_version=4, cidr="10.0.0.0/24")
    router = demo.network.create_router(name="gate")
    demo.network.add_interface_to_router(router, subnet=subnet.id)
    wish = {"subnet": {"gateway_ip": None}}
    assert raw.fault("PUT", f"subnets/{subnet.id}", wish)[:2] == (409, "GatewayIpInUse")


def test_servers_make_themselves_an_address_on_a_slaac_subnet(
    demo: Connection, network: Any
) -> None:
    mac = "fa:16:3e:01:02:03"
    port = demo.network.create_port(network_id=network.id, mac_address=mac)
    subnet = demo.network.create_subnet(
        network_id=network.id,
        ip_version=6,
        cidr="fd00:1::/64",
        ipv6_ra_mode="slaac",
        ipv6_address_mode="slaac",
    )
    wanted = [{"subnet_id": subnet.id, "ip_address": "fd00:1::f816:3eff:fe01:203"}]
    assert demo.network.get_port(port.id).fixed_ips == wanted
    demo.network.delete_subnet(subnet, ignore_missing=False)
    assert demo.network.get_port(port.id).fixed_ips == []


def test_the_two_modes_agree(network: Any, raw: Raw) -> None:
    body = {
        "network_id": network.id,
        "ip_version": 6,
        "cidr": "fd00:1::/64",
        "ipv6_ra_mode": "slaac",
        "ipv6_address_mode": "dhcpv6-stateful",
    }
    assert raw.fault("POST", "subnets", {"subnet": body})[:2] == (400, "InvalidInput")


def test_bits_beyond_the_prefix_are_dropped(demo: Connection, network: Any) -> None:
    subnet = demo.network.create_subnet(network_id=network.id, ip_version=4, cidr="10.5.0.1/24")
    assert (subnet.cidr, subnet.gateway_ip) == ("10.5.0.0/24", "10.5.0.1")


def typed(demo: Connection, network: Any, third: int, *types: str) -> Any:
    body = {
        "network_id": network.id,
        "ip_version": 4,
        "cidr": f"10.7.{third}.0/24",
        "service_types": types,
    }
    return demo.network.create_subnet(**body)


def subnets_of(port: Any) -> list[str]:
    return [each["subnet_id"] for each in port.fixed_ips]


def test_a_subnet_with_service_types_is_for_ports_of_those_owners(
    demo: Connection, raw: Raw
) -> None:
    network = demo.network.create_network(name="typed")
    servers = typed(demo, network, 1, "compute:nova", "compute:nova", "network:dhcp")
    assert servers.service_types == ["compute:nova", "network:dhcp"]
    found = raw.fault("POST", "ports", {"port": {"network_id": network.id}})
    assert found[:2] == (409, "IpAddressGenerationFailureNoMatchingSubnet")
    empty = demo.network.create_port(network_id=network.id, fixed_ips=[])
    assert empty.fixed_ips == []
    own = {"network_id": network.id, "device_owner": "compute:nova"}
    assert subnets_of(demo.network.create_port(**own)) == [servers.id]
    others = typed(demo, network, 2)
    assert others.service_types == []
    assert subnets_of(demo.network.create_port(network_id=network.id)) == [others.id]
    assert subnets_of(demo.network.create_port(**own)) == [servers.id]  # Before one for all.
    wish = {"network_id": network.id, "fixed_ips": [{"subnet_id": servers.id}]}
    assert raw.fault("POST", "ports", {"port": wish})[0] == 400
    demo.network.update_subnet(servers, service_types=[])
    assert demo.network.get_subnet(servers.id).service_types == []
    assert raw("POST", "ports", {"port": wish}).status_code == 201


def test_a_port_keeps_its_address_when_its_subnet_is_for_others(demo: Connection) -> None:
    network = demo.network.create_network(name="typed")
    subnet = typed(demo, network, 1)
    port = demo.network.create_port(network_id=network.id)
    demo.network.update_subnet(subnet, service_types=["compute:nova"])
    (before,) = port.fixed_ips
    changed = demo.network.update_port(port, fixed_ips=[before, {"subnet_id": subnet.id}])
    assert before in changed.fixed_ips


@pytest.mark.parametrize("types", [["servers"], [""], ["compute:nova", "x"], "compute:nova", [7]])
def test_service_types_are_owners_of_ports(demo: Connection, raw: Raw, types: Any) -> None:
    network = demo.network.create_network(name="typed")
    body = {"network_id": network.id, "cidr": "10.7.1.0/24", "service_types": types}
    assert raw.fault("POST", "subnets", {"subnet": body})[0] == 400
    assert list(demo.network.subnets(network_id=network.id)) == []


def test_subnets_are_found_by_what_their_network_is(demo: Connection, network: Any) -> None:
    subnet = demo.network.create_subnet(network_id=network.id, ip_version=4, cidr="10.8.0.0/24")
    for query, there in (("shared=False", True), ("shared=True", False)):
        listed = demo.network.get(f"/subnets?network_id={network.id}&{query}").json()["subnets"]
        assert (subnet.id in {each["id"] for each in listed}) == there
