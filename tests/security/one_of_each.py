"""One of each noun that a member of a project can make, made through the APIs, with every field that takes
an id. Two tenants who send it make the same things: test_others_things.py puts one's ids where the
other's stand.
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests import certificates
from tests.tarball import tarball

Ask = Callable[..., Any]
"""Sends a method to a path with a body, requires that it is done, and gives the answer's JSON."""

NETWORKS, COMPUTE, BALANCERS = "/network/v2.0", "/compute/v2.1", "/load-balancer/v2.0/lbaas"
IDENTITY, IMAGES, KEYS = "/identity/v3", "/image/v2", "/key-manager/v1"
SSH_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ2zFhLcZlDLzBMSMjKGYl3tG1ddWvCIhWWwXKFYGJ5T a"
OCTETS = {"Content-Type": "application/octet-stream"}
IN_POOL = {"protocol": "HTTP", "lb_algorithm": "ROUND_ROBIN"}
OLD = {"OpenStack-API-Version": "compute 2.30"}
PATCH = {"Content-Type": "application/openstack-images-v2.1-json-patch"}


@dataclass(frozen=True, kw_only=True)
class OneTenant:
    """`settle` makes what hosts would report: servers run, and balancers are in place. `number` differs between
    two tenants, whose subnets may not overlap behind one router.
    """

    ask: Ask
    settle: Callable[[], None]
    user_id: str
    project_id: str
    external_id: str
    policy_id: str
    flavor_id: str
    larger_flavor_id: str
    number: int

    def new(self, path: str, word: str, **body: Any) -> str:
        """The id of what was made, for the own project; a part of another thing is for that one's, whatever it
        says. Without a word the body stands alone.
        """
        if word == "loadbalancer" or (path.startswith(NETWORKS) and word != "port_forwarding"):
            body["project_id"] = self.project_id
        shown = self.ask("POST", path, {word: body} if word else body)
        return str((shown if "id" in shown else next(iter(shown.values())))["id"])

    def change(self, path: str, word: str, **body: Any) -> None:
        self.ask("PUT", path, {word: body} if word else body)


def make(tenant: OneTenant) -> None:
    network, subnet = _networks(tenant)
    _routing(tenant, network, subnet)
    _servers(tenant, network)
    _balancers(tenant, network, subnet)
    _identity(tenant)


def _networks(of: OneTenant) -> tuple[str, str]:
    scope = of.new(f"{NETWORKS}/address-scopes", "address_scope", name="s", ip_version=4)
    of.change(f"{NETWORKS}/address-scopes/{scope}", "address_scope", name="t")
    pool = of.new(
        f"{NETWORKS}/subnetpools",
        "subnetpool",
        name="p",
        prefixes=[f"10.{of.number}.0.0/16"],
        default_prefixlen=24,
    )
    of.change(f"{NETWORKS}/subnetpools/{pool}", "subnetpool", address_scope_id=scope)
    second = of.new(
        f"{NETWORKS}/subnetpools",
        "subnetpool",
        name="p",
        prefixes=[f"10.{of.number + 100}.0.0/16"],
        address_scope_id=scope,
    )
    more = {"prefixes": [f"10.{of.number + 150}.0.0/16"]}
    of.ask("PUT", f"{NETWORKS}/subnetpools/{second}/add_prefixes", more)
    of.ask("PUT", f"{NETWORKS}/subnetpools/{second}/remove_prefixes", more)
    network = of.new(f"{NETWORKS}/networks", "network", name="n", qos_policy_id=of.policy_id)
    of.change(f"{NETWORKS}/networks/{network}", "network", qos_policy_id=of.policy_id)
    new = {"network_id": network, "ip_version": 4}
    subnet = of.new(f"{NETWORKS}/subnets", "subnet", subnetpool_id=pool, **new)
    of.new(f"{NETWORKS}/subnets", "subnet", cidr=f"10.{of.number + 50}.0.0/24", **new)
    of.change(f"{NETWORKS}/subnets/{subnet}", "subnet", name="x")
    for collection, key in {"networks": network, "subnets": subnet, "subnetpools": pool}.items():
        of.ask("PUT", f"{NETWORKS}/{collection}/{key}/tags", {"tags": ["a"]})
        of.ask("POST", f"{NETWORKS}/{collection}/{key}/tags", {"tags": ["b"]})
        of.ask("PUT", f"{NETWORKS}/{collection}/{key}/tags/c", None)
        of.ask("DELETE", f"{NETWORKS}/{collection}/{key}/tags/c", None)
    return network, subnet


