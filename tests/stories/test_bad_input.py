"""Whatever is sent to any route, it is never our fault (5xx), and what is refused changes nothing.

For each route that takes a body there is a good one; each of its values is replaced in turn by what
does not belong there. The junk is the same each time, so what fails here fails again.
"""

from __future__ import annotations

import copy
import itertools
import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import sqlalchemy as sa
from openstack.connection import Connection

from kumoi.cloud.api.serve import SERVICES
from kumoi.cloud.store.tables import metadata
from kumoi.engine.http.routing import OPEN, Route
from kumoi.engine.http.service import Service
from tests.route_coverage import NOT_COUNTED
from tests.running_cloud import RunningCloud

NOWHERE = "11111111-2222-4333-8444-555555555555"
JUNK: tuple[Any, ...] = (
    None,
    True,
    -1,
    2**31,
    2**63,
    10**30,
    1.5,
    "",
    "x" * 300,
    "a\x00b",
    "\ud800",
    "\u202e<b>&\x1b[31m",
    "--5",
    "9" * 5_000,
    "\u0663",
    "fe80::1%x\ny",
    "0001-01-01T00:00:00+23:59",
    [],
    {},
    [[None]],
    {"a": {"b": []}},
)
EACH = 4
"""Of the junk, for each value; the next one goes on where this one stopped."""

BODIES = (
    b"",
    b"null",
    b"[]",
    b"{",
    b'"text"',
    b"\xff\xfe",
    b'{"a":' * 5_000,
    b"[" * 100_000,
    b'{"x": {"y": 1}}',
    b'{"x": "a\\u0000b"}',
)
QUERIES = {
    "": (
        "limit=-1",
        "limit=" + "9" * 5_000,
        "limit=9223372036854775808",
        "marker=a%00b",
        f"marker={NOWHERE}&tags=%FF%FE",
        "sort_key=id%27%3B--&sort_dir=asc",
    ),
    "identity": ("enabled=maybe", "name=x%27%3B--"),
    "image": (
        "sort=id:desc:x,",
        "created_at=gt:0001-01-01T00:00:00%2B23:59",
        "size_min=" + "9" * 30,
    ),
    "network": (
        "revision_number=--5",
        "revision_number=" + "9" * 30,
        "mtu=" + "9" * 400,
        "fixed_ips=ip_address_substr%3D%25",
    ),
    "compute": (
        "offset=" + "9" * 30,
        "name=a{99999999999}",
        "name=((((((((a*)*)*)*)*)*)*)*",
        "changes-since=0001-01-01T00:00:00%2B23:59",
        "start=0001-01-01T00:00:00%2B23:59",
    ),
    "load-balancer": (
        "sort=id:desc:x,",
        "weight=--5",
        "protocol_port=" + "9" * 30,
        "backup=maybe",
        "not-tags=%25,,",
    ),
    "placement": (
        "resources=VCPU:" + "9" * 400,
        "resources=,:",
        "required=!",
        "member_of=in:",
        "limit=" + "9" * 400,
        "group_policy=%25",
    ),
    "key-manager": ("limit=-1", "offset=" + "9" * 30, "alg=%25", "limit=" + "9" * 400),
}
NAMES = ("%00", "%FF", "x" * 300, "..%2f..")

