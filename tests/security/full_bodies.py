"""For each route whose body has a list or an object of its caller's: a body that is accepted and asks for as
much as it may. test_bounds.py counts what is done for them, `bench --only bounds` how long others wait.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from kumoi.cloud.api.compute.external_event import EVENTS_MAX
from kumoi.cloud.api.identity.registered_limit import LIMITS_MAX
from kumoi.cloud.api.image.metadef_body import ITEMS_MAX
from kumoi.cloud.api.load_balancer import body as balancer_body
from kumoi.cloud.api.load_balancer import load_balancer
from kumoi.cloud.api.network import body as network_body
from kumoi.cloud.domain.image import image as image_domain
from kumoi.engine.http.bounds import ENTRIES_MAX

Ask = Callable[..., Any]
"""Sends a method to a path with a body, requires that it is done, and gives the answer's JSON."""

NETWORKS, COMPUTE, BALANCERS = "/network/v2.0", "/compute/v2.1", "/load-balancer/v2.0/lbaas"
IDENTITY, IMAGES, KEYS = "/identity/v3", "/image/v2", "/key-manager/v1"
TOGETHER = network_body.BULK_MAX
METADATA_MAX = 128
PATCH = {"Content-Type": "application/openstack-images-v2.1-json-patch"}
OCTETS = {"Content-Type": "application/octet-stream"}


def each(most: int, make: Callable[[int], Any]) -> list[Any]:
    return [make(number) for number in range(most)]


def words(most: int) -> list[str]:
    return each(most, lambda number: f"word-{number}")


def made(ask: Ask, path: str, body: Any) -> str:
    """The id of what was made."""
    shown = ask("POST", path, body)
    return str((shown if "id" in shown else next(iter(shown.values())))["id"])


def send_all(ask: Ask, turn: str = "") -> None:
    """`turn` is part of names that must differ when all are sent again."""
    network = made(ask, f"{NETWORKS}/networks", {"network": {"name": "n"}})
    subnet = made(ask, f"{NETWORKS}/subnets", {"subnet": _subnet(network, 0, bits=16)})
    for send in (_network, _ports, _routers, _address_groups, _balancers, _listeners, _compute):
        send(ask, network, subnet)
    for send_named in (_identity, _images, _keys):
        send_named(ask, turn)


def _subnet(network: str, number: int, *, bits: int = 24) -> Any:
    return {"network_id": network, "ip_version": 4, "cidr": f"10.{number}.0.0/{bits}"}