def _routing(of: OneTenant, network: str, subnet: str) -> None:
    group = of.new(f"{NETWORKS}/security-groups", "security_group", name="g")
    second = of.new(f"{NETWORKS}/security-groups", "security_group", name="h")
    of.change(f"{NETWORKS}/security-groups/{group}", "security_group", description="x")
    addresses = of.new(f"{NETWORKS}/address-groups", "address_group", name="a", addresses=[])
    of.change(f"{NETWORKS}/address-groups/{addresses}", "address_group", name="b")
    for verb in ("add", "remove"):
        entries = {"addresses": ["10.0.0.0/24"]}
        of.ask("PUT", f"{NETWORKS}/address-groups/{addresses}/{verb}_addresses", entries)
    rules, rule = f"{NETWORKS}/security-group-rules", "security_group_rule"
    new = {"security_group_id": group, "direction": "ingress", "protocol": "tcp"}
    of.new(rules, rule, remote_group_id=second, **new)
    of.new(rules, rule, remote_address_group_id=addresses, **new)
    fixed = [{"subnet_id": subnet}]
    full = {"security_groups": [group], "qos_policy_id": of.policy_id}
    port = of.new(
        f"{NETWORKS}/ports", "port", network_id=network, fixed_ips=[{"subnet_id": subnet}], **full
    )
    of.change(f"{NETWORKS}/ports/{port}", "port", fixed_ips=fixed, **full)
    of.ask("PUT", f"{NETWORKS}/ports/{port}/tags", {"tags": ["a"]})
    external = {"network_id": of.external_id}
    router = of.new(f"{NETWORKS}/routers", "router", name="r", external_gateway_info=external)
    of.change(f"{NETWORKS}/routers/{router}", "router", external_gateway_info=external)
    of.ask("PUT", f"{NETWORKS}/routers/{router}/add_router_interface", {"subnet_id": subnet})
    of.ask("PUT", f"{NETWORKS}/routers/{router}/remove_router_interface", {"subnet_id": subnet})
    leg = of.new(f"{NETWORKS}/ports", "port", network_id=network)
    of.ask("PUT", f"{NETWORKS}/routers/{router}/add_router_interface", {"port_id": leg})
    of.ask("PUT", f"{NETWORKS}/routers/{router}/remove_router_interface", {"port_id": leg})
    of.ask("PUT", f"{NETWORKS}/routers/{router}/add_router_interface", {"subnet_id": subnet})
    routes = {"router": {"routes": [{"destination": "10.250.0.0/24", "nexthop": _hop(of)}]}}
    of.ask("PUT", f"{NETWORKS}/routers/{router}/add_extraroutes", routes)
    of.ask("PUT", f"{NETWORKS}/routers/{router}/remove_extraroutes", routes)
    floating = of.new(
        f"{NETWORKS}/floatingips",
        "floatingip",
        floating_network_id=of.external_id,
        port_id=port,
    )
    of.change(f"{NETWORKS}/floatingips/{floating}", "floatingip", port_id=None)
    of.change(f"{NETWORKS}/floatingips/{floating}", "floatingip", port_id=port)
    free = of.new(f"{NETWORKS}/floatingips", "floatingip", floating_network_id=of.external_id)
    inner = of.new(f"{NETWORKS}/ports", "port", network_id=network, fixed_ips=fixed)
    shown = of.ask("GET", f"{NETWORKS}/ports/{inner}", None)["port"]
    forwarding = {
        "internal_port_id": inner,
        "internal_ip_address": shown["fixed_ips"][0]["ip_address"],
        "internal_port": 80,
        "external_port": 80,
        "protocol": "tcp",
    }
    forwardings = f"{NETWORKS}/floatingips/{free}/port_forwardings"
    key = of.new(forwardings, "port_forwarding", **forwarding)
    of.change(f"{forwardings}/{key}", "port_forwarding", internal_port_id=inner)


def _hop(of: OneTenant) -> str:
    return f"10.{of.number}.0.200"


