"""What is allowed at the network service, by Neutron's names.

A rule about an attribute asks for the owner of the network where there is one.
"""

from __future__ import annotations

from collections.abc import Mapping

from kumoi.policy.row import ADMIN, MEMBER, OWNER, READER, Row

NETWORKS: Mapping[str, Row] = {
    "create_network": MEMBER,
    "create_network:shared": ADMIN,
    "create_network:router:external": ADMIN,
    "create_network:is_default": ADMIN,
    "create_network:provider:network_type": ADMIN,
    "create_network:provider:physical_network": ADMIN,
    "create_network:provider:segmentation_id": ADMIN,
    "get_network": READER,  # Also what is shared or external.
    "get_network:provider": ADMIN,
    "update_network": MEMBER,
    "update_network:shared": ADMIN,
    "update_network:router:external": ADMIN,
    "update_network:is_default": ADMIN,
    "update_network:provider:network_type": ADMIN,
    "update_network:provider:physical_network": ADMIN,
    "update_network:provider:segmentation_id": ADMIN,
    "delete_network": MEMBER,
    "create_subnet": MEMBER,
    "get_subnet": READER,
    "update_subnet": MEMBER,
    "delete_subnet": MEMBER,
    "create_subnetpool": MEMBER,
    "create_subnetpool:shared": ADMIN,
    "create_subnetpool:is_default": ADMIN,
    "get_subnetpool": READER,
    "update_subnetpool": MEMBER,
    "update_subnetpool:is_default": ADMIN,
    "add_prefixes": MEMBER,
    "remove_prefixes": MEMBER,
    "delete_subnetpool": MEMBER,
    "create_address_scope": MEMBER,
    "create_address_scope:shared": ADMIN,
    "get_address_scope": READER,
    "update_address_scope": MEMBER,
    "update_address_scope:shared": ADMIN,
    "delete_address_scope": MEMBER,
    "get_network_ip_availability": ADMIN,
}

PORTS: Mapping[str, Row] = {
    "create_port": MEMBER,
    "create_port:mac_address": OWNER,
    "create_port:fixed_ips:ip_address": OWNER,
    "create_port:port_security_enabled": OWNER,
    "create_port:allowed_address_pairs": OWNER,
    "create_port:device_owner": OWNER,  # One of the network's own.
    "create_port:device_owner:service": ADMIN,  # A router's and the like.
    "create_port:binding:host_id": ADMIN,
    "create_port:binding:profile": ADMIN,
    "get_port": READER,  # Also those on one's own network.
    "get_port:binding": ADMIN,
    "update_port": MEMBER,
    "update_port:mac_address": OWNER,
    "update_port:fixed_ips:ip_address": OWNER,
    "update_port:port_security_enabled": OWNER,
    "update_port:allowed_address_pairs": OWNER,
    "update_port:device_owner": OWNER,
    "update_port:device_owner:service": ADMIN,
    "update_port:device_id:bound": ADMIN,  # To another device than the one that has it.
    "update_port:binding:host_id": ADMIN,
    "update_port:binding:profile": ADMIN,
    "delete_port": MEMBER,
}

ROUTERS: Mapping[str, Row] = {
    "create_router": MEMBER,
    "create_router:distributed": ADMIN,
    "create_router:ha": ADMIN,
    "create_router:external_gateway_info:enable_snat": ADMIN,
    "create_router:external_gateway_info:external_fixed_ips": ADMIN,
    "get_router": READER,
    "update_router": MEMBER,
    "update_router:external_gateway_info:enable_snat": ADMIN,
    "update_router:external_gateway_info:external_fixed_ips": ADMIN,
    "delete_router": MEMBER,
    "add_router_interface": MEMBER,
    "remove_router_interface": MEMBER,
    "add_extraroutes": MEMBER,
    "remove_extraroutes": MEMBER,
    "create_floatingip": MEMBER,
    "create_floatingip:floating_ip_address": ADMIN,
    "get_floatingip": READER,
    "update_floatingip": MEMBER,
    "delete_floatingip": MEMBER,
    "create_floatingip_port_forwarding": MEMBER,
    "get_floatingip_port_forwarding": READER,
    "update_floatingip_port_forwarding": MEMBER,
    "delete_floatingip_port_forwarding": MEMBER,
}

QOS: Mapping[str, Row] = {
    "create_policy": ADMIN,
    "get_policy": READER,  # Also what is shared.
    "update_policy": ADMIN,
    "delete_policy": ADMIN,
    "create_policy_bandwidth_limit_rule": ADMIN,
    "get_policy_bandwidth_limit_rule": READER,
    "update_policy_bandwidth_limit_rule": ADMIN,
    "delete_policy_bandwidth_limit_rule": ADMIN,
    "create_policy_dscp_marking_rule": ADMIN,
    "get_policy_dscp_marking_rule": READER,
    "update_policy_dscp_marking_rule": ADMIN,
    "delete_policy_dscp_marking_rule": ADMIN,
    "get_rule_type": READER,
}

SECURITY: Mapping[str, Row] = {
    "create_security_group": MEMBER,
    "get_security_group": READER,
    "update_security_group": MEMBER,
    "delete_security_group": MEMBER,
    "delete_security_group:is_default": ADMIN,
    "create_security_group_rule": MEMBER,
    "get_security_group_rule": READER,
    "delete_security_group_rule": MEMBER,
    "create_default_security_group_rule": ADMIN,
    "get_default_security_group_rule": READER,
    "delete_default_security_group_rule": ADMIN,
    "create_address_group": MEMBER,
    "get_address_group": READER,
    "update_address_group": MEMBER,
    "delete_address_group": MEMBER,
}

TAGS: Mapping[str, Row] = {
    "get_networks_tags": READER,
    "update_networks_tags": MEMBER,
    "delete_networks_tags": MEMBER,
    "get_subnets_tags": READER,
    "update_subnets_tags": MEMBER,
    "delete_subnets_tags": MEMBER,
    "get_subnetpools_tags": READER,
    "update_subnetpools_tags": MEMBER,
    "delete_subnetpools_tags": MEMBER,
    "get_ports_tags": READER,
    "update_ports_tags": MEMBER,
    "delete_ports_tags": MEMBER,
    "get_routers_tags": READER,
    "update_routers_tags": MEMBER,
    "delete_routers_tags": MEMBER,
    "get_floatingips_tags": READER,
    "update_floatingips_tags": MEMBER,
    "delete_floatingips_tags": MEMBER,
    "get_policies_tags": READER,
    "update_policies_tags": ADMIN,
    "delete_policies_tags": ADMIN,
    "get_security_groups_tags": READER,
    "update_security_groups_tags": MEMBER,
    "delete_security_groups_tags": MEMBER,
}

OTHERS: Mapping[str, Row] = {
    "get_extension": READER,
    "get_quotas": ADMIN,  # Of all projects.
    "get_quota": READER,
    "update_quota": ADMIN,
    "delete_quota": ADMIN,
    "get_agent": OWNER,  # Nobody's: others see an empty list.
    "get_agent_schedule": ADMIN,
    "update_agent": ADMIN,
    "delete_agent": ADMIN,
    "get_availability_zone": READER,
    "get_service_provider": READER,
}

NETWORK: Mapping[str, Row] = {**NETWORKS, **PORTS, **ROUTERS, **QOS, **SECURITY, **TAGS, **OTHERS}