def _network(ask: Ask, _network_id: str, subnet: str) -> None:
    group = made(ask, f"{NETWORKS}/security-groups", {"security_group": {"name": "g"}})
    of_group = {"security_group_id": group, "direction": "ingress", "protocol": "tcp"}
    tags = words(3)
    network = made(ask, f"{NETWORKS}/networks", {"network": {"name": "n"}})
    for plural, new in {
        "networks": lambda number: {"name": f"{number}", "tags": tags},
        "routers": lambda number: {"name": f"{number}", "tags": tags},
        "security_groups": lambda number: {"name": f"{number}", "tags": tags},
        "address_groups": lambda number: {
            "name": f"{number}",
            "addresses": each(3, lambda n: f"10.{number}.{n}.0/24"),
        },
        "subnetpools": lambda number: {"name": f"{number}", "prefixes": [f"10.{number}.0.0/16"]},
        "security_group_rules": lambda number: (
            of_group | {"port_range_min": number + 1, "port_range_max": number + 1}
        ),
        "subnets": lambda number: (
            _subnet(network, number + 1)
            | {"dns_nameservers": ["10.0.0.1"]}
            | {"allocation_pools": _pools(2, f"10.{number + 1}.0.{{}}")}
        ),
    }.items():
        ask("POST", f"{NETWORKS}/{plural.replace('_', '-')}", {plural: each(TOGETHER, new)})
    large = _subnet(network, 200, bits=16) | {
        "allocation_pools": _pools(ENTRIES_MAX, "10.200.{}.8", "10.200.{}.9"),
        "dns_nameservers": each(5, lambda number: f"10.0.0.{number + 1}"),
        "host_routes": _routes(20),
    }
    ask("POST", f"{NETWORKS}/subnets", {"subnet": large})
    pools = _pools(ENTRIES_MAX, "10.0.{}.8", "10.0.{}.9")
    ask("PUT", f"{NETWORKS}/subnets/{subnet}", {"subnet": {"allocation_pools": pools}})
    prefixes = each(ENTRIES_MAX, lambda number: f"10.0.{number}.0/26")
    pool = made(ask, f"{NETWORKS}/subnetpools", {"subnetpool": {"name": "s", "prefixes": prefixes}})
    ask("PUT", f"{NETWORKS}/subnetpools/{pool}", {"subnetpool": {"prefixes": prefixes}})
    path = f"{NETWORKS}/subnetpools/{pool}"
    ask("PUT", f"{path}/remove_prefixes", {"prefixes": prefixes[1:]})
    ask("PUT", f"{path}/add_prefixes", {"prefixes": prefixes[1:]})
    tagged = {"networks": network, "subnets": subnet, "subnetpools": pool, "security-groups": group}
    tagged["routers"] = made(ask, f"{NETWORKS}/routers", {"router": {"name": "r"}})
    tagged["ports"] = made(ask, f"{NETWORKS}/ports", {"port": {"network_id": network}})
    tagged["policies"] = made(ask, f"{NETWORKS}/qos/policies", {"policy": {"name": "p"}})
    for collection, key in tagged.items():
        all_tags = words(network_body.TAGS_MAX)
        ask("PUT", f"{NETWORKS}/{collection}/{key}/tags", {"tags": all_tags})
        ask("PUT", f"{NETWORKS}/{collection}/{key}/tags", {"tags": []})
        ask("POST", f"{NETWORKS}/{collection}/{key}/tags", {"tags": all_tags})


def _pools(most: int, start: str, end: str = "") -> list[Any]:
    return each(
        most,
        lambda number: {
            "start": start.format(number if end else 8 + 10 * number),
            "end": end.format(number) if end else start.format(9 + 10 * number),
        },
    )


def _routes(most: int) -> list[Any]:
    return each(most, lambda n: {"destination": f"10.99.{n}.0/24", "nexthop": "10.0.0.9"})


def _ports(ask: Ask, _network_id: str, _subnet_id: str) -> None:
    """Of a network with one subnet: with many, each port takes longer."""
    network = made(ask, f"{NETWORKS}/networks", {"network": {"name": "n"}})
    subnet = made(ask, f"{NETWORKS}/subnets", {"subnet": _subnet(network, 0, bits=16)})
    port = {"network_id": network, "fixed_ips": [{"subnet_id": subnet}] * 3}
    ask("POST", f"{NETWORKS}/ports", {"ports": [port] * TOGETHER})
    group = each(
        ENTRIES_MAX,
        lambda n: made(ask, f"{NETWORKS}/security-groups", {"security_group": {"name": f"{n}"}}),
    )
    many = {
        "fixed_ips": [{"subnet_id": subnet}] * ENTRIES_MAX,
        "security_groups": group,
        "allowed_address_pairs": each(10, lambda n: {"ip_address": f"10.9.0.{n}"}),
        "extra_dhcp_opts": [{"opt_name": "mtu", "opt_value": "1400"}],
    }
    changed = made(ask, f"{NETWORKS}/ports", {"port": {"network_id": network, **many}})
    again = many | {"fixed_ips": [{"subnet_id": subnet}] * ENTRIES_MAX}
    ask("PUT", f"{NETWORKS}/ports/{changed}", {"port": again | {"security_groups": []}})
    ask("PUT", f"{NETWORKS}/ports/{changed}", {"port": again})
    few = {"network_id": network, "security_groups": group[:3]}
    ask("POST", f"{NETWORKS}/ports", {"ports": [few] * TOGETHER})
    ask("DELETE", f"{NETWORKS}/ports/{changed}", None)