def _servers(of: OneTenant, network: str) -> None:
    image = of.new(
        f"{IMAGES}/images", "", name="i", disk_format="root-tar", container_format="bare"
    )
    of.ask("PUT", f"{IMAGES}/images/{image}/file", tarball(), **OCTETS)
    step = {"op": "replace", "path": "/name", "value": "j"}
    of.ask("PATCH", f"{IMAGES}/images/{image}", [step], **PATCH)
    of.ask("PUT", f"{IMAGES}/images/{image}/tags/a", None)
    of.ask("POST", f"{IMAGES}/images/{image}/actions/deactivate", None)
    of.ask("POST", f"{IMAGES}/images/{image}/actions/reactivate", None)
    step = {"op": "replace", "path": "/visibility", "value": "shared"}
    of.ask("PATCH", f"{IMAGES}/images/{image}", [step], **PATCH)
    of.ask("POST", f"{IMAGES}/images/{image}/members", {"member": "0" * 32})
    group = of.new(f"{COMPUTE}/os-server-groups", "server_group", name="g", policy="affinity")
    port = of.new(f"{NETWORKS}/ports", "port", network_id=network)
    new = {"name": "s", "flavorRef": of.flavor_id, "imageRef": image}
    allowed = of.new(f"{NETWORKS}/security-groups", "security_group", name="servers")
    placed = {
        "networks": [{"uuid": network}, {"port": port}],
        "security_groups": [{"name": allowed}],
    }
    body = {"server": {**new, **placed}}
    hints = {"os:scheduler_hints": {"group": group}}
    server = of.ask("POST", f"{COMPUTE}/servers", body | hints)["server"]["id"]
    of.settle()
    disk = {"uuid": image, "source_type": "image", "destination_type": "local", "boot_index": 0}
    by_disk = {"name": "d", "flavorRef": of.flavor_id, "block_device_mapping_v2": [disk]}
    of.ask("POST", f"{COMPUTE}/servers", {"server": {**by_disk, "networks": "none"}})
    of.settle()
    key = {"name": "k", "public_key": SSH_KEY, "user_id": of.user_id}
    of.ask("POST", f"{COMPUTE}/os-keypairs", {"keypair": key})
    path = f"{COMPUTE}/servers/{server}"
    of.change(path, "server", name="t")
    of.ask("POST", f"{path}/metadata", {"metadata": {"a": "b"}})
    of.ask("PUT", f"{path}/tags", {"tags": ["a"]})
    late = of.new(f"{NETWORKS}/ports", "port", network_id=network)
    interfaces = f"{path}/os-interface"
    of.ask("POST", interfaces, {"interfaceAttachment": {"port_id": late}})
    of.ask("POST", interfaces, {"interfaceAttachment": {"net_id": network}})
    _by_older_versions(of, image, path, network)
    for action in (
        {"lock": None},
        {"unlock": None},
        {"os-stop": None},
        {"os-start": None},
        {"rebuild": {"imageRef": image}},
        {"rescue": {"rescue_image_ref": image}},
        {"unrescue": None},
        {"resize": {"flavorRef": of.larger_flavor_id}},
        {"revertResize": None},
    ):
        of.ask("POST", f"{path}/action", action)
        of.settle()


def _by_older_versions(of: OneTenant, image: str, server: str, network: str) -> None:
    """What the compute service had of its own before the others were there."""
    of.ask("PUT", f"{COMPUTE}/images/{image}/metadata/a", {"meta": {"a": "b"}}, **OLD)
    of.ask("POST", f"{server}/action", {"addFixedIp": {"networkId": network}}, **OLD)
    new = {"security_group": {"name": "old", "description": "d"}}
    group = of.ask("POST", f"{COMPUTE}/os-security-groups", new, **OLD)["security_group"]["id"]
    rule = {"ip_protocol": "tcp", "from_port": 1, "to_port": 2, "parent_group_id": group}
    rules = f"{COMPUTE}/os-security-group-rules"
    of.ask("POST", rules, {"security_group_rule": rule | {"group_id": group}}, **OLD)
    for verb in ("add", "remove"):
        of.ask("POST", f"{server}/action", {f"{verb}SecurityGroup": {"name": group}}, **OLD)


def _keys(of: OneTenant) -> tuple[str, str, str]:
    """References to a certificate with its key, an authority's certificate and a list of revoked ones."""
    ask = of.ask
    key, certificate = certificates.signed()
    whole = base64.b64encode(certificates.bundled(key, certificate)).decode()
    kept = {
        "payload_content_type": "application/octet-stream",
        "payload_content_encoding": "base64",
    }
    tls = ask("POST", f"{KEYS}/secrets", {"payload": whole, **kept})["secret_ref"]
    pem = base64.b64encode(certificates.certificate_pem(certificate)).decode()
    authority = ask("POST", f"{KEYS}/secrets", {"payload": pem, **kept})["secret_ref"]
    lists = base64.b64encode(certificates.revoked(key, certificate)).decode()
    revoked = ask("POST", f"{KEYS}/secrets", {"payload": lists, **kept})["secret_ref"]
    late = ask("POST", f"{KEYS}/secrets", {"name": "late"})["secret_ref"]
    path = "/" + late.partition("://")[2].partition("/")[2]
    ask("PUT", path, b"words", **{"Content-Type": "text/plain"})
    ask("PUT", f"{path}/acl", {"read": {"users": [of.user_id]}})
    named = [{"name": "a", "secret_ref": late}]
    box = ask("POST", f"{KEYS}/containers", {"type": "generic", "secret_refs": named})
    box_path = "/" + box["container_ref"].partition("://")[2].partition("/")[2]
    ask("PATCH", f"{box_path}/acl", {"read": {"users": [of.user_id]}})
    return tls, authority, revoked