SERVER = {
    "name": "web",
    "flavorRef": NOWHERE,
    "imageRef": NOWHERE,
    "networks": [{"uuid": NOWHERE, "fixed_ip": "10.0.0.5"}],
    "user_data": "Zm9v",
    "metadata": {"role": "web"},
    "min_count": 1,
    "max_count": 2,
    "tags": ["a"],
    "hostname": "web",
    "key_name": "me",
    "accessIPv6": "fd00::1",
}
GOOD: dict[str, Any] = {
    "POST /identity/v3/auth/tokens": {
        "auth": {
            "identity": {"methods": ["token"], "token": {"id": "x"}},
            "scope": {"project": {"name": "demo", "domain": {"id": "default"}}},
        }
    },
    "POST /identity/v3/projects": {
        "project": {"name": "p", "domain_id": NOWHERE, "tags": ["a"], "description": "d"}
    },
    "POST /identity/v3/users": {
        "user": {"name": "u", "domain_id": NOWHERE, "email": "e", "enabled": True}
    },
    "POST /identity/v3/groups": {"group": {"name": "g", "domain_id": NOWHERE}},
    "POST /identity/v3/roles": {"role": {"name": "admin", "description": "d"}},
    "POST /identity/v3/services": {"service": {"type": "", "name": "n", "enabled": True}},
    "POST /identity/v3/endpoints": {
        "endpoint": {"service_id": NOWHERE, "interface": "public", "url": "http://x", "region": "r"}
    },
    "POST /identity/v3/users/{id}/application_credentials": {
        "application_credential": {
            "name": "c",
            "expires_at": "2001-01-01T00:00:00",
            "roles": [{"name": "member"}],
        }
    },
    "POST /image/v2/images": {
        "name": "i",
        "id": "x",
        "owner": NOWHERE,
        "min_disk": 1,
        "tags": ["a"],
        "disk_format": "raw",
        "own": "property",
    },
    "POST /network/v2.0/networks": {
        "network": {"name": "n", "mtu": 1, "provider:segmentation_id": 5, "tags": ["a"]}
    },
    "POST /network/v2.0/subnets": {
        "subnet": {
            "network_id": NOWHERE,
            "ip_version": 6,
            "cidr": "fd00::/64",
            "gateway_ip": "fd00::1",
            "allocation_pools": [{"start": "fd00::5", "end": "fd00::9"}],
            "dns_nameservers": ["fd00::2"],
            "host_routes": [{"destination": "fd01::/64", "nexthop": "fd00::3"}],
        }
    },
    "POST /network/v2.0/ports": {
        "port": {
            "network_id": NOWHERE,
            "mac_address": "fa:16:3e:00:00:01",
            "fixed_ips": [{"subnet_id": NOWHERE, "ip_address": "10.0.0.5"}],
            "allowed_address_pairs": [{"ip_address": "10.0.0.6"}],
            "extra_dhcp_opts": [{"opt_name": "mtu", "opt_value": "1400", "ip_version": 4}],
            "security_groups": [NOWHERE],
            "binding:host_id": "h",
        }
    },
    "POST /network/v2.0/routers": {
        "router": {"name": "r", "external_gateway_info": {"network_id": NOWHERE}}
    },
    "POST /network/v2.0/floatingips": {
        "floatingip": {"floating_network_id": NOWHERE, "port_id": NOWHERE, "project_id": "p"}
    },
    "POST /network/v2.0/security-group-rules": {
        "security_group_rule": {
            "security_group_id": NOWHERE,
            "direction": "ingress",
            "ethertype": "IPv6",
            "protocol": "tcp",
            "port_range_min": 1,
            "port_range_max": 2,
            "remote_ip_prefix": "fd00::/64",
        }
    },
    "POST /network/v2.0/subnetpools": {
        "subnetpool": {"name": "s", "prefixes": ["x"], "default_quota": 5, "min_prefixlen": 8}
    },
    "POST /network/v2.0/address-groups": {
        "address_group": {"name": "a", "description": "d", "addresses": ["x"]}
    },
    "PUT /network/v2.0/address-groups/{id}/add_addresses": {"addresses": ["10.0.0.0/8"]},
    "POST /network/v2.0/floatingips/{id}/port_forwardings": {
        "port_forwarding": {
            "protocol": "tcp",
            "external_port": 1,
            "internal_port": 2,
            "internal_port_id": NOWHERE,
            "internal_ip_address": "10.0.0.5",
        }
    },
    "PUT /network/v2.0/quotas/{id}": {"quota": {"network": -2, "port": 5}},
    "POST /compute/v2.1/servers": {"server": SERVER},
    "POST /compute/v2.1/servers/{id}/action": {"rebuild": {"imageRef": NOWHERE, "name": "n"}},
    "POST /compute/v2.1/flavors": {
        "flavor": {"name": "f", "ram": 0, "vcpus": 1, "disk": 1, "rxtx_factor": 1.0}
    },
    "POST /compute/v2.1/os-keypairs": {"keypair": {"name": "k", "public_key": "x", "user_id": "u"}},
    "POST /compute/v2.1/os-server-groups": {
        "server_group": {"name": "g", "policy": "x", "rules": {"max_server_per_host": 2}}
    },
    "POST /load-balancer/v2.0/lbaas/loadbalancers": {
        "loadbalancer": {
            "name": "b",
            "vip_subnet_id": NOWHERE,
            "vip_address": "10.0.0.5",
            "tags": ["a"],
            "listeners": [
                {
                    "protocol": "TCP",
                    "protocol_port": 80,
                    "timeout_client_data": 5,
                    "default_pool": {
                        "protocol": "TCP",
                        "lb_algorithm": "ROUND_ROBIN",
                        "session_persistence": {"type": "SOURCE_IP"},
                        "members": [
                            {"address": "fd00::1", "protocol_port": 80, "weight": 1, "backup": True}
                        ],
                    },
                }
            ],
            "pools": [{"name": "x", "protocol": "UDP", "lb_algorithm": "SOURCE_IP"}],
        }
    },
    "POST /load-balancer/v2.0/lbaas/listeners": {
        "listener": {"loadbalancer_id": NOWHERE, "protocol": "TCP", "protocol_port": 80}
    },
    "POST /load-balancer/v2.0/lbaas/pools": {
        "pool": {"loadbalancer_id": NOWHERE, "protocol": "TCP", "lb_algorithm": "SOURCE_IP"}
    },
    "POST /load-balancer/v2.0/lbaas/pools/{id}/members": {
        "member": {"address": "10.0.0.5", "protocol_port": 80, "monitor_address": "fd00::1"}
    },
    "PUT /load-balancer/v2.0/lbaas/pools/{id}/members": {
        "members": [{"address": "10.0.0.5", "protocol_port": 80, "weight": 5}]
    },
    "POST /load-balancer/v2.0/lbaas/l7policies": {
        "l7policy": {
            "listener_id": NOWHERE,
            "action": "REDIRECT_TO_URL",
            "redirect_url": "http://a.example/",
        }
    },
    "POST /load-balancer/v2.0/lbaas/l7policies/{id}/rules": {
        "rule": {"type": "HEADER", "compare_type": "REGEX", "key": "a", "value": "b"}
    },
    "POST /key-manager/v1/secrets": {
        "payload": "eA==",
        "payload_content_type": "application/octet-stream",
        "payload_content_encoding": "base64",
        "expiration": "2099-01-01T00:00:00",
    },
    "POST /key-manager/v1/containers": {
        "type": "certificate",
        "secret_refs": [{"name": "certificate", "secret_ref": f"/v1/secrets/{NOWHERE}"}],
    },
    "PUT /key-manager/v1/secrets/{id}/acl": {"read": {"users": ["a"], "project-access": True}},
    "POST /load-balancer/v2.0/lbaas/flavorprofiles": {
        "flavorprofile": {"name": "p", "provider_name": "kumoi", "flavor_data": "{}"}
    },
    "POST /load-balancer/v2.0/lbaas/flavors": {
        "flavor": {"name": "f", "description": "", "enabled": True, "flavor_profile_id": NOWHERE}
    },
    "POST /load-balancer/v2.0/lbaas/availabilityzones": {
        "availability_zone": {"name": "z", "availability_zone_profile_id": NOWHERE}
    },
    "PUT /load-balancer/v2.0/lbaas/quotas/{id}": {"quota": {"listener": -2, "pool": 5}},
    "PUT /compute/v2.1/os-quota-sets/{id}": {"quota_set": {"instances": -5, "force": True}},
}


