"""An update leaves what it does not name as it is, whatever it is an update of.

Each thing is made with all that it can have; then each of its attributes is changed alone, and all the others
must be what they were. A thing that can be changed and is neither here nor among the exceptions is missed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest
from openstack.connection import Connection

from kumoi.base.clock import Clock
from kumoi.cloud.api.serve import SERVICES
from kumoi.cloud.drivers.network.fake import FakeNorthbound
from kumoi.cloud.reconcilers.network import NetworkReconciler
from tests.running_cloud import RunningCloud
from tests.tarball import tarball

BOOKKEEPING = frozenset({"updated_at", "revision_number", "updated", "updatedAt", "generation"})
HEADERS = {"compute": {"X-OpenStack-Nova-API-Version": "2.96"}}


@dataclass(frozen=True)
class Case:
    """`made` is posted to `where`; text in it that begins with `$` is the id of a thing made before. Where
    nothing is made, the thing is the one at `item`. `moves` are other attributes that go with one.
    """

    where: str
    word: str
    made: dict[str, Any]
    changes: dict[str, Any]
    name: str = ""
    item: str = ""
    verb: str = "PUT"
    moves: Mapping[str, frozenset[str]] = field(default_factory=dict)


def patched(where: str, word: str, made: dict[str, Any], changes: dict[str, Any]) -> Case:
    return Case(where, word, made, changes, verb="PATCH", name=word)


CASES = (
    patched(
        "identity/v3/projects",
        "project",
        {"name": "p", "domain_id": "default", "description": "d", "tags": ["a"], "own": "x"},
        {"name": "q", "description": "e", "enabled": False, "tags": ["b"], "own": "y", "new": 1},
    ),
    patched(
        "identity/v3/users",
        "user",
        {
            "name": "u",
            "domain_id": "default",
            "email": "e",
            "description": "d",
            "password": "pass-1",
        },
        {"name": "v", "email": "f", "description": "e", "enabled": False, "own": "x"},
    ),
    patched(
        "identity/v3/groups",
        "group",
        {"name": "g", "domain_id": "default", "description": "d", "own": "x"},
        {"name": "h", "description": "e", "own": "y"},
    ),
    patched(
        "identity/v3/roles",
        "role",
        {"name": "r", "description": "d"},
        {"name": "s", "description": "e"},
    ),
    patched(
        "identity/v3/domains",
        "domain",
        {"name": "d", "description": "d", "own": "x"},
        {"name": "e", "description": "e", "own": "y", "enabled": False},
    ),
    patched(
        "identity/v3/regions",
        "region",
        {"id": "r", "description": "d"},
        {"description": "e", "parent_region_id": None},
    ),
    patched(
        "identity/v3/services",
        "service",
        {"type": "x", "name": "n", "description": "d", "enabled": True},
        {"type": "y", "name": "m", "description": "e", "enabled": False},
    ),
    patched(
        "identity/v3/endpoints",
        "endpoint",
        {"service_id": "$service", "interface": "public", "url": "http://a", "region": "r"},
        {"interface": "admin", "url": "http://b", "name": "n", "enabled": False},
    ),
    patched(
        "identity/v3/credentials",
        "credential",
        {"type": "cert", "blob": "b", "user_id": "$user", "project_id": "$project"},
        {"blob": "c"},
    ),
    patched(
        "identity/v3/policies", "policy", {"type": "t", "blob": "b"}, {"type": "u", "blob": "c"}
    ),
    patched(
        "identity/v3/OS-EP-FILTER/endpoint_groups",
        "endpoint_group",
        {"name": "n", "description": "d", "filters": {"interface": "public"}},
        {"name": "m", "description": "e", "filters": {"interface": "admin"}},
    ),
    Case(
        "network/v2.0/networks",
        "network",
        {
            "name": "n",
            "description": "d",
            "mtu": 1400,
            "port_security_enabled": False,
            "dns_domain": "a.test.",
        },
        {
            "name": "m",
            "description": "e",
            "mtu": 1410,
            "dns_domain": "b.test.",
            "port_security_enabled": True,
            "admin_state_up": False,
            "shared": True,
        },
        name="network",
    ),
    Case(
        "network/v2.0/subnets",
        "subnet",
        {
            "network_id": "$network",
            "ip_version": 4,
            "cidr": "10.0.0.0/24",
            "name": "n",
            "description": "d",
            "allocation_pools": [{"start": "10.0.0.9", "end": "10.0.0.99"}],
            "dns_nameservers": ["10.0.0.3"],
            "host_routes": [{"destination": "10.1.0.0/24", "nexthop": "10.0.0.4"}],
            "service_types": ["compute:nova", "network:router_interface", "network:routed"],
        },
        {
            "name": "m",
            "description": "e",
            "dns_nameservers": ["10.0.0.5"],
            "host_routes": [],
            "enable_dhcp": False,
            "allocation_pools": [{"start": "10.0.0.9", "end": "10.0.0.199"}],
            "service_types": [],
            "gateway_ip": None,
        },
        name="subnet",
    ),
    Case(
        "network/v2.0/subnetpools",
        "subnetpool",
        {"name": "n", "description": "d", "prefixes": ["10.0.0.0/16"], "min_prefixlen": 20},
        {
            "name": "m",
            "description": "e",
            "default_quota": 9,
            "default_prefixlen": 24,
            "min_prefixlen": 22,
            "max_prefixlen": 30,
            "prefixes": ["10.0.0.0/15"],
            "is_default": True,
        },
    ),
    Case(
        "network/v2.0/security-groups",
        "security_group",
        {"name": "n", "description": "d"},
        {"name": "m", "description": "e", "stateful": False},
        name="group",
        moves={"stateful": frozenset()},
    ),
    Case(
        "network/v2.0/address-groups",
        "address_group",
        {"name": "n", "description": "d", "addresses": ["10.0.0.0/8"]},
        {"name": "m", "description": "e"},
    ),
    Case(
        "network/v2.0/address-scopes",
        "address_scope",
        {"name": "n", "ip_version": 4},
        {"name": "m", "shared": True},
    ),
    Case(
        "network/v2.0/qos/policies",
        "policy",
        {"name": "n", "description": "d"},
        {"name": "m", "description": "e", "shared": True, "is_default": True},
        name="quality",
    ),
    Case(
        "network/v2.0/qos/policies/$quality/bandwidth_limit_rules",
        "bandwidth_limit_rule",
        {"max_kbps": 1, "max_burst_kbps": 2, "direction": "egress"},
        {"max_kbps": 3, "max_burst_kbps": 4, "direction": "ingress"},
    ),
    Case(
        "network/v2.0/qos/policies/$quality/dscp_marking_rules",
        "dscp_marking_rule",
        {"dscp_mark": 8},
        {"dscp_mark": 10},
    ),
    Case(
        "network/v2.0/ports",
        "port",
        {
            "network_id": "$network",
            "name": "n",
            "description": "d",
            "fixed_ips": [{"subnet_id": "$subnet", "ip_address": "10.0.0.50"}],
            "port_security_enabled": True,
            "security_groups": ["$group"],
            "allowed_address_pairs": [
                {"ip_address": "10.0.0.60", "mac_address": "fa:16:3e:00:00:01"}
            ],
            "extra_dhcp_opts": [{"opt_name": "mtu", "opt_value": "1400"}],
            "binding:profile": {"a": 1},
            "qos_policy_id": "$quality",
        },
        {
            "name": "m",
            "description": "e",
            "mac_address": "fa:16:3e:00:00:77",
            "device_id": "x",
            "device_owner": "mine",
            "admin_state_up": False,
            "binding:profile": {"b": 2},
            "binding:host_id": "host1",
            "extra_dhcp_opts": [{"opt_name": "domain-name", "opt_value": "x"}],
            "allowed_address_pairs": [],
            "security_groups": [],
            "dns_name": "b",
            "fixed_ips": [{"subnet_id": "$subnet", "ip_address": "10.0.0.51"}],
            "port_security_enabled": False,
            "qos_policy_id": None,
        },
        name="port",
        moves={
            "binding:host_id": frozenset({"binding:vif_type", "binding:vif_details"}),
            "dns_name": frozenset({"dns_assignment"}),
            "fixed_ips": frozenset({"dns_assignment"}),
        },
    ),
    Case(
        "network/v2.0/routers",
        "router",
        {"name": "n", "description": "d", "external_gateway_info": {"network_id": "$public"}},
        {
            "name": "m",
            "description": "e",
            "admin_state_up": False,
            "routes": [{"destination": "10.9.0.0/24", "nexthop": "10.201.0.9"}],
        },
        name="router",
    ),
    Case(
        "network/v2.0/floatingips",
        "floatingip",
        {
            "floating_network_id": "$public",
            "port_id": "$inner",
            "description": "d",
            "dns_name": "web",
            "dns_domain": "a.test.",
        },
        {"description": "e"},
    ),
    Case(
        "network/v2.0/floatingips/$loose/port_forwardings",
        "port_forwarding",
        {
            "protocol": "tcp",
            "external_port": 1,
            "internal_port": 2,
            "internal_port_id": "$second",
            "description": "d",
        },
        {"protocol": "udp", "external_port": 3, "internal_port": 4, "description": "e"},
    ),
    Case(
        "",
        "quota",
        {},
        {"network": 1, "port": 2, "address_group": 3},
        item="network/v2.0/quotas/$project",
    ),
    Case(
        "",
        "quota_set",
        {},
        {"cores": 1, "ram": 2, "key_pairs": 3},
        item="compute/v2.1/os-quota-sets/$project",
    ),
    Case(
        "compute/v2.1/flavors",
        "flavor",
        {"name": "f", "ram": 64, "vcpus": 1, "disk": 1, "description": "d"},
        {"description": "e"},
        name="flavor",
    ),
    Case(
        "compute/v2.1/os-aggregates",
        "aggregate",
        {"name": "a", "availability_zone": "z"},
        {"name": "b", "availability_zone": "y"},
        moves={"availability_zone": frozenset({"metadata"})},
    ),
    Case(
        "compute/v2.1/servers",
        "server",
        {
            "name": "s",
            "description": "d",
            "imageRef": "$image",
            "flavorRef": "$flavor",
            "networks": "none",
            "accessIPv4": "10.0.0.1",
            "metadata": {"a": "b"},
            "tags": ["t"],
            "hostname": "web",
        },
        {
            "name": "r",
            "description": "e",
            "accessIPv4": "10.0.0.2",
            "accessIPv6": "fd00::1",
            "hostname": "db",
        },
        moves={"hostname": frozenset({"OS-EXT-SRV-ATTR:hostname"})},
    ),
)
BALANCING = (
    Case(
        "load-balancer/v2.0/lbaas/loadbalancers",
        "loadbalancer",
        {"name": "n", "description": "d", "vip_subnet_id": "$subnet", "tags": ["a"]},
        {"name": "m", "description": "e", "tags": ["b"], "admin_state_up": False},
        name="balancer",
    ),
    Case(
        "load-balancer/v2.0/lbaas/listeners",
        "listener",
        {
            "name": "n",
            "description": "d",
            "protocol": "TCP",
            "protocol_port": 80,
            "loadbalancer_id": "$balancer",
            "tags": ["a"],
        },
        {"name": "m", "description": "e", "tags": ["b"], "admin_state_up": False},
    ),
    Case(
        "load-balancer/v2.0/lbaas/pools",
        "pool",
        {
            "name": "n",
            "description": "d",
            "protocol": "TCP",
            "lb_algorithm": "ROUND_ROBIN",
            "loadbalancer_id": "$balancer",
            "session_persistence": {"type": "SOURCE_IP"},
            "tags": ["a"],
        },
        {
            "name": "m",
            "description": "e",
            "tags": ["b"],
            "admin_state_up": False,
            "session_persistence": None,
        },
        name="pool",
    ),
    Case(
        "load-balancer/v2.0/lbaas/pools/$pool/members",
        "member",
        {"name": "n", "address": "10.0.0.70", "protocol_port": 80, "weight": 5, "tags": ["a"]},
        {"name": "m", "weight": 6, "tags": ["b"], "admin_state_up": False, "backup": True},
    ),
    Case(
        "load-balancer/v2.0/lbaas/healthmonitors",
        "healthmonitor",
        {
            "name": "n",
            "type": "TCP",
            "delay": 9,
            "timeout": 5,
            "max_retries": 3,
            "max_retries_down": 4,
            "pool_id": "$pool",
            "tags": ["a"],
        },
        {
            "name": "m",
            "delay": 10,
            "timeout": 6,
            "max_retries": 4,
            "max_retries_down": 5,
            "tags": ["b"],
            "admin_state_up": False,
        },
    ),
)
STATUSES = frozenset({"provisioning_status", "operating_status", "status", "OS-EXT-STS:task_state"})

EXCEPTIONS = {
    # A word that may be added, a membership or a grant: there is nothing else that could change.
    **dict.fromkeys(
        (
            "/v3/projects/{id}/tags/{tag}",
            "/v3/groups/{id}/users/{user_id}",
            "/v3/roles/{id}/implies/{implied_id}",
            "/v3/projects/{id}/users/{actor_id}/roles/{role_id}",
            "/v3/projects/{id}/groups/{actor_id}/roles/{role_id}",
            "/v3/domains/{id}/users/{actor_id}/roles/{role_id}",
            "/v3/domains/{id}/groups/{actor_id}/roles/{role_id}",
            "/v3/system/users/{actor_id}/roles/{role_id}",
            "/v3/system/groups/{actor_id}/roles/{role_id}",
            "/v3/OS-EP-FILTER/projects/{id}/endpoints/{target_id}",
            "/v3/OS-EP-FILTER/endpoint_groups/{id}/projects/{project_id}",
            "/v2/images/{id}/tags/{tag}",
            "/v2/images/{id}/members/{member_id}",
            "/v2.1/servers/{id}/tags/{key}",
            "/v2.1/servers/{id}/metadata/{key}",
            "/v2.1/images/{id}/metadata/{key}",
            "/v2.1/flavors/{id}/os-extra_specs/{key}",
            *(
                f"/v2.0/{words}/{{id}}/tags/{{tag}}"
                for words in (
                    "networks",
                    "subnets",
                    "subnetpools",
                    "ports",
                    "routers",
                    "floatingips",
                    "security-groups",
                    "policies",
                )
            ),
        ),
        "one thing that is there or not",
    ),
    "/v2/images/{id}": "named operations of a JSON patch",
    "/v2/metadefs/namespaces/{namespace}": "replaces, as in Glance",
    "/v2/metadefs/namespaces/{namespace}/objects/{name}": "replaces, as in Glance",
    "/v2/metadefs/namespaces/{namespace}/properties/{name}": "replaces, as in Glance",
    "/v2/metadefs/namespaces/{namespace}/tags/{name}": "a tag has a name alone",
    "/v2/cache/{id}": "not offered",
    "/v3/OS-FEDERATION/identity_providers/{id}": "not offered",
    "/v3/OS-FEDERATION/mappings/{id}": "not offered",
    "/v3/OS-FEDERATION/service_providers/{id}": "not offered",
    "/v3/domains/{id}/config/{group}": "told in the stories of configuration",
    "/v3/domains/{id}/config/{group}/{option}": "one value",
    "/v3/registered_limits/{id}": "told in the stories of limits",
    "/v3/limits/{id}": "told in the stories of limits",
    "/v2.0/agents/{id}": "nothing of an agent changes",
    "/v2.1/os-hosts/{id}": "answers that it is not offered",
    "/v2.1/os-services/{id}": "told in the stories of hosts",
    "/v2.1/os-quota-class-sets/{id}": "as quotas of projects",
    "/v2.1/os-security-groups/{id}": "passed on to the network service",
    "/v2.0/lbaas/quotas/{id}": "as quotas of the network",
    "/v2.0/lbaas/flavors/{id}": "told in the stories of flavors",
    "/v2.0/lbaas/flavorprofiles/{id}": "told in the stories of flavors",
    "/v2.0/lbaas/availabilityzones/{id}": "told in the stories of availability zones",
    "/v2.0/lbaas/availabilityzoneprofiles/{id}": "told in the stories of availability zones",
    "/v2.0/lbaas/l7policies/{id}": "told in the stories of policies",
    "/v2.0/lbaas/l7policies/{id}/rules/{rule_id}": "told in the stories of policies",
    "/v1/secrets/{id}": "the content of a secret, once",
}


@dataclass(frozen=True)
class Things:
    """What was made, and the administrator's requests."""

    http: httpx.Client
    token: str
    ids: dict[str, str]

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        headers = {"X-Auth-Token": self.token, **HEADERS.get(path.partition("/")[0], {})}
        answer = self.http.request(method, f"/{path}", json=body, headers=headers)
        assert answer.is_success, f"{method} {path} {body}: {answer.text}"
        return answer.json()

    def filled(self, value: Any) -> Any:
        if isinstance(value, dict):
            return {name: self.filled(each) for name, each in value.items()}
        if isinstance(value, list):
            return [self.filled(each) for each in value]
        if not isinstance(value, str):
            return value
        return "/".join(
            self.ids[part[1:]] if part.startswith("$") else part for part in value.split("/")
        )

    def make(self, case: Case) -> str:
        """The path of the thing."""
        if case.item:
            return str(self.filled(case.item))
        where = self.filled(case.where)
        made = self.ask("POST", where, {case.word: self.filled(case.made)})[case.word]
        self.ids[case.name or case.word] = str(made["id"])
        return f"{where}/{made['id']}"