def _balancers(of: OneTenant, network: str, subnet: str) -> None:
    tls, authority, revoked = _keys(of)
    balancers = f"{BALANCERS}/loadbalancers"
    port = of.new(f"{NETWORKS}/ports", "port", network_id=network)
    for place in (
        {"vip_subnet_id": subnet},
        {"vip_network_id": network},
        {"vip_port_id": port},
    ):
        balancer = of.new(balancers, "loadbalancer", **place)
        of.settle()
    of.change(f"{balancers}/{balancer}", "loadbalancer", name="x")
    of.settle()
    pools = f"{BALANCERS}/pools"
    pool = of.new(pools, "pool", loadbalancer_id=balancer, **IN_POOL)
    encrypted = {
        "tls_enabled": True,
        "tls_container_ref": tls,
        "ca_tls_container_ref": authority,
        "crl_container_ref": revoked,
    }
    of.change(f"{pools}/{pool}", "pool", **encrypted)
    of.new(pools, "pool", loadbalancer_id=balancer, **IN_POOL, **encrypted)
    of.settle()
    listeners = f"{BALANCERS}/listeners"
    secured = {
        "default_tls_container_ref": tls,
        "sni_container_refs": [tls],
        "client_ca_tls_container_ref": authority,
        "client_crl_container_ref": revoked,
        "client_authentication": "MANDATORY",
    }
    terminated = {"loadbalancer_id": balancer, "protocol": "TERMINATED_HTTPS"}
    of.new(listeners, "listener", protocol_port=443, default_pool_id=pool, **terminated, **secured)
    listener = of.new(
        listeners, "listener", protocol_port=444, default_tls_container_ref=tls, **terminated
    )
    of.change(f"{listeners}/{listener}", "listener", default_pool_id=pool, **secured)
    plain = {"loadbalancer_id": balancer, "protocol": "HTTP", "protocol_port": 80}
    of.new(pools, "pool", listener_id=of.new(listeners, "listener", **plain), **IN_POOL)
    of.settle()
    _pool_parts(of, pool, listener, subnet)


def _pool_parts(of: OneTenant, pool: str, listener: str, subnet: str) -> None:
    members = f"{BALANCERS}/pools/{pool}/members"
    reached = {"address": "10.0.0.9", "protocol_port": 80, "subnet_id": subnet}
    member = of.new(members, "member", **reached)
    of.change(f"{members}/{member}", "member", weight=5)
    of.ask("PUT", members, {"members": [reached | {"protocol_port": 81}]})
    monitor = {"pool_id": pool, "type": "TCP", "delay": 5, "timeout": 1, "max_retries": 3}
    monitors = f"{BALANCERS}/healthmonitors"
    of.change(
        f"{monitors}/{of.new(monitors, 'healthmonitor', **monitor)}", "healthmonitor", delay=6
    )
    policies = f"{BALANCERS}/l7policies"
    to_pool = {"action": "REDIRECT_TO_POOL", "redirect_pool_id": pool}
    policy = of.new(policies, "l7policy", listener_id=listener, **to_pool)
    of.change(f"{policies}/{policy}", "l7policy", **to_pool)
    rule = {"type": "PATH", "compare_type": "STARTS_WITH", "value": "/a"}
    rules = f"{policies}/{policy}/rules"
    of.change(f"{rules}/{of.new(rules, 'rule', **rule)}", "rule", value="/b")
    of.settle()
    inner = {"name": "p", **IN_POOL, "members": [reached]}
    listed = {"protocol": "HTTP", "protocol_port": 80, "default_pool": inner}
    of.new(f"{BALANCERS}/loadbalancers", "loadbalancer", vip_subnet_id=subnet, listeners=[listed])
    of.settle()


def _identity(of: OneTenant) -> None:
    own = f"{IDENTITY}/users/{of.user_id}"
    rule = {"service": "compute", "method": "GET", "path": "/v2.1/servers"}
    new = {"name": "c", "access_rules": [rule]}
    path = f"{own}/application_credentials"
    made = of.ask("POST", path, {"application_credential": new})["application_credential"]
    again = {"name": "d", "access_rules": [{"id": made["access_rules"][0]["id"]}]}
    of.ask("POST", path, {"application_credential": again})
    kept = {"type": "c", "blob": "b", "user_id": of.user_id, "project_id": of.project_id}
    key = of.ask("POST", f"{IDENTITY}/credentials", {"credential": kept})["credential"]["id"]
    of.ask("PATCH", f"{IDENTITY}/credentials/{key}", {"credential": {"blob": "c"}})
    of.ask("POST", f"{own}/credentials/OS-EC2", {"tenant_id": of.project_id})
    trust = {
        "trustor_user_id": of.user_id,
        "trustee_user_id": of.user_id,
        "project_id": of.project_id,
        "impersonation": False,
        "roles": [{"name": "member"}],
    }
    of.new(f"{IDENTITY}/OS-TRUST/trusts", "trust", **trust)
