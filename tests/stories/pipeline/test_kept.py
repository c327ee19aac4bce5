"""What becomes of a kept environment in the cloud when its file changes, by the APIs that users have."""

from __future__ import annotations

from typing import Any

from openstack.connection import Connection
from tests.stories.pipeline.conftest import Pusher, RunningPipeline, built

FIRST = """
servers:
  web: {image: debian-12, flavor: small}
load_balancers:
  front: {listeners: [{on: web, member_port: 8080, health_monitor: {path: /health}}]}
networks:
  front: {cidr: 10.0.0.0/24}
keep: true
"""
SECOND = """
servers:
  web: {image: debian-12, flavor: small, count: 2, ports: [22], floating_ip: false}
  db: {image: debian-12, flavor: small, networks: [back]}
load_balancers:
  front: {listeners: [{on: web, member_port: 8080, health_monitor: {path: /health}}]}
  direct: {listeners: [{on: db, protocol: TCP, port: 5432}], network: back, floating_ip: false}
networks:
  front: {cidr: 10.0.0.0/24}
  back: {cidr: 10.0.1.0/24}
keep: true
"""


def push(pipeline: RunningPipeline, pusher: Pusher, client: Any, text: str) -> dict[str, Any]:
    (pusher.folder / "kumoi.yaml").write_text(text)
    pusher.commit("another file")
    found = built(pipeline, client, pusher.run_id(pusher.push()))
    assert found["reason"] == ""
    environment: dict[str, Any] = found["environment"]
    return environment


def there(demo: Connection, key: str) -> dict[str, str]:
    """Everything that carries the environment's name, by noun and short name, each with its id."""
    listings = {
        "server": demo.compute.servers(),
        "port": demo.network.ports(),
        "network": demo.network.networks(),
        "router": demo.network.routers(),
        "group": demo.network.security_groups(),
        "balancer": demo.load_balancer.load_balancers(),
        "address": demo.network.ips(),
    }
    return {
        f"{noun} {name.partition(' ')[0].removeprefix(f'env-{key}').lstrip('-')}": each.id
        for noun, listing in listings.items()
        for each in listing
        if (name := (each.description if noun == "address" else each.name)).startswith(f"env-{key}")
    }


def members(demo: Connection) -> set[tuple[str, int]]:
    """Where the HTTP balancer sends requests."""
    (pool,) = [each for each in demo.load_balancer.pools() if each.name.endswith("-front-80")]
    return {(each.address, each.protocol_port) for each in demo.load_balancer.members(pool)}


def test_a_file_that_changes_changes_what_differs_and_goes_back(
    pipeline: RunningPipeline, pusher: Pusher, demo: Connection
) -> None:
    with pipeline.client(demo) as client:
        environment = push(pipeline, pusher, client, FIRST)
        key = environment["id"]
        before = there(demo, key)
        (address,) = [ip.floating_ip_address for ip in demo.network.ips()]
        assert environment["url"] == f"http://{address}/"
        assert len(members(demo)) == 1
        (monitor,) = demo.load_balancer.health_monitors()
        assert (monitor.type, monitor.url_path) == ("HTTP", "/health")

        assert push(pipeline, pusher, client, SECOND)["id"] == key
        after = there(demo, key)
        assert before.items() <= after.items()
        assert after.keys() - before.keys() == {
            "server web-2", "server db-1", "port web-2.front", "port db-1.back", "network back",
            "group web", "group db", "balancer direct",
        }  # fmt: skip
        assert len(members(demo)) == 2
        groups = demo.network.get_port(after["port web-1.front"]).security_group_ids
        assert set(groups) == {after["group "], after["group web"]}
        rules = demo.network.security_group_rules(security_group_id=after["group "])
        cidrs = {rule.remote_ip_prefix for rule in rules if rule.direction == "ingress"}
        assert cidrs == {"10.0.0.0/24", "10.0.1.0/24"}

        assert push(pipeline, pusher, client, FIRST)["id"] == key
        assert there(demo, key) == before
        assert len(members(demo)) == 1
        rules = demo.network.security_group_rules(security_group_id=before["group "])
        cidrs = {rule.remote_ip_prefix for rule in rules if rule.direction == "ingress"}
        assert cidrs == {"10.0.0.0/24"}

        moved = FIRST.replace("10.0.0.0/24", "10.9.0.0/24")
        (pusher.folder / "kumoi.yaml").write_text(moved)
        pusher.commit("other addresses")
        ended = pipeline.ended(client, pusher.run_id(pusher.push()))
        assert "cannot change while the environment is kept" in ended["reason"]
        assert there(demo, key) == before