@pytest.fixture
def things(admin: Connection, http: httpx.Client, public: Any) -> Iterator[Things]:
    """With a port behind a router to the public network, and an image."""
    network = admin.network.create_network(name="inner")
    subnet = admin.network.create_subnet(network_id=network.id, ip_version=4, cidr="10.7.0.0/24")
    router = admin.network.create_router(external_gateway_info={"network_id": public.id})
    admin.network.add_interface_to_router(router, subnet=subnet.id)
    ports = [admin.network.create_port(network_id=network.id) for _ in range(2)]
    image = admin.image.create_image(
        "i", disk_format="root-tar", container_format="bare", data=tarball()
    )
    ids = {"public": public.id, "inner": ports[0].id, "second": ports[1].id, "image": image.id}
    ids["loose"] = admin.network.create_ip(floating_network_id=public.id).id
    ids["subnet"] = subnet.id
    yield Things(http, admin.auth_token, ids)
    for forwarding in admin.network.floating_ip_port_forwardings(ids["loose"]):
        admin.network.delete_floating_ip_port_forwarding(ids["loose"], forwarding)


def check(things: Things, case: Case, settle: Any = lambda: None) -> None:
    path = things.make(case)
    settle()
    for name, value in case.changes.items():
        before = things.ask("GET", path)[case.word]
        things.ask(case.verb, path, {case.word: {name: things.filled(value)}})
        settle()
        after = things.ask("GET", path)[case.word]
        free = BOOKKEEPING | STATUSES | {name} | case.moves.get(name, frozenset())
        changed = {
            each
            for each in before.keys() | after.keys()
            if before.get(each) != after.get(each) and each not in free
        }
        assert not changed, f"{path}: {name} changes {changed}: {before} → {after}"


def test_a_change_of_one_attribute_leaves_the_others(cloud: RunningCloud, things: Things) -> None:
    for case in CASES:
        check(things, case, cloud.host.settle if case.word == "server" else lambda: None)
    assert things.ids["server"] in {server.id for server in cloud.host.servers()}


def test_so_do_balancers(cloud: RunningCloud, things: Things) -> None:
    reconciler = NetworkReconciler(cloud.database, FakeNorthbound(), Clock())
    for case in BALANCING:
        check(things, case, reconciler.round)


def test_nothing_that_can_be_changed_is_missed() -> None:
    known = {
        (case.item or f"{case.where}/$id").replace("$loose", "{id}").replace("$pool", "{id}")
        for case in (*CASES, *BALANCING)
    }
    known_forms = {_form(path.partition("/")[2]) for path in known}
    missed = {
        route.path
        for service in SERVICES
        for route in service.routes
        if route.method in ("PUT", "PATCH")
        and route.path.endswith("}")
        and _form(route.path.lstrip("/")) not in known_forms
    }
    assert missed == set(EXCEPTIONS)


def _form(path: str) -> str:
    """A path with one word for each of its parameters."""
    return "/".join("*" if part[:1] in ("{", "$") else part for part in path.split("/"))