def routes(*methods: str) -> Iterator[tuple[Service, Route]]:
    for service in SERVICES:
        for route in service.routes:
            if route.method in methods and not (route.policy == OPEN and route.method == "GET"):
                yield service, route


def url(service: Service, route: Route, value: str = NOWHERE) -> str:
    parts = [value if part.startswith("{") else part for part in route.path.split("/")]
    return f"/{service.prefix}{'/'.join(parts)}"


def spoilt(body: Any) -> Iterator[Any]:
    """The body with each value replaced in turn, and with one more key than there is."""
    junk = itertools.cycle(JUNK)
    for path in _places(body, ()):
        for value in itertools.islice(junk, EACH):
            changed = copy.deepcopy(body)
            inner = changed
            for key in path[:-1]:
                inner = inner[key]
            inner[path[-1]] = value
            yield changed


def _places(value: Any, path: tuple[Any, ...]) -> Iterator[tuple[Any, ...]]:
    keys: Any = ()
    if isinstance(value, dict):
        keys = value.keys()
    elif isinstance(value, list):
        keys = range(len(value))
    for key in keys:
        yield (*path, key)
        yield from _places(value[key], (*path, key))


def content(body: Any) -> bytes:
    return json.dumps(body).encode()


@pytest.fixture
def ask(http: httpx.Client, admin: Connection) -> Any:
    """As an administrator, whom no policy keeps from the code behind it."""
    headers = {
        "X-Auth-Token": admin.auth_token,
        "OpenStack-API-Version": "compute 2.96",
        "Content-Type": "application/json",
        NOT_COUNTED.decode(): "1",
    }

    def asked(method: str, where: str, body: bytes = b"") -> httpx.Response:
        if method == "PATCH" and where.startswith("/image"):
            headers["Content-Type"] = "application/openstack-images-v2.1-json-patch"
        return http.request(method, where, content=body, headers=headers)

    return asked


