"""What the services of OpenStack Zed accept and tell, as far as an environment is made of it.

From the API references of the Zed release: paths with their query words and bodies, and the fields of
answers. A shape is a dict: its keys are all there may be, `ANY` is a value of any form. A key that is not
here is refused in a request and taken out of an answer.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

COMPUTE_MAX = (2, 93)
USER_DATA_MAX = 65_535  # In base64, as Nova counts it.
METADATA_MAX = 255  # A key, and a value.

ANY: Any = None
Shape = dict[str, Any]


def words(text: str) -> frozenset[str]:
    return frozenset(text.split())


def keys(text: str, **inner: Any) -> Shape:
    return {**dict.fromkeys(text.split(), ANY), **inner}


@dataclass(frozen=True)
class Call:
    """`query` are words; `fields` are those of what the answer holds, by the name it has there."""

    query: frozenset[str] = frozenset()
    body: Shape | None = None
    answer: Shape | None = None


PAGE = "limit marker page_reverse sort_key sort_dir fields"
LINKS = "links"

# Identity.

ROLE_DOMAIN = keys("id name")
USER = keys("id name password", domain=ROLE_DOMAIN)
TOKEN_NEW = {
    "auth": {
        "identity": {
            "methods": ANY,
            "password": {"user": USER},
            "token": keys("id"),
            "application_credential": keys("id name secret", user=USER),
        },
        "scope": {
            "project": keys("id name", domain=ROLE_DOMAIN),
            "domain": ROLE_DOMAIN,
            "system": ANY,
        },
    }
}
CREDENTIAL = keys(
    "name secret description expires_at unrestricted",
    roles=keys("id name"),
    access_rules=keys("path method service"),
)
CREDENTIAL_SHOWN = keys(
    "id name secret description expires_at unrestricted roles project_id user_id access_rules "
    "links system"
)
TOKEN = keys(
    "methods user audit_ids expires_at issued_at project domain system is_domain roles catalog "
    "application_credential OS-TRUST:trust"
)

# Compute, at 2.93.

SERVER_NEW = keys(
    "name imageRef flavorRef key_name user_data availability_zone adminPass config_drive min_count "
    "max_count accessIPv4 accessIPv6 OS-DCF:diskConfig block_device_mapping return_reservation_id "
    "description tags trusted_image_certificates host hypervisor_hostname hostname metadata",
    networks=keys("uuid port fixed_ip tag"),
    security_groups=keys("name"),
    block_device_mapping_v2=keys(
        "boot_index delete_on_termination destination_type device_name device_type disk_bus "
        "guest_format no_device source_type tag uuid volume_size volume_type"
    ),
)
SERVER = keys(
    "id name status fault metadata addresses links image flavor created updated user_id tenant_id "
    "hostId key_name accessIPv4 accessIPv6 config_drive progress security_groups locked "
    "locked_reason description tags trusted_image_certificates server_groups host_status adminPass "
    "OS-DCF:diskConfig OS-EXT-AZ:availability_zone OS-EXT-STS:power_state OS-EXT-STS:task_state "
    "OS-EXT-STS:vm_state OS-SRV-USG:launched_at OS-SRV-USG:terminated_at "
    "os-extended-volumes:volumes_attached OS-EXT-SRV-ATTR:host OS-EXT-SRV-ATTR:hostname "
    "OS-EXT-SRV-ATTR:hypervisor_hostname OS-EXT-SRV-ATTR:instance_name OS-EXT-SRV-ATTR:kernel_id "
    "OS-EXT-SRV-ATTR:launch_index OS-EXT-SRV-ATTR:ramdisk_id OS-EXT-SRV-ATTR:reservation_id "
    "OS-EXT-SRV-ATTR:root_device_name OS-EXT-SRV-ATTR:user_data"
)
SERVER_QUERY = (
    "access_ip_v4 access_ip_v6 all_tenants availability_zone changes-before changes-since "
    "config_drive created_at deleted description display_description display_name flavor host "
    "hostname image ip ip6 kernel_id key_name launch_index launched_at limit locked locked_by marker "
    "name node not-tags not-tags-any power_state progress project_id ramdisk_id reservation_id "
    "root_device_name soft_deleted sort_dir sort_key status tags tags-any task_state tenant_id "
    "terminated_at user_id uuid vm_state"
)
FLAVOR = keys(
    "id name description disk ram vcpus swap rxtx_factor links extra_specs OS-FLV-EXT-DATA:ephemeral "
    "OS-FLV-DISABLED:disabled os-flavor-access:is_public"
)
KEYPAIR = keys(
    "name public_key fingerprint type user_id id created_at updated_at deleted deleted_at"
)
ABSOLUTE = keys(
    "maxServerMeta maxTotalCores maxTotalInstances maxTotalKeypairs maxTotalRAMSize maxServerGroups "
    "maxServerGroupMembers totalCoresUsed totalInstancesUsed totalRAMUsed totalServerGroupsUsed"
)

# Network.

NETWORK = (
    "admin_state_up description mtu name port_security_enabled project_id router:external shared "
    "tenant_id provider:network_type provider:physical_network provider:segmentation_id "
    "availability_zone_hints dns_domain qos_policy_id is_default vlan_transparent"
)
NETWORK_MORE = (
    "id status subnets availability_zones created_at updated_at revision_number ipv4_address_scope "
    "ipv6_address_scope l2_adjacency tags"
)
SUBNET = (
    "allocation_pools cidr description dns_nameservers dns_publish_fixed_ip enable_dhcp gateway_ip "
    "host_routes ip_version ipv6_address_mode ipv6_ra_mode name network_id prefixlen project_id "
    "segment_id service_types subnetpool_id tenant_id use_default_subnetpool"
)
PORT = (
    "admin_state_up allowed_address_pairs binding:host_id binding:profile binding:vnic_type "
    "description device_id device_owner dns_domain dns_name extra_dhcp_opts fixed_ips "
    "mac_address mac_learning_enabled name network_id numa_affinity_policy port_security_enabled "
    "project_id propagate_uplink_status qos_policy_id security_groups tenant_id"
)
PORT_MORE = (
    "id status binding:vif_details binding:vif_type created_at data_plane_status device_profile "
    "dns_assignment ip_allocation qos_network_policy_id resource_request revision_number tags "
    "updated_at"
)
ROUTER = (
    "admin_state_up availability_zone_hints description distributed flavor_id ha name project_id "
    "service_type_id tenant_id"
)
ROUTER_MORE = "id status availability_zones conntrack_helpers created_at revision_number routes tags updated_at"
GATEWAY = keys("network_id enable_snat external_fixed_ips qos_policy_id")
FLOATING = (
    "description dns_domain dns_name fixed_ip_address floating_ip_address floating_network_id port_id "
    "project_id qos_policy_id subnet_id tenant_id"
)
FLOATING_MORE = (
    "id status created_at port_details port_forwardings qos_network_policy_id revision_number "
    "router_id tags updated_at"
)
GROUP = "description name project_id stateful tenant_id"
GROUP_MORE = "id created_at revision_number security_group_rules shared tags updated_at"
RULE = (
    "description direction ethertype port_range_max port_range_min project_id protocol "
    "remote_address_group_id remote_group_id remote_ip_prefix security_group_id tenant_id"
)
RULE_MORE = "id created_at revision_number updated_at"
MORE = "id status tags created_at updated_at revision_number"


def noun(path: str, one: str, said: Shape, told: Shape) -> dict[tuple[str, str], Call]:
    """The five calls of a noun of Neutron's."""
    many = one + "s"
    query = frozenset([*PAGE.split(), *told])
    return {
        ("GET", path): Call(query, answer={many: told, f"{many}_links": ANY}),
        ("POST", path): Call(body={one: said}, answer={one: told}),
        ("GET", path + "/{}"): Call(frozenset({"fields"}), answer={one: told}),
        ("PUT", path + "/{}"): Call(body={one: said}, answer={one: told}),
        ("DELETE", path + "/{}"): Call(),
    }


