"""Names and domains of DNS: kept as attributes of networks, ports and floating IPs, and shown."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from openstack import exceptions
from openstack.connection import Connection

LONG = ".".join(["a" * 63] * 4)


@pytest.fixture
def network(demo: Connection) -> Any:
    found = demo.network.create_network(name="inner", dns_domain="Shop.Example.")
    demo.network.create_subnet(network_id=found.id, ip_version=4, cidr="10.0.0.0/24")
    return found


def test_the_extension_is_listed(demo: Connection) -> None:
    assert demo.network.find_extension("dns-integration", ignore_missing=False)


def test_a_network_has_a_domain_that_can_be_changed_and_taken_away(
    demo: Connection, network: Any
) -> None:
    assert network.dns_domain == "shop.example."
    assert demo.network.create_network(name="plain").dns_domain == ""
    changed = demo.network.update_network(network, dns_domain="other.example.")
    assert (changed.dns_domain, changed.name) == ("other.example.", "inner")
    assert demo.network.update_network(network, dns_domain="").dns_domain == ""


def test_a_port_is_called_by_its_name_within_its_networks_domain(
    demo: Connection, network: Any
) -> None:
    port = demo.network.create_port(
        network_id=network.id, dns_name="WEB", fixed_ips=[{"ip_address": "10.0.0.5"}]
    )
    assert port.dns_name == "web"
    assert port.dns_assignment == [
        {"ip_address": "10.0.0.5", "hostname": "web", "fqdn": "web.shop.example."}
    ]
    unnamed = demo.network.update_port(port, dns_name="")
    assert unnamed.dns_assignment[0]["fqdn"] == "host-10-0-0-5.shop.example."
    demo.network.update_network(network, dns_domain="")
    shown = demo.network.update_port(port, dns_name="db")
    assert shown.dns_assignment[0]["fqdn"] == "db.cloud.internal."
    (listed,) = demo.network.ports(network_id=network.id)
    assert (listed.dns_name, listed.dns_assignment) == ("db", shown.dns_assignment)
    whole = demo.network.update_port(port, dns_name="db.cloud.internal.")
    assert whole.dns_assignment[0]["fqdn"] == "db.cloud.internal."


def test_a_floating_ip_keeps_the_name_that_it_was_made_with(
    demo: Connection, public: Any, http: httpx.Client
) -> None:
    made = demo.network.create_ip(
        floating_network_id=public.id, dns_name="WWW", dns_domain="Example.ORG."
    )
    assert (made.dns_name, made.dns_domain) == ("www", "example.org.")
    changed = demo.network.update_ip(made, description="the shop's")
    assert (changed.dns_name, changed.dns_domain) == ("www", "example.org.")
    (listed,) = demo.network.ips()
    assert (listed.dns_name, listed.dns_domain) == ("www", "example.org.")
    for name, value in (("dns_name", "x"), ("dns_domain", "x.org.")):
        answer = http.put(
            f"/network/v2.0/floatingips/{made.id}",
            json={"floatingip": {name: value}},
            headers={"X-Auth-Token": demo.auth_token},
        )
        assert answer.status_code == 400
        assert f"Cannot update read-only attribute {name}" in answer.text
    demo.network.delete_ip(made)


def test_a_floating_ip_shows_its_own_name_and_not_its_ports(
    demo: Connection, public: Any, network: Any
) -> None:
    """As in Neutron, where the port's and the network's are what would be published, and not what is shown."""
    router = demo.network.create_router(external_gateway_info={"network_id": public.id})
    (subnet_id,) = demo.network.get_network(network).subnet_ids
    demo.network.add_interface_to_router(router, subnet_id=subnet_id)
    port = demo.network.create_port(network_id=network.id, dns_name="web")
    made = demo.network.create_ip(floating_network_id=public.id, port_id=port.id)
    assert (made.dns_name, made.dns_domain) == ("", "")


@pytest.mark.parametrize(
    "given",
    [
        {"dns_name": "www"},
        {"dns_domain": "example.org."},
        {"dns_name": "www.", "dns_domain": "example.org."},
        {"dns_name": "www", "dns_domain": "example.org"},
        {"dns_name": "w_w", "dns_domain": "example.org."},
        {"dns_name": LONG[:253], "dns_domain": "example.org."},
    ],
    ids=lambda given: str(given)[:60],
)
def test_half_a_name_or_a_wrong_one_makes_no_floating_ip(
    demo: Connection, public: Any, given: dict[str, str]
) -> None:
    with pytest.raises(exceptions.BadRequestException):
        demo.network.create_ip(floating_network_id=public.id, **given)
    assert list(demo.network.ips()) == []


@pytest.mark.parametrize(
    "name",
    ["-web", "web-", "a..b", "a b", "a_b", "web.42", "ü", "web.example.", LONG, "a" * 64],
    ids=lambda name: name[:12],
)
def test_a_name_that_dns_cannot_have_is_refused(demo: Connection, network: Any, name: str) -> None:
    with pytest.raises(exceptions.BadRequestException, match="dns_name"):
        demo.network.create_port(network_id=network.id, dns_name=name)
    with pytest.raises(exceptions.BadRequestException, match="dns_domain"):
        demo.network.update_network(network, dns_domain=name.removesuffix("."))