def _routers(ask: Ask, network: str, subnet: str) -> None:
    router = made(ask, f"{NETWORKS}/routers", {"router": {"name": "r"}})
    path = f"{NETWORKS}/routers/{router}"
    port = made(ask, f"{NETWORKS}/ports", {"port": {"network_id": network}})
    ask("PUT", f"{path}/add_router_interface", {"port_id": port})
    routes = _routes(30)
    address = ask("GET", f"{NETWORKS}/ports/{port}", None)["port"]["fixed_ips"][0]["ip_address"]
    hop = address.rpartition(".")[0] + ".200"
    ask("PUT", path, {"router": {"routes": [route | {"nexthop": hop} for route in routes]}})
    ask("PUT", path, {"router": {"routes": []}})
    ask("PUT", f"{path}/remove_router_interface", {"port_id": port})


def _address_groups(ask: Ask, _network_id: str, _subnet_id: str) -> None:
    addresses = each(ENTRIES_MAX, lambda number: f"10.0.{number}.0/24")
    group = made(
        ask, f"{NETWORKS}/address-groups", {"address_group": {"name": "a", "addresses": addresses}}
    )
    others = each(ENTRIES_MAX, lambda number: f"10.1.{number}.0/24")
    path = f"{NETWORKS}/address-groups/{group}"
    ask("PUT", f"{path}/add_addresses", {"addresses": others})
    ask("PUT", f"{path}/remove_addresses", {"addresses": others})