# Image.

IMAGE_NEW = (
    "container_format disk_format id min_disk min_ram name os_hidden protected tags visibility"
)
IMAGE = keys(
    f"{IMAGE_NEW} checksum created_at direct_url file locations os_hash_algo os_hash_value owner "
    "schema self size status stores updated_at virtual_size os_distro os_version architecture "
    "hw_disk_bus"
)
IMAGE_QUERY = (
    "limit marker name owner protected status tag visibility os_hidden member_status size_max size_min "
    "created_at updated_at sort_dir sort_key sort disk_format container_format id"
)

# Load balancing.

LB_MEMBER = keys(
    "name address protocol_port weight backup subnet_id monitor_address monitor_port admin_state_up tags"
)
LB_MONITOR = keys(
    "name type delay timeout max_retries max_retries_down url_path http_method http_version "
    "expected_codes domain_name admin_state_up tags"
)
LB_POOL = keys(
    "name description protocol lb_algorithm admin_state_up session_persistence tags tls_enabled "
    "ca_tls_container_ref crl_container_ref tls_container_ref tls_ciphers tls_versions alpn_protocols",
    members=LB_MEMBER,
    healthmonitor=LB_MONITOR,
)
LB_LISTENER = keys(
    "name description protocol protocol_port admin_state_up allowed_cidrs alpn_protocols "
    "client_authentication client_ca_tls_container_ref client_crl_container_ref connection_limit "
    "default_pool_id default_tls_container_ref sni_container_refs insert_headers l7policies tags "
    "timeout_client_data timeout_member_connect timeout_member_data timeout_tcp_inspect tls_ciphers "
    "tls_versions hsts_include_subdomains hsts_max_age hsts_preload",
    default_pool=LB_POOL,
)
LB_NEW = keys(
    "name description admin_state_up additional_vips availability_zone flavor_id pools project_id "
    "provider tags vip_address vip_network_id vip_port_id vip_qos_policy_id vip_subnet_id",
    listeners=LB_LISTENER,
)
BALANCER = keys(
    "id name description admin_state_up additional_vips availability_zone flavor_id pools project_id "
    "provider tags vip_address vip_network_id vip_port_id vip_qos_policy_id vip_subnet_id listeners "
    "created_at updated_at operating_status provisioning_status tenant_id"
)
POOL_SHOWN = keys(
    "id name description protocol lb_algorithm admin_state_up session_persistence tags tls_enabled "
    "ca_tls_container_ref crl_container_ref tls_container_ref tls_ciphers tls_versions alpn_protocols "
    "members healthmonitor_id healthmonitor loadbalancers listeners created_at updated_at "
    "operating_status provisioning_status project_id tenant_id"
)
MEMBER_SHOWN = keys(
    "id name address protocol_port weight backup subnet_id monitor_address monitor_port admin_state_up "
    "tags created_at updated_at operating_status provisioning_status project_id tenant_id"
)
LB_PAGE = words("limit marker page_reverse sort fields name project_id id")

