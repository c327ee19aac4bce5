"""Extensions: what this service can do beyond Neutron's core. Only what is true is listed."""

from __future__ import annotations

from kumoi.base.errors import NotFound
from kumoi.cloud.api.network import rendering
from kumoi.cloud.api.network.rendering import Shown
from kumoi.cloud.api.request import Request
from kumoi.engine.http.request import Reply

UPDATED = "2026-01-01T00:00:00-00:00"

EXTENSIONS = {
    "address-group": ("Address group", "Networks that rules of security groups name together."),
    "address-scope": ("Address scope", "Pools of subnets whose addresses never overlap."),
    "agent": ("agent", "The hosts' network agents."),
    "allowed-address-pairs": ("Allowed Address Pairs", "More addresses that a port may use."),
    "availability_zone": ("Availability Zone", "The zones of networks and routers."),
    "binding": ("Port Binding", "The host that a port is on."),
    "default-subnetpools": ("Default Subnetpools", "Pools that are used when none is named."),
    "dns-integration": ("DNS Integration", "Names and domains that DNS is to have."),
    "empty-string-filtering": ("Empty String Filtering", "Filters by the empty string."),
    "external-net": ("Neutron external network", "Networks that lead outside."),
    "ext-gw-mode": (
        "Neutron L3 Configurable external gateway mode",
        "Whether a router translates the addresses of those behind it.",
    ),
    "extra_dhcp_opt": ("Neutron Extra DHCP options", "What DHCP answers a port besides."),
    "extraroute": ("Neutron Extra Route", "Static routes of a router."),
    "extraroute-atomic": ("Atomically add/remove extra routes", "Routes added and removed alone."),
    "filter-validation": ("Filter parameters validation", "Unknown filters are refused."),
    "expose-port-forwarding-in-fip": (
        "Expose Port Forwarding Fields in FIP",
        "A floating IP shows its port forwardings.",
    ),
    "floating-ip-port-forwarding": (
        "Floating IP Port Forwarding",
        "Ports of a floating IP that lead to ports inside.",
    ),
    "floating-ip-port-forwarding-description": (
        "Floating IP Port Forwarding new field description",
        "Port forwardings have a description.",
    ),
    "floating-ip-port-forwarding-detail": (
        "Floating IP Port Forwarding Detail",
        "A floating IP shows ids of its port forwardings.",
    ),
    "fip-port-details": ("Floating IP Port Details Extension", "The port a floating IP leads to."),
    "ip-substring-filtering": ("IP address substring filtering", "Ports by part of an address."),
    "net-mtu": ("Network MTU", "The MTU of a network."),
    "net-mtu-writable": ("Network MTU (writable)", "The MTU of a network can be set."),
    "network_availability_zone": ("Network Availability Zone", "The zones of a network."),
    "network-ip-availability": ("Network IP Availability", "How many addresses are used."),
    "pagination": ("Pagination support", "Lists come in pages."),
    "port-security": ("Port Security", "Whether a port is guarded."),
    "project-id": ("project_id field enabled", "Things have a project_id."),
    "provider": ("Provider Network", "How a network is carried."),
    "qos": ("Quality of Service", "Limits of bandwidth, and marks of packets."),
    "qos-bw-limit-direction": (
        "Direction for QoS bandwidth limit rule",
        "A limit is for what is sent or for what is received.",
    ),
    "qos-default": ("QoS default policy", "The policy that new networks of a project have."),
    "qos-port-network-policy": (
        "QoS Port Network Policy",
        "A port shows the policy of its network.",
    ),
    "qos-rule-type-details": ("Details of QoS rule types", "What each kind of rule may say."),
    "quota-check-limit": (
        "Quota engine limit check",
        "A limit can be refused when it is below what is used.",
    ),
    "quota_details": ("Quota details management support", "What is used of each quota."),
    "quotas": ("Quota management support", "Limits of each project."),
    "revision-if-match": (
        "If-Match constraints based on revision_number",
        "Changes that apply to one revision only.",
    ),
    "router": ("Neutron L3 Router", "Routers and floating IPs."),
    "router_availability_zone": ("Router Availability Zone", "The zones of a router."),
    "security-group": ("security-group", "Security groups."),
    "security-groups-default-rules": (
        "Default rules for security groups",
        "The rules that new groups are made with.",
    ),
    "security-groups-normalized-cidr": (
        "Normalized CIDR field for security group rules",
        "The network that a rule's prefix means.",
    ),
    "security-groups-port-filtering": (
        "Port filtering on security groups",
        "Ports by their security groups.",
    ),
    "security-groups-remote-address-group": (
        "Remote address group id field for security group rules",
        "Rules can name an address group.",
    ),
    "service-type": ("Neutron Service Type Management", "Providers of services."),
    "sorting": ("Sorting support", "Lists can be sorted."),
    "standard-attr-description": ("standard-attr-description", "Things have a description."),
    "standard-attr-revisions": ("Resource revision numbers", "Things have a revision."),
    "standard-attr-tag": ("Tag support for resources", "Things can be tagged."),
    "standard-attr-timestamp": ("Resource timestamps", "Things know when they were changed."),
    "stateful-security-group": (
        "Stateful security group",
        "Groups can be shown as stateful or not.",
    ),
    "subnet_allocation": ("Subnet Allocation", "Subnets cut from pools."),
    "subnet-external-network": (
        "Subnet belongs to external network",
        "Subnets of external networks can be seen and filtered.",
    ),
    "subnet-service-types": (
        "Subnet service types",
        "Subnets whose addresses are for ports of certain owners.",
    ),
    "subnetpool-prefix-ops": (
        "Subnet Pool Prefix Operations",
        "Prefixes of a pool are added and removed alone.",
    ),
    "tag-creation": ("Tag creation extension", "Several tags are added at once."),
    "tag-ports-during-bulk-creation": (
        "Tag Ports During Bulk Creation",
        "Ports can be tagged when several are made at once.",
    ),
}


def index(request: Request) -> Reply:
    shown = [rendering.only(request, _render(alias)) for alias in EXTENSIONS]
    return Reply(200, {"extensions": shown})


def show(request: Request) -> Reply:
    alias = request.path["id"]
    if alias not in EXTENSIONS:
        raise NotFound("extension", alias)
    return Reply(200, {"extension": _render(alias)})


def _render(alias: str) -> Shown:
    name, description = EXTENSIONS[alias]
    return {
        "alias": alias,
        "name": name,
        "description": description,
        "updated": UPDATED,
        "links": [],
    }
