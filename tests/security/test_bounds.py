"""A tenant with a generous quota asks for as much as one request may, to keep the others waiting.

Nobody else writes while a transaction is open, so what it does is counted, in statements: a clock would
measure the machine and what else it does. `bench --only bounds` has the milliseconds.
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Sequence
from typing import Any

import pytest
import sqlalchemy as sa

from kumoi.base.errors import OverQuota
from kumoi.cloud.api.load_balancer import body as balancer_body
from kumoi.cloud.api.load_balancer import load_balancer
from kumoi.cloud.api.serve import SERVICES
from kumoi.cloud.domain.compute import server_create
from kumoi.cloud.domain.network import allocation, subnet_pool
from kumoi.cloud.store.compute.server import Server
from kumoi.cloud.store.network import tag as tag_store
from kumoi.engine.http.bounds import ENTRIES_MAX
from kumoi.engine.http.routing import Route
from tests.security import full_bodies
from tests.security.bodies import NOWHERE, has_entries, shapes_read, wraps_of
from tests.security.full_bodies import BALANCERS, NETWORKS, TOGETHER, Ask, each
from tests.security.in_process import (
    InProcessCloud,
    StatementCounter,
    WatchByRoute,
)

METHODS = ("POST", "PUT", "PATCH")
SMALL = {
    "POST /identity/v3/ec2tokens": "nothing is written",
    "POST /identity/v3/roles": "one column of one row",
    "POST /identity/v3/users": "one column of one row",
    "POST /image/v2/images/{id}/import": "one task",
    "PUT /image/v2/metadefs/namespaces/{namespace}": "the namespace's own row",
    "POST /network/v2.0/floatingips": "as a network's",
    "POST /network/v2.0/floatingips/{id}/tags": "as a network's",
    "PUT /network/v2.0/floatingips/{id}/tags": "as a network's",
    "POST /compute/v2.1/os-server-groups": "one policy",
    "POST /compute/v2.1/servers/{id}/action": "as a new server's",
    "POST /compute/v2.1/servers/{id}/metadata": "one column of one row",
    "PUT /compute/v2.1/servers/{id}/metadata": "one column of one row",
    "PUT /compute/v2.1/servers/{id}/metadata/{key}": "one column of one row",
    "PUT /compute/v2.1/servers/{id}/tags": "as a new server's",
    "POST /compute/v2.1/servers/{id}/os-interface": "one interface, as a port's",
    "POST /compute/v2.1/os-aggregates/{id}/images": "nothing is written",
}
"""Routes with a list or an object in their body to which no full one is sent, and why."""


@pytest.fixture(scope="module")
def counter(on_each: InProcessCloud) -> StatementCounter:
    on_each.lift_quotas()
    on_each.add_host()
    return StatementCounter(on_each.database)


@pytest.fixture
def ask(on_each: InProcessCloud, counter: StatementCounter) -> Ask:
    """Sends, requires that it is done, and that no transaction did too much."""

    def asked(method: str, path: str, body: Any, *, refused: bool = False, **headers: str) -> Any:
        counter.most = 0
        answer = on_each.ask(method, path, body, **headers)
        assert (answer.status_code == 400) is refused, answer.text
        assert answer.status_code <= 400, answer.text
        assert counter.most <= counter.most_allowed, (method, path, counter.most)
        return answer.json() if answer.content else None

    return asked


@pytest.fixture(scope="module")
def network(on_each: InProcessCloud) -> str:
    made = on_each.ask("POST", f"{NETWORKS}/networks", {"network": {"name": "n"}})
    return str(made.json()["network"]["id"])


@pytest.fixture(scope="module")
def subnet(on_each: InProcessCloud, network: str) -> str:
    body = {"subnet": {"network_id": network, "ip_version": 4, "cidr": "10.0.0.0/16"}}
    return str(on_each.ask("POST", f"{NETWORKS}/subnets", body).json()["subnet"]["id"])


def test_each_route_is_sent_a_body_at_its_bounds(
    ask: Ask, on_each: InProcessCloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    watch = WatchByRoute()
    monkeypatch.setattr(on_each.database, "write_watch", watch)
    full_bodies.send_all(ask)
    wanted = {
        f"{route.method} /{service.prefix}{route.path}"
        for service in SERVICES
        for route in service.routes
        if route.method in METHODS and _takes_entries(on_each, service.prefix, route)
    }
    assert wanted
    missing = wanted - watch.open_s.keys() - SMALL.keys()
    assert not missing, "\n".join(sorted(missing))
    assert sorted(SMALL.keys() - wanted) == []


def _takes_entries(cloud: InProcessCloud, prefix: str, route: Route) -> bool:
    path = re.sub(r"{[^}]*}", NOWHERE, f"/{prefix}{route.path}")
    with shapes_read() as read:
        for wrap in wraps_of(route):
            cloud.ask(route.method, path, json.dumps(wrap({})).encode())
    return any(has_entries(shape) for shape in read)


def test_no_more_are_made_at_once(ask: Ask, network: str, subnet: str) -> None:
    for plural, new in {
        "networks": {"name": "n"},
        "routers": {"name": "n"},
        "security_groups": {"name": "n"},
        "subnets": {"network_id": network, "ip_version": 4, "cidr": "10.1.0.0/24"},
    }.items():
        path = f"{NETWORKS}/{plural.replace('_', '-')}"
        ask("POST", path, {plural: [new] * (TOGETHER + 1)}, refused=True)
    addressed = {"network_id": network, "fixed_ips": [{"subnet_id": subnet}] * ENTRIES_MAX}
    ask("POST", f"{NETWORKS}/ports", {"ports": [addressed] * 3}, refused=True)
    prefixes = each(ENTRIES_MAX + 1, lambda number: f"10.0.{number}.0/26")
    pool = {"subnetpool": {"name": "s", "prefixes": prefixes}}
    ask("POST", f"{NETWORKS}/subnetpools", pool, refused=True)
    pools = each(
        ENTRIES_MAX + 1, lambda number: {"start": f"10.0.{number}.8", "end": f"10.0.{number}.9"}
    )
    changes = {"subnet": {"allocation_pools": pools}}
    ask("PUT", f"{NETWORKS}/subnets/{subnet}", changes, refused=True)
    routes = [{"destination": "10.9.0.0/24", "nexthop": "10.0.0.9"}] * (ENTRIES_MAX + 1)
    router = ask("POST", f"{NETWORKS}/routers", {"router": {"name": "r"}})["router"]["id"]
    ask("PUT", f"{NETWORKS}/routers/{router}", {"router": {"routes": routes}}, refused=True)


def test_prefixes_that_grow_are_compared_with_their_neighbours_only(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Twice as many take twice as long: 2,000 in a pool of 2,000 took 10 s once."""
    compared = itertools.count()
    holds = allocation.Span.holds

    def counted(span: allocation.Span, other: allocation.Span) -> bool:
        next(compared)
        return holds(span, other)

    monkeypatch.setattr(allocation.Span, "holds", counted)
    prefixes = each(2_000, lambda number: f"10.{number // 256}.{number % 256}.0/26")
    assert subnet_pool._all_within(prefixes, prefixes)
    assert next(compared) == 2_000