VERSIONS = Call()

API: dict[str, dict[tuple[str, str], Call]] = {
    "identity": {
        ("GET", "/"): VERSIONS,
        ("GET", "/v3"): VERSIONS,
        ("POST", "/v3/auth/tokens"): Call(frozenset({"nocatalog"}), TOKEN_NEW, {"token": TOKEN}),
        ("GET", "/v3/auth/tokens"): Call(
            frozenset({"nocatalog", "allow_expired"}), answer={"token": TOKEN}
        ),
        ("POST", "/v3/users/{}/application_credentials"): Call(
            body={"application_credential": CREDENTIAL},
            answer={"application_credential": CREDENTIAL_SHOWN},
        ),
        ("DELETE", "/v3/users/{}/application_credentials/{}"): Call(),
    },
    "compute": {
        ("GET", "/"): VERSIONS,
        ("GET", "/v2.1"): VERSIONS,
        ("GET", "/v2.1/servers/detail"): Call(
            words(SERVER_QUERY), answer={"servers": SERVER, "servers_links": ANY}
        ),
        ("POST", "/v2.1/servers"): Call(
            body={
                "server": SERVER_NEW,
                "os:scheduler_hints": ANY,
                "OS-SCH-HNT:scheduler_hints": ANY,
            },
            answer={"server": SERVER},
        ),
        ("DELETE", "/v2.1/servers/{}"): Call(),
        ("GET", "/v2.1/flavors/detail"): Call(
            words("sort_key sort_dir limit marker minDisk minRam is_public"),
            answer={"flavors": FLAVOR, "flavors_links": ANY},
        ),
        ("GET", "/v2.1/os-keypairs"): Call(
            words("user_id limit marker"),
            answer={"keypairs": {"keypair": KEYPAIR}, "keypairs_links": ANY},
        ),
        ("POST", "/v2.1/os-keypairs"): Call(
            body={"keypair": keys("name public_key type user_id")}, answer={"keypair": KEYPAIR}
        ),
        ("DELETE", "/v2.1/os-keypairs/{}"): Call(frozenset({"user_id"})),
        ("GET", "/v2.1/limits"): Call(
            frozenset({"reserved", "tenant_id"}),
            answer={"limits": {"absolute": ABSOLUTE, "rate": ANY}},
        ),
    },
    "network": {
        ("GET", "/"): VERSIONS,
        ("GET", "/v2.0"): VERSIONS,
        **noun("/v2.0/networks", "network", keys(NETWORK), keys(f"{NETWORK} {NETWORK_MORE}")),
        **noun("/v2.0/subnets", "subnet", keys(SUBNET), keys(f"{SUBNET} {MORE}")),
        **noun("/v2.0/ports", "port", keys(PORT), keys(f"{PORT} {PORT_MORE}")),
        **noun(
            "/v2.0/routers",
            "router",
            keys(ROUTER, external_gateway_info=GATEWAY),
            keys(f"{ROUTER} external_gateway_info {ROUTER_MORE}"),
        ),
        **noun(
            "/v2.0/floatingips", "floatingip", keys(FLOATING), keys(f"{FLOATING} {FLOATING_MORE}")
        ),
        **noun(
            "/v2.0/security-groups", "security_group", keys(GROUP), keys(f"{GROUP} {GROUP_MORE}")
        ),
        **noun(
            "/v2.0/security-group-rules",
            "security_group_rule",
            keys(RULE),
            keys(f"{RULE} {RULE_MORE}"),
        ),
        ("PUT", "/v2.0/routers/{}/add_router_interface"): Call(body=keys("subnet_id port_id")),
        ("PUT", "/v2.0/routers/{}/remove_router_interface"): Call(body=keys("subnet_id port_id")),
        ("GET", "/v2.0/quotas/{}/details"): Call(),
    },
    "image": {
        ("GET", "/"): VERSIONS,
        ("GET", "/v2"): VERSIONS,
        ("GET", "/v2/images"): Call(
            words(IMAGE_QUERY), answer=keys("first next schema", images=IMAGE)
        ),
        ("POST", "/v2/images"): Call(body=keys(IMAGE_NEW), answer=IMAGE),
        ("PUT", "/v2/images/{}/file"): Call(),
        ("DELETE", "/v2/images/{}"): Call(),
    },
    "load-balancer": {
        ("GET", "/"): VERSIONS,
        ("GET", "/v2.0"): VERSIONS,
        ("GET", "/v2.0/lbaas/loadbalancers"): Call(
            LB_PAGE | {"vip_address", "description"},
            answer={"loadbalancers": BALANCER, "loadbalancers_links": ANY},
        ),
        ("POST", "/v2.0/lbaas/loadbalancers"): Call(
            body={"loadbalancer": LB_NEW}, answer={"loadbalancer": BALANCER}
        ),
        ("DELETE", "/v2.0/lbaas/loadbalancers/{}"): Call(frozenset({"cascade"})),
        ("GET", "/v2.0/lbaas/pools"): Call(
            LB_PAGE | {"loadbalancer_id"}, answer={"pools": POOL_SHOWN, "pools_links": ANY}
        ),
        ("GET", "/v2.0/lbaas/pools/{}/members"): Call(
            LB_PAGE, answer={"members": MEMBER_SHOWN, "members_links": ANY}
        ),
        ("PUT", "/v2.0/lbaas/pools/{}/members"): Call(
            frozenset({"additive_only"}), {"members": LB_MEMBER}
        ),
    },
}