def _balancers(ask: Ask, _network_id: str, subnet: str) -> None:
    def listener(number: int) -> Any:
        member = {"address": "10.0.0.9", "protocol_port": 80}
        pool = {
            "name": f"p{number}",
            "protocol": "TCP",
            "lb_algorithm": "SOURCE_IP",
            "members": [member],
        }
        return {"protocol": "TCP", "protocol_port": number + 1, "default_pool": pool}

    whole = {"vip_subnet_id": subnet, "listeners": each(load_balancer.PARTS_MAX // 3, listener)}
    balancer = made(ask, f"{BALANCERS}/loadbalancers", {"loadbalancer": whole})
    new = {"loadbalancer_id": balancer, "protocol": "TCP", "lb_algorithm": "SOURCE_IP"}
    pool = made(ask, f"{BALANCERS}/pools", {"pool": new | {"tags": words(ENTRIES_MAX)}})
    for port in (80, 81):  # Then all go, and others come.
        members = each(
            balancer_body.TOGETHER_MAX,
            lambda n: {
                "address": f"10.0.{n // 200}.{n % 200}",
                "protocol_port": port,  # noqa: B023
                "tags": words(1),
            },
        )
        ask("PUT", f"{BALANCERS}/pools/{pool}/members", {"members": members})
    weighted = [member | {"weight": 5} for member in members]
    ask("PUT", f"{BALANCERS}/pools/{pool}/members", {"members": weighted})
    tags = {"tags": words(ENTRIES_MAX)}
    ask("PUT", f"{BALANCERS}/loadbalancers/{balancer}", {"loadbalancer": tags})
    ask("PUT", f"{BALANCERS}/pools/{pool}", {"pool": {"tags": words(ENTRIES_MAX - 1)}})
    ask("DELETE", f"{BALANCERS}/pools/{pool}", None)
    ask("DELETE", f"{BALANCERS}/loadbalancers/{balancer}?cascade=true", None)


def _listeners(ask: Ask, _network_id: str, subnet: str) -> None:
    new = {"vip_subnet_id": subnet, "tags": words(ENTRIES_MAX)}
    balancer = made(ask, f"{BALANCERS}/loadbalancers", {"loadbalancer": new})
    cidrs = each(256, lambda number: f"10.{number}.0.0/16")
    tags = {"tags": words(ENTRIES_MAX)}
    listener = {"loadbalancer_id": balancer, "protocol": "HTTP", "protocol_port": 80}
    listener_id = made(
        ask, f"{BALANCERS}/listeners", {"listener": listener | tags | {"allowed_cidrs": cidrs}}
    )
    path = f"{BALANCERS}/listeners/{listener_id}"
    ask("PUT", path, {"listener": tags | {"allowed_cidrs": cidrs[:200]}})
    rule = {"type": "PATH", "compare_type": "STARTS_WITH", "value": "/a"} | tags
    policy = {"listener_id": listener_id, "action": "REJECT"}
    policy_id = made(ask, f"{BALANCERS}/l7policies", {"l7policy": policy | tags})
    ask("PUT", f"{BALANCERS}/l7policies/{policy_id}", {"l7policy": {"tags": []}})
    rule_id = made(ask, f"{BALANCERS}/l7policies/{policy_id}/rules", {"rule": rule})
    ask("PUT", f"{BALANCERS}/l7policies/{policy_id}/rules/{rule_id}", {"rule": {"tags": []}})
    pool = {"loadbalancer_id": balancer, "protocol": "HTTP", "lb_algorithm": "SOURCE_IP"} | tags
    pool_id = made(ask, f"{BALANCERS}/pools", {"pool": pool})
    member = {"address": "10.0.0.9", "protocol_port": 80} | tags
    members = f"{BALANCERS}/pools/{pool_id}/members"
    member_id = made(ask, members, {"member": member})
    ask("PUT", f"{members}/{member_id}", {"member": {"tags": []}})
    monitor = {"pool_id": pool_id, "type": "TCP", "delay": 5, "timeout": 1, "max_retries": 3}
    monitor_id = made(ask, f"{BALANCERS}/healthmonitors", {"healthmonitor": monitor | tags})
    ask("PUT", f"{BALANCERS}/healthmonitors/{monitor_id}", {"healthmonitor": {"tags": []}})


def _compute(ask: Ask, network: str, _subnet_id: str) -> None:
    new = {"name": network, "ram": 1, "vcpus": 1, "disk": 1}
    flavor = made(ask, f"{COMPUTE}/flavors", {"flavor": new})
    specs = {f"quota:{number}": "1" for number in range(ENTRIES_MAX)}
    ask("POST", f"{COMPUTE}/flavors/{flavor}/os-extra_specs", {"extra_specs": specs})
    plain = made(ask, f"{COMPUTE}/flavors", {"flavor": new | {"name": f"{network}-plain"}})
    image = made(ask, f"{IMAGES}/images", {"disk_format": "raw", "container_format": "bare"})
    ask("PUT", f"{IMAGES}/images/{image}/file", b"content", **OCTETS)
    metadata = dict.fromkeys(words(METADATA_MAX), "x")
    server = {"name": "s", "flavorRef": plain, "imageRef": image}
    for networks in ([{"uuid": network}], [{"uuid": network}] * 32):
        full = {"networks": networks, "metadata": metadata, "tags": words(50)}
        server_id = made(ask, f"{COMPUTE}/servers", {"server": server | full})
    many = {"networks": [{"uuid": network}], "min_count": 100}
    ask("POST", f"{COMPUTE}/servers", {"server": server | many})
    path = f"{COMPUTE}/servers/{server_id}"
    event = {"name": "network-changed", "server_uuid": server_id}
    ask("POST", f"{COMPUTE}/os-server-external-events", {"events": [event] * EVENTS_MAX})
    ask("DELETE", path, None)


def _identity(ask: Ask, turn: str) -> None:
    tags = words(80)
    project = made(ask, f"{IDENTITY}/projects", {"project": {"name": f"p{turn}", "tags": tags}})
    path = f"{IDENTITY}/projects/{project}"
    ask("PUT", f"{path}/tags", {"tags": words(79)})
    ask("PATCH", path, {"project": {"tags": tags}})
    service = made(ask, f"{IDENTITY}/services", {"service": {"type": f"t{turn}", "name": "s"}})
    of_service = {"service_id": service}
    registered = each(
        LIMITS_MAX, lambda n: of_service | {"resource_name": f"r{n}", "default_limit": 1}
    )
    ask("POST", f"{IDENTITY}/registered_limits", {"registered_limits": registered})
    limits = each(
        LIMITS_MAX * 3 // 5,  # As many as a body has room for.
        lambda n: (
            of_service | {"resource_name": f"r{n}", "resource_limit": 1, "project_id": project}
        ),
    )
    ask("POST", f"{IDENTITY}/limits", {"limits": limits})
    ask("DELETE", path, None)
    (user,) = ask("GET", f"{IDENTITY}/users?name=admin", None)["users"]
    (scope,) = ask("GET", f"{IDENTITY}/projects?name=admin", None)["projects"]
    (role,) = ask("GET", f"{IDENTITY}/roles?name=admin", None)["roles"]
    roles = {"roles": [{"id": role["id"]}] * ENTRIES_MAX}
    rules = each(ENTRIES_MAX, lambda n: {"service": "x", "method": "GET", "path": f"/{turn}-{n}"})
    credential = {"name": f"c{turn}", "access_rules": rules, **roles}
    path = f"{IDENTITY}/users/{user['id']}/application_credentials"
    ask("POST", path, {"application_credential": credential})
    trust = {"trustor_user_id": user["id"], "trustee_user_id": user["id"], "impersonation": True}
    ask(
        "POST",
        f"{IDENTITY}/OS-TRUST/trusts",
        {"trust": trust | {"project_id": scope["id"]} | roles},
    )


def _images(ask: Ask, turn: str) -> None:
    new = {"disk_format": "raw", "container_format": "bare"}
    properties = dict.fromkeys(words(image_domain.PROPERTIES_MAX), "x")
    tags = words(image_domain.TAGS_MAX)
    image = made(ask, f"{IMAGES}/images", new | {"tags": tags} | properties)
    steps = each(
        image_domain.PROPERTIES_MAX,
        lambda n: {"op": "replace", "path": f"/word-{n}", "value": "y"},
    )
    ask("PATCH", f"{IMAGES}/images/{image}", steps, **PATCH)
    definitions = f"{IMAGES}/metadefs/namespaces"
    title = {"title": "t", "type": "string"}
    whole = {
        "namespace": f"n{turn}",
        "properties": dict.fromkeys(words(ITEMS_MAX), title),
        "objects": each(ITEMS_MAX, lambda n: {"name": f"o{n}"}),
        "tags": each(ITEMS_MAX, lambda n: {"name": f"t{n}"}),
    }
    ask("POST", definitions, whole)
    ask("POST", f"{definitions}/n{turn}/tags", {"tags": whole["tags"]})
    large = {"name": "large", "properties": dict.fromkeys(words(ITEMS_MAX), title)}
    ask("POST", f"{definitions}/n{turn}/objects", large)
    ask("PUT", f"{definitions}/n{turn}/objects/large", large)
    several = {"name": "several", **title, "enum": words(ITEMS_MAX)}
    ask("POST", f"{definitions}/n{turn}/properties", several)
    ask("PUT", f"{definitions}/n{turn}/properties/several", several)
    ask("DELETE", f"{definitions}/n{turn}", None)


def _keys(ask: Ask, _turn: str) -> None:
    reference = ask("POST", f"{KEYS}/secrets", {"name": "s"})["secret_ref"]
    references = each(100, lambda n: {"name": f"{n}", "secret_ref": reference})
    container = ask("POST", f"{KEYS}/containers", {"type": "generic", "secret_refs": references})
    users = {"read": {"users": each(ENTRIES_MAX, lambda n: f"{n:032x}"), "project-access": False}}
    for shown in (reference, container["container_ref"]):
        path = f"{KEYS}/{'/'.join(shown.rsplit('/', 2)[1:])}/acl"
        ask("PUT", path, users)
        ask("PATCH", path, users)