def test_a_load_balancer_has_no_more_parts(ask: Ask, subnet: str) -> None:
    pool = {
        "name": "p",
        "protocol": "TCP",
        "lb_algorithm": "SOURCE_IP",
        "members": each(
            load_balancer.PARTS_MAX, lambda n: {"address": f"10.0.0.{n}", "protocol_port": 80}
        ),
    }
    listener = {"protocol": "TCP", "protocol_port": 80, "default_pool": pool}
    balancer = {"vip_subnet_id": subnet, "listeners": [listener]}
    ask("POST", f"{BALANCERS}/loadbalancers", {"loadbalancer": balancer}, refused=True)


def test_a_pool_is_told_no_more_members_at_once(ask: Ask, subnet: str) -> None:
    new = {"loadbalancer": {"vip_subnet_id": subnet}}
    balancer = ask("POST", f"{BALANCERS}/loadbalancers", new)["loadbalancer"]["id"]
    body = {"loadbalancer_id": balancer, "protocol": "TCP", "lb_algorithm": "SOURCE_IP"}
    pool = ask("POST", f"{BALANCERS}/pools", {"pool": body})["pool"]["id"]
    path = f"{BALANCERS}/pools/{pool}/members"
    members = each(
        balancer_body.TOGETHER_MAX,
        lambda n: {"address": f"10.0.{n // 200}.{n % 200}", "protocol_port": 80},
    )
    tagged = [member | {"tags": ["a", "b"]} for member in members]
    ask("PUT", path, {"members": tagged}, refused=True)
    ask("PUT", path, {"members": [*members, members[0]]}, refused=True)