def row_counts(cloud: RunningCloud) -> dict[str, int]:
    """How much is in each table, but for the audit, where what was refused stands too."""
    with cloud.database.read() as connection:
        return {
            table.name: connection.execute(
                sa.select(sa.func.count()).select_from(table)
            ).scalar_one()
            for table in metadata.sorted_tables
            if table.name != "audit"
        }


def test_bodies_that_are_none_are_refused_and_change_nothing(cloud: RunningCloud, ask: Any) -> None:
    before, wrong = row_counts(cloud), []
    for service, route in routes("POST", "PUT", "PATCH"):
        for body in BODIES if not route.streams else BODIES[:1]:
            answer = ask(route.method, url(service, route), body)
            if not 400 <= answer.status_code < 500 and answer.status_code != 501:
                wrong.append((answer.status_code, route.method, route.path, body[:40]))
    assert wrong == []
    assert row_counts(cloud) == before


def test_values_that_do_not_belong_are_refused_and_change_nothing(
    cloud: RunningCloud, ask: Any
) -> None:
    ours = []
    for where, good in GOOD.items():
        method, _, path = where.partition(" ")
        before = row_counts(cloud)
        for body in spoilt(good):
            answer = ask(method, path.replace("{id}", NOWHERE), content(body))
            if answer.status_code >= 500 and answer.status_code != 501:
                ours.append((answer.status_code, where, content(body)[:400]))
            after = row_counts(cloud)
            if answer.status_code >= 400:
                assert after == before, (where, content(body)[:400])
            before = after
    assert ours == []


def test_queries_and_names_that_make_no_sense_are_answered(ask: Any) -> None:
    ours = []
    for service, route in routes("GET"):
        where = url(service, route)
        queries = (*QUERIES[""], *QUERIES[service.type])
        for query in queries if "{" not in route.path else queries[:1]:
            answer = ask("GET", f"{where}?{query}")
            if answer.status_code >= 500 and answer.status_code != 501:
                ours.append((answer.status_code, route.path, query[:40]))
        for name in NAMES if "{" in route.path else ():
            answer = ask("GET", url(service, route, name))
            if answer.status_code >= 500 and answer.status_code != 501:
                ours.append((answer.status_code, route.path, name[:40]))
    assert ours == []


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "["},
        {"Host": "x/identity/v3/users?"},
        {"OpenStack-API-Version": "compute 2." + "9" * 5_000},
        {"If-Match": "revision_number=" + "9" * 5_000},
        {"X-Auth-Token": "W1tb" * 5_000},
        {"X-Auth-Token": "\u00e9.\u00e9.\u00e9".encode("latin-1")},
        {"Range": "bytes=" + "9" * 5_000 + "-"},
    ],
)
def test_headers_that_make_no_sense_are_answered(
    http: httpx.Client, admin: Connection, headers: dict[str, Any]
) -> None:
    for path in ("/network/v2.0/networks", "/compute/v2.1/servers", "/image/v2/images"):
        answer = http.get(
            path, headers={"X-Auth-Token": admin.auth_token, NOT_COUNTED.decode(): "1", **headers}
        )
        assert answer.status_code < 500
