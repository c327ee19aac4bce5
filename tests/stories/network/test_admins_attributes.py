"""What of a body is an administrator's to say, or that of the network's owner: a member is refused it, alone among fields
that are his.
"""

from __future__ import annotations

from typing import Any

import pytest
from openstack.connection import Connection

from kumoi.policy.network import NETWORK
from kumoi.policy.row import Reach
from tests.stories.network.conftest import Raw

GATEWAY = "external_gateway_info"
SENT: dict[str, dict[str, Any]] = {
    "network:shared": {"shared": True},
    "network:router:external": {"router:external": True},
    "network:is_default": {"is_default": True},
    "network:provider:network_type": {"provider:network_type": "flat"},
    "network:provider:physical_network": {"provider:physical_network": "public"},
    "network:provider:segmentation_id": {"provider:segmentation_id": 7},
    "subnetpool:shared": {"shared": True},
    "subnetpool:is_default": {"is_default": True},
    "address_scope:shared": {"shared": True},
    "port:mac_address": {"mac_address": "02:00:00:00:00:77"},
    "port:fixed_ips:ip_address": {"fixed_ips": [{"ip_address": "10.0.0.77"}]},
    "port:port_security_enabled": {"port_security_enabled": False, "security_groups": []},
    "port:allowed_address_pairs": {"allowed_address_pairs": [{"ip_address": "10.0.0.0/24"}]},
    "port:device_owner": {"device_owner": "network:dhcp"},
    "port:device_owner:service": {"device_owner": "network:router_interface"},
    "port:binding:host_id": {"binding:host_id": "host1"},
    "port:binding:profile": {"binding:profile": {"a": "b"}},
    "router:distributed": {"distributed": True},
    "router:ha": {"ha": True},
    "router:external_gateway_info:enable_snat": {GATEWAY: {"enable_snat": False}},
    "router:external_gateway_info:external_fixed_ips": {
        GATEWAY: {"external_fixed_ips": [{"ip_address": "10.201.0.77"}]}
    },
    "floatingip:floating_ip_address": {"floating_ip_address": "10.201.0.78"},
}
ELSEWHERE = {
    "update_network:provider:network_type",  # Nobody's to change.
    "update_network:provider:physical_network",
    "update_network:provider:segmentation_id",
    "update_port:device_id:bound",  # test_port.py: a port that has a device.
}


RULES = sorted(
    name
    for action in ("create", "update")
    for name in (f"{action}_{field}" for field in SENT)
    if name in NETWORK and name not in ELSEWHERE
)


def test_each_rule_about_a_field_that_is_no_members_is_among_these() -> None:
    found = {
        name
        for name, row in NETWORK.items()
        if name.startswith(("create_", "update_")) and ":" in name and row.member is Reach.NO
    }
    assert found - ELSEWHERE <= set(RULES)


@pytest.fixture
def anothers(neighbour: Connection, admin: Connection) -> Any:
    """A network of another project, that all may have ports on."""
    network = neighbour.network.create_network(name="anothers")
    neighbour.network.create_subnet(network_id=network.id, ip_version=4, cidr="10.0.0.0/24")
    return admin.network.update_network(network, shared=True)


@pytest.mark.parametrize("rule", RULES)
def test_a_member_is_refused_what_is_not_a_members_to_say(
    raw: Raw, public: Any, anothers: Any, rule: str
) -> None:
    action, _, field = rule.partition("_")
    noun = field.partition(":")[0]
    plural = "address-scopes" if noun == "address_scope" else f"{noun}s"
    news: dict[str, dict[str, Any]] = {
        "network": {"name": "x"},
        "subnetpool": {"name": "x", "prefixes": ["10.9.0.0/16"]},
        "address_scope": {"name": "x", "ip_version": 4},
        "port": {"network_id": anothers.id},
        "router": {"name": "x"},
        "floatingip": {"floating_network_id": public.id},
    }
    own = news[noun]
    said = dict(SENT[field])
    if GATEWAY in said:
        said[GATEWAY] = {"network_id": public.id, **said[GATEWAY]}
    path = plural
    if action == "update":
        made = raw("POST", plural, {noun: own})
        assert made.status_code == 201, made.text
        path = f"{plural}/{made.json()[noun]['id']}"
    body = {noun: said if action == "update" else {**own, **said}}
    answer = raw("PUT" if action == "update" else "POST", path, body)
    assert answer.status_code == 403, answer.text