def test_members_that_go_leave_no_tags(ask: Ask, subnet: str, on_each: InProcessCloud) -> None:
    new = {"loadbalancer": {"vip_subnet_id": subnet}}
    balancer = ask("POST", f"{BALANCERS}/loadbalancers", new)["loadbalancer"]["id"]
    body = {"loadbalancer_id": balancer, "protocol": "TCP", "lb_algorithm": "SOURCE_IP"}
    pool = ask("POST", f"{BALANCERS}/pools", {"pool": body})["pool"]["id"]
    path = f"{BALANCERS}/pools/{pool}/members"
    member = {"address": "10.0.0.9", "protocol_port": 80, "tags": ["of-one-that-goes"]}
    ask("PUT", path, {"members": [member]})
    ask("PUT", path, {"members": []})
    with on_each.database.read() as connection:
        left = connection.execute(sa.select(tag_store.tag.c.tag)).scalars().all()
    assert "of-one-that-goes" not in left


def test_many_servers_are_made_in_many_transactions(
    ask: Ask, network: str, on_each: InProcessCloud
) -> None:
    flavor = ask(
        "POST", "/compute/v2.1/flavors", {"flavor": {"name": "f", "ram": 1, "vcpus": 1, "disk": 1}}
    )
    image = ask(
        "POST", "/image/v2/images", {"name": "i", "disk_format": "raw", "container_format": "bare"}
    )
    path = f"/image/v2/images/{image['id']}/file"
    on_each.ask("PUT", path, b"content", **{"Content-Type": "application/octet-stream"})
    server = {
        "name": "many",
        "flavorRef": flavor["flavor"]["id"],
        "imageRef": image["id"],
        "networks": [{"uuid": network}],
        "min_count": 200,
        "max_count": 200,
    }
    ask("POST", "/compute/v2.1/servers", {"server": server})
    listed = on_each.ask("GET", "/compute/v2.1/servers/detail?name=many").json()["servers"]
    assert {each["name"] for each in listed} == {f"many-{number + 1}" for number in range(200)}
    assert {each["status"] for each in listed} == {"BUILD"}
    server |= {"networks": [{"uuid": network}] * 33}
    ask("POST", "/compute/v2.1/servers", {"server": server}, refused=True)


def test_servers_that_cannot_all_be_made_are_taken_back(
    on_each: InProcessCloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    create, refused = server_create.create, OverQuota("others were faster", resource="instances")

    def used_up(*asked: Any, made: Sequence[Server]) -> list[Server]:
        if len(made) > server_create.INTERFACES_TOGETHER:
            raise refused
        return create(*asked, made=made)

    flavors = on_each.ask("GET", "/compute/v2.1/flavors").json()["flavors"]
    images = on_each.ask("GET", "/image/v2/images").json()["images"]
    server = {
        "name": "taken-back",
        "flavorRef": flavors[0]["id"],
        "imageRef": images[0]["id"],
        "networks": "none",
        "min_count": 20,
    }
    monkeypatch.setattr(server_create, "create", used_up)
    answer = on_each.ask("POST", "/compute/v2.1/servers", {"server": server})
    assert answer.status_code == 403
    path = "/compute/v2.1/servers/detail?name=taken-back"
    left = on_each.ask("GET", path).json()["servers"]
    assert {each["OS-EXT-STS:task_state"] for each in left} == {"deleting"}


def test_a_body_that_is_longer_than_openstacks_is_not_read(on_each: InProcessCloud) -> None:
    answer = on_each.ask("POST", f"{NETWORKS}/networks", b" " * 114_689)
    assert answer.status_code == 413
