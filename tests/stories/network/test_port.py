"""Ports, as openstacksdk and raw requests see them."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from openstack import exceptions
from openstack.connection import Connection

from tests.stories.network.conftest import Raw


@pytest.fixture
def network(demo: Connection) -> Any:
    network = demo.network.create_network(name="private")
    demo.network.create_subnet(network_id=network.id, ip_version=4, cidr="10.0.0.0/29")
    return demo.network.get_network(network.id)


def test_a_port_has_its_address_mac_and_default_group(demo: Connection, network: Any) -> None:
    port = demo.network.create_port(network_id=network.id, name="web1")
    assert [fixed_ip["ip_address"] for fixed_ip in port.fixed_ips] == ["10.0.0.2"]
    assert port.mac_address.startswith("fa:16:3e:")
    assert port.status == "DOWN"
    group = demo.network.find_security_group("default")
    assert port.security_group_ids == [group.id]
    assert demo.network.get_port(port.id) == port


def test_an_address_that_was_given_back_is_not_reused_at_once(
    demo: Connection, network: Any
) -> None:
    def addresses(count: int) -> list[str]:
        ports = [demo.network.create_port(network_id=network.id) for _ in range(count)]
        found = [port.fixed_ips[0]["ip_address"] for port in ports]
        for port in ports:
            demo.network.delete_port(port)
        return found

    assert addresses(2) == ["10.0.0.2", "10.0.0.3"]
    assert addresses(4) == ["10.0.0.4", "10.0.0.5", "10.0.0.6", "10.0.0.2"]


def test_a_full_subnet_says_so(demo: Connection, network: Any, raw: Raw) -> None:
    for _ in range(5):
        demo.network.create_port(network_id=network.id)
    found = raw.fault("POST", "ports", {"port": {"network_id": network.id}})
    assert found[:2] == (409, "IpAddressGenerationFailure")
    assert len(list(demo.network.ports(network_id=network.id))) == 5


def test_an_address_is_given_once_however_many_ask(demo: Connection, raw: Raw) -> None:
    network = demo.network.create_network(name="busy")
    demo.network.create_subnet(network_id=network.id, ip_version=4, cidr="10.0.0.0/26")
    body = {"port": {"network_id": network.id}}
    with ThreadPoolExecutor(10) as pool:
        answers = list(pool.map(lambda _: raw("POST", "ports", body), range(70)))
    statuses = [answer.status_code for answer in answers]
    assert (statuses.count(201), statuses.count(409)) == (61, 9)
    addresses = [
        answer.json()["port"]["fixed_ips"][0]["ip_address"]
        for answer in answers
        if answer.status_code == 201
    ]
    assert len(set(addresses)) == 61


def test_addresses_of_many_ports_that_are_made_at_once_differ(demo: Connection, raw: Raw) -> None:
    network = demo.network.create_network(name="busy")
    subnet = demo.network.create_subnet(network_id=network.id, ip_version=4, cidr="10.0.0.0/24")
    some = [{"subnet_id": subnet.id}, {"ip_address": "10.0.0.9"}, {"subnet_id": subnet.id}]
    first = raw("POST", "ports", {"port": {"network_id": network.id, "fixed_ips": some}})
    assert first.status_code == 201
    port = {"network_id": network.id, "fixed_ips": [{"subnet_id": subnet.id}] * 3}
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: raw("POST", "ports", {"ports": [port] * 5}), range(4)))
    ports = [first.json()["port"], *(each for one in answers for each in one.json()["ports"])]
    addresses = [each["ip_address"] for port in ports for each in port["fixed_ips"]]
    assert len(addresses) == 63
    assert len(set(addresses)) == 63


def test_a_port_moves_to_other_addresses(demo: Connection, network: Any) -> None:
    port = demo.network.create_port(network_id=network.id)
    wish = [{"ip_address": "10.0.0.5"}, {"subnet_id": network.subnet_ids[0]}]
    moved = demo.network.update_port(port.id, fixed_ips=wish)
    assert [fixed_ip["ip_address"] for fixed_ip in moved.fixed_ips] == ["10.0.0.5", "10.0.0.2"]
    assert not demo.network.update_port(port.id, fixed_ips=[]).fixed_ips


def test_ports_are_found_by_address_subnet_group_and_part_of_an_address(
    demo: Connection, network: Any, raw: Raw
) -> None:
    first, second = (demo.network.create_port(network_id=network.id) for _ in range(2))
    group = first.security_group_ids[0]

    def found(filters: str) -> set[str]:
        return {port["id"] for port in raw("GET", f"ports?{filters}").json()["ports"]}

    assert found("fixed_ips=ip_address=10.0.0.3") == {second.id}
    assert found(f"fixed_ips=subnet_id={network.subnet_ids[0]}") == {first.id, second.id}
    assert found("fixed_ips=ip_address_substr=10.0.0") == {first.id, second.id}
    assert found(f"security_groups={group}&mac_address={first.mac_address}") == {first.id}
    assert found("device_owner=&device_id=") == {first.id, second.id}


def test_a_port_without_port_security_has_no_groups_and_no_pairs(
    demo: Connection, network: Any, raw: Raw
) -> None:
    port = demo.network.create_port(network_id=network.id, is_port_security_enabled=False)
    assert port.security_group_ids == []
    pair = {"port": {"allowed_address_pairs": [{"ip_address": "10.0.0.99"}]}}
    found = raw.fault("PUT", f"ports/{port.id}", pair)
    assert found[:2] == (409, "AddressPairAndPortSecurityRequired")
    group = demo.network.find_security_group("default")
    found = raw.fault("PUT", f"ports/{port.id}", {"port": {"security_groups": [group.id]}})
    assert found[:2] == (400, "PortSecurityAndIPRequiredForSecurityGroups")


def test_address_pairs_take_addresses_and_networks(demo: Connection, network: Any) -> None:
    pairs = [
        {"ip_address": "10.0.0.9", "mac_address": "fa:16:3e:00:00:01"},
        {"ip_address": "10.9.0.0/24"},
    ]
    port = demo.network.create_port(network_id=network.id, allowed_address_pairs=pairs)
    assert port.allowed_address_pairs == [
        pairs[0],
        {"ip_address": "10.9.0.0/24", "mac_address": port.mac_address},
    ]


def test_a_mac_is_its_networks_only_one(demo: Connection, network: Any, raw: Raw) -> None:
    port = demo.network.create_port(network_id=network.id)
    wish = {"port": {"network_id": network.id, "mac_address": port.mac_address.upper()}}
    assert raw.fault("POST", "ports", wish)[:2] == (409, "MacAddressInUse")
    elsewhere = demo.network.create_network(name="elsewhere")
    demo.network.create_port(network_id=elsewhere.id, mac_address=port.mac_address)


BAD: dict[str, tuple[dict[str, Any], int, str, str]] = {
    "no network": ({"network_id": None}, 400, "HTTPBadRequest", "network_id"),
    "unknown network": (
        {"network_id": "3fa85f64-5717-4562-b3fc-2c963f66afa6"},
        404,
        "NetworkNotFound",
        "3fa85f64",
    ),
    "mac is a word": ({"mac_address": "brass"}, 400, "HTTPBadRequest", "mac_address"),
    "address elsewhere": (
        {"fixed_ips": [{"ip_address": "10.5.0.1"}]},
        400,
        "InvalidIpForNetwork",
        "10.5.0.1",
    ),
    "broadcast address": (
        {"fixed_ips": [{"ip_address": "10.0.0.7"}]},
        400,
        "InvalidIpForSubnet",
        "10.0.0.7",
    ),
    "unknown subnet": (
        {"fixed_ips": [{"subnet_id": "3fa85f64-5717-4562-b3fc-2c963f66afa6"}]},
        400,
        "InvalidInput",
        "3fa85f64",
    ),
    "the same address twice": (
        {"fixed_ips": [{"ip_address": "10.0.0.3"}, {"ip_address": "10.0.0.3"}]},
        409,
        "IpAddressInUse",
        "10.0.0.3",
    ),
    "empty wish": ({"fixed_ips": [{}]}, 400, "HTTPBadRequest", "fixed_ips"),
    "unknown group": (
        {"security_groups": ["3fa85f64-5717-4562-b3fc-2c963f66afa6"]},
        404,
        "SecurityGroupNotFound",
        "3fa85f64",
    ),
    "group is a word": ({"security_groups": ["web"]}, 400, "HTTPBadRequest", "security_groups"),
    "long name": ({"name": "x" * 256}, 400, "HTTPBadRequest", "name"),
    "a host": ({"binding:host_id": "host1"}, 403, "PolicyNotAuthorized", "binding:host_id"),
    "unknown attribute": ({"colour": "red"}, 400, "HTTPBadRequest", "'colour'"),
    "pair is a word": (
        {"allowed_address_pairs": [{"ip_address": "here"}]},
        400,
        "HTTPBadRequest",
        "allowed_address_pairs",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_what_does_not_fit_is_refused_and_changes_nothing(
    demo: Connection, network: Any, raw: Raw, name: str
) -> None:
    wish, status, word, part = BAD[name]
    found = raw.fault("POST", "ports", {"port": {"network_id": network.id, **wish}})
    assert found[:2] == (status, word)
    assert part in found[2]
    assert list(demo.network.ports(network_id=network.id)) == []


def test_the_ports_of_routers_are_deleted_with_them_only(
    demo: Connection, network: Any, raw: Raw
) -> None:
    router = demo.network.create_router(name="gate")
    made = demo.network.add_interface_to_router(router, subnet=network.subnet_ids[0])
    assert raw.fault("DELETE", f"ports/{made['port_id']}")[:2] == (409, "ServicePortInUse")


def test_nobody_gets_onto_a_router_by_naming_it(
    demo: Connection, other: Connection, network: Any
) -> None:
    router = other.network.create_router(name="theirs")
    wish = {"device_owner": "network:router_interface", "device_id": router.id}
    with pytest.raises(exceptions.ForbiddenException):
        demo.network.create_port(network_id=network.id, **wish)
    port = demo.network.create_port(network_id=network.id)
    with pytest.raises(exceptions.ForbiddenException):
        demo.network.update_port(port.id, **wish)


def test_the_ports_of_routers_keep_their_router(demo: Connection, network: Any, raw: Raw) -> None:
    router = demo.network.create_router(name="gate")
    made = demo.network.add_interface_to_router(router, subnet=network.subnet_ids[0])
    for wish in ({"device_id": "server1"}, {"device_owner": ""}):
        found = raw.fault("PUT", f"ports/{made['port_id']}", {"port": wish})
        assert found[:2] == (409, "PortInUse")


def test_another_tenants_port_does_not_exist(
    demo: Connection, other: Connection, network: Any
) -> None:
    port = demo.network.create_port(network_id=network.id)
    with pytest.raises(exceptions.NotFoundException):
        other.network.get_port(port.id)
    assert list(other.network.ports()) == []


def test_a_new_mac_keeps_the_addresses_and_the_floating_ip(
    demo: Connection, public: Any, raw: Raw
) -> None:
    network = demo.network.create_network(name="private")
    four = demo.network.create_subnet(network_id=network.id, ip_version=4, cidr="10.0.0.0/24")
    slaac = {"ipv6_ra_mode": "slaac", "ipv6_address_mode": "slaac"}
    six = demo.network.create_subnet(
        network_id=network.id, ip_version=6, cidr="fd00:1::/64", **slaac
    )
    router = demo.network.create_router(external_gateway_info={"network_id": public.id})
    demo.network.add_interface_to_router(router, subnet_id=four.id)
    wanted = [{"subnet_id": four.id, "ip_address": "10.0.0.77"}, {"subnet_id": four.id}]
    port = demo.network.create_port(network_id=network.id, fixed_ips=wanted)
    floating = demo.network.create_ip(
        floating_network_id=public.id, port_id=port.id, fixed_ip_address="10.0.0.77"
    )
    changed = demo.network.update_port(port.id, mac_address="fa:16:3e:01:02:03")
    automatic = {"subnet_id": six.id, "ip_address": "fd00:1::f816:3eff:fe01:203"}
    assert changed.fixed_ips == [*port.fixed_ips[:2], automatic]
    assert demo.network.get_ip(floating.id).port_id == port.id


def test_an_administrator_gives_a_port_a_binding_profile(
    admin: Connection, demo: Connection, raw: Raw, raw_admin: Raw
) -> None:
    network = demo.network.create_network(name="profiled")
    port = demo.network.create_port(network_id=network.id, binding_profile={})
    path, profile = f"ports/{port.id}", {"capabilities": ["switchdev"], "parent": {"tag": 7}}

    def put(who: Raw, value: Any) -> Any:
        return who("PUT", path, {"port": {"binding:profile": value}})

    assert put(raw, profile).status_code == 403
    assert put(raw_admin, profile).json()["port"]["binding:profile"] == profile
    assert put(raw_admin, {"big": "x" * 4_096}).status_code == 400
    assert put(raw, {}).status_code == 403
    assert "binding:profile" not in raw("GET", path).json()["port"]
    demo.network.update_port(port, name="renamed")
    assert admin.network.get_port(port.id).binding_profile == profile
    assert put(raw_admin, None).json()["port"]["binding:profile"] == {}
    new = {"port": {"network_id": network.id, "binding:profile": profile}}
    assert raw("POST", "ports", new).status_code == 403
    made = raw_admin("POST", "ports", new).json()["port"]
    assert made["binding:profile"] == profile
    admin.network.delete_port(made["id"])


def test_several_are_made_each_under_its_own_key(demo: Connection, network: Any, raw: Raw) -> None:
    ports = [{"port": {"network_id": network.id, "tags": [tag]}} for tag in ("a", "b")]
    made = raw("POST", "ports", {"ports": ports}).json()["ports"]
    assert [port["tags"] for port in made] == [["a"], ["b"]]
    wish = {"port": {"network_id": network.id, "project_id": "somebody-else"}}
    assert raw.fault("POST", "ports", wish)[0] == 400


def test_dhcp_answers_a_port_more_where_its_options_say_so(
    demo: Connection, network: Any, raw: Raw
) -> None:
    boot = {"opt_name": "bootfile-name", "opt_value": "pxelinux.0"}
    six = {"opt_name": "dns-server", "opt_value": "fd00::53", "ip_version": 6}
    port = demo.network.create_port(network_id=network.id, extra_dhcp_opts=[boot, six])
    assert port.extra_dhcp_opts == [{**boot, "ip_version": 4}, six]
    path = f"ports/{port.id}"

    def change(*options: Any) -> Any:
        body = {"port": {"extra_dhcp_opts": options}}
        return raw("PUT", path, body).json()["port"]["extra_dhcp_opts"]

    server = {"opt_name": "tftp-server", "opt_value": "10.0.0.9", "ip_version": 4}
    assert change({**boot, "opt_value": None}, server) == [six, server]
    assert change() == [six, server]  # Those that a change does not name stay.
    assert demo.network.update_port(port, name="boots").extra_dhcp_opts == [six, server]
    for wrong in ([server, server], [{"opt_name": "mtu"}], [{**boot, "ip_version": 5}]):
        assert raw.fault("PUT", path, {"port": {"extra_dhcp_opts": wrong}})[0] == 400
