"""Compute's route table: method, path, handler, policy, versions."""

from __future__ import annotations

from kumoi.cloud.api import errors
from kumoi.cloud.api.compute import (
    extension,
    flavor,
    hypervisor,
    image,
    instance_action,
    interface,
    keypair,
    quota,
    security_group,
    server,
    server_action,
    server_group,
    server_metadata,
    server_tag,
    service,
    usage,
    version,
    volume_attachment,
)
from kumoi.cloud.api.policy import Rule, admin, member, reader
from kumoi.cloud.api.token import SCHEMES
from kumoi.engine.http.routing import OPEN, Route
from kumoi.engine.http.service import Service

V2 = "/v2.1"
FLAVOR = f"{V2}/flavors/{{id}}"
SERVER = f"{V2}/servers/{{id}}"
PROXY_LAST = (2, 35)  # The last version that passed images and networks on.

VERSIONS = (
    Route("GET", "/", version.index, OPEN),
    Route("GET", V2, version.show, OPEN),
    Route("GET", f"{V2}/extensions", extension.index, "extension:read"),
    Route("GET", f"{V2}/extensions/{{id}}", extension.show, "extension:read"),
)

FLAVORS = (
    Route("GET", f"{V2}/flavors", flavor.index, "flavor:read"),
    Route("POST", f"{V2}/flavors", flavor.create, "flavor:manage"),
    Route("GET", f"{V2}/flavors/detail", flavor.detail, "flavor:read"),
    Route("GET", FLAVOR, flavor.show, "flavor:read"),
    Route("PUT", FLAVOR, flavor.update, "flavor:manage", since=(2, 55)),
    Route("DELETE", FLAVOR, flavor.delete, "flavor:manage"),
    Route("POST", f"{FLAVOR}/action", flavor.change_access, "flavor:manage"),
    Route("GET", f"{FLAVOR}/os-flavor-access", flavor.access, "flavor:manage"),
    Route("GET", f"{FLAVOR}/os-extra_specs", flavor.specs, "flavor:read"),
    Route("POST", f"{FLAVOR}/os-extra_specs", flavor.put_specs, "flavor:manage"),
    Route("GET", f"{FLAVOR}/os-extra_specs/{{key}}", flavor.spec, "flavor:read"),
    Route("PUT", f"{FLAVOR}/os-extra_specs/{{key}}", flavor.put_spec, "flavor:manage"),
    Route("DELETE", f"{FLAVOR}/os-extra_specs/{{key}}", flavor.delete_spec, "flavor:manage"),
)

KEYPAIRS = (
    Route("GET", f"{V2}/os-keypairs", keypair.index, "keypair:own"),
    Route("POST", f"{V2}/os-keypairs", keypair.create, "keypair:own"),
    Route("GET", f"{V2}/os-keypairs/{{id}}", keypair.show, "keypair:own"),
    Route("DELETE", f"{V2}/os-keypairs/{{id}}", keypair.delete, "keypair:own"),
)

SERVERS = (
    Route("GET", f"{V2}/servers", server.index, "server:read"),
    Route("POST", f"{V2}/servers", server.create, "server:change"),
    Route("GET", f"{V2}/servers/detail", server.detail, "server:read"),
    Route("GET", SERVER, server.show, "server:read"),
    Route("PUT", SERVER, server.update, "server:change"),
    Route("DELETE", SERVER, server.delete, "server:change"),
    Route("POST", f"{SERVER}/action", server_action.create, "server:change"),
    Route(
        "POST",
        f"{SERVER}/remote-consoles",
        server_action.remote_console,
        "server:change",
        since=(2, 6),
    ),
    Route("GET", f"{SERVER}/ips", server.addresses, "server:read"),
    Route("GET", f"{SERVER}/ips/{{network}}", server.network_addresses, "server:read"),
    Route("GET", f"{SERVER}/metadata", server_metadata.index, "server:read"),
    Route("POST", f"{SERVER}/metadata", server_metadata.add, "server:change"),
    Route("PUT", f"{SERVER}/metadata", server_metadata.replace, "server:change"),
    Route("GET", f"{SERVER}/metadata/{{key}}", server_metadata.show, "server:read"),
    Route("PUT", f"{SERVER}/metadata/{{key}}", server_metadata.put, "server:change"),
    Route("DELETE", f"{SERVER}/metadata/{{key}}", server_metadata.delete, "server:change"),
    Route("GET", f"{SERVER}/tags", server_tag.index, "server:read", since=(2, 26)),
    Route("PUT", f"{SERVER}/tags", server_tag.replace, "server:change", since=(2, 26)),
    Route("DELETE", f"{SERVER}/tags", server_tag.clear, "server:change", since=(2, 26)),
    Route("GET", f"{SERVER}/tags/{{key}}", server_tag.show, "server:read", since=(2, 26)),
    Route("PUT", f"{SERVER}/tags/{{key}}", server_tag.put, "server:change", since=(2, 26)),
    Route("DELETE", f"{SERVER}/tags/{{key}}", server_tag.delete, "server:change", since=(2, 26)),
    Route("GET", f"{SERVER}/os-interface", interface.index, "server:read"),
    Route("POST", f"{SERVER}/os-interface", interface.create, "server:change"),
    Route("GET", f"{SERVER}/os-interface/{{port_id}}", interface.show, "server:read"),
    Route("DELETE", f"{SERVER}/os-interface/{{port_id}}", interface.delete, "server:change"),
    Route("GET", f"{SERVER}/os-instance-actions", instance_action.index, "server:read"),
    Route(
        "GET",
        f"{SERVER}/os-instance-actions/{{request_id}}",
        instance_action.show,
        "server:read",
    ),
    Route("GET", f"{SERVER}/os-security-groups", security_group.of_server, "server:read"),
    Route("GET", f"{SERVER}/os-volume_attachments", volume_attachment.index, "server:read"),
)

GROUPS = (
    Route("GET", f"{V2}/os-server-groups", server_group.index, "server:read"),
    Route("POST", f"{V2}/os-server-groups", server_group.create, "server:change"),
    Route("GET", f"{V2}/os-server-groups/{{id}}", server_group.show, "server:read"),
    Route("DELETE", f"{V2}/os-server-groups/{{id}}", server_group.delete, "server:change"),
)

QUOTAS = (
    Route("GET", f"{V2}/limits", quota.limits, "quota:read"),
    Route("GET", f"{V2}/os-quota-sets/{{id}}", quota.show, "quota:read"),
    Route("PUT", f"{V2}/os-quota-sets/{{id}}", quota.update, "quota:manage"),
    Route("DELETE", f"{V2}/os-quota-sets/{{id}}", quota.delete, "quota:manage"),
    Route("GET", f"{V2}/os-quota-sets/{{id}}/defaults", quota.defaults, "quota:read"),
    Route("GET", f"{V2}/os-quota-sets/{{id}}/detail", quota.detail, "quota:read"),
    Route("GET", f"{V2}/os-quota-class-sets/{{id}}", quota.show_class, "quota:manage"),
    Route("PUT", f"{V2}/os-quota-class-sets/{{id}}", quota.update_class, "quota:manage"),
    Route("GET", f"{V2}/os-simple-tenant-usage", usage.index, "usage:all"),
    Route("GET", f"{V2}/os-simple-tenant-usage/{{id}}", usage.show, "quota:read"),
)

HYPERVISORS = f"{V2}/os-hypervisors"
HOSTS = (
    Route("GET", HYPERVISORS, hypervisor.index, "host:manage"),
    Route("GET", f"{HYPERVISORS}/detail", hypervisor.detail, "host:manage"),
    Route("GET", f"{HYPERVISORS}/statistics", hypervisor.statistics, "host:manage", until=(2, 87)),
    Route("GET", f"{HYPERVISORS}/{{id}}", hypervisor.show, "host:manage"),
    Route("GET", f"{HYPERVISORS}/{{id}}/uptime", hypervisor.uptime, "host:manage", until=(2, 87)),
    Route("GET", f"{HYPERVISORS}/{{id}}/search", hypervisor.search, "host:manage", until=(2, 52)),
    Route("GET", f"{V2}/os-services", service.index, "host:manage"),
    Route("PUT", f"{V2}/os-services/{{id}}", service.update, "host:manage"),
    Route("GET", f"{V2}/os-availability-zone", service.zones, "zone:read"),
    Route("GET", f"{V2}/os-availability-zone/detail", service.zones_detail, "host:manage"),
    Route("GET", f"{V2}/os-aggregates", service.aggregates, "host:manage"),
    Route("GET", f"{V2}/os-migrations", service.migrations, "host:manage"),
)

IMAGES = f"{V2}/images"
SECURITY = f"{V2}/os-security-groups"
PROXIES = (
    Route("GET", f"{IMAGES}/{{id}}", image.show, "server:read", until=PROXY_LAST),
    Route("DELETE", f"{IMAGES}/{{id}}", image.delete, "server:change", until=PROXY_LAST),
    Route("GET", SECURITY, security_group.index, "server:read", until=PROXY_LAST),
    Route("POST", SECURITY, security_group.create, "server:change", until=PROXY_LAST),
    Route("GET", f"{SECURITY}/{{id}}", security_group.show, "server:read", until=PROXY_LAST),
    Route("PUT", f"{SECURITY}/{{id}}", security_group.update, "server:change", until=PROXY_LAST),
    Route("DELETE", f"{SECURITY}/{{id}}", security_group.delete, "server:change", until=PROXY_LAST),
)

POLICIES: dict[str, Rule] = {
    "extension:read": reader,
    "flavor:read": reader,
    "flavor:manage": admin,
    "host:manage": admin,
    "keypair:own": reader,
    "quota:read": reader,
    "quota:manage": admin,
    "server:read": reader,
    "server:change": member,
    "usage:all": admin,
    "zone:read": reader,
}

SERVICE = Service(
    type="compute",
    prefix="compute",
    routes=(*VERSIONS, *FLAVORS, *KEYPAIRS, *SERVERS, *GROUPS, *QUOTAS, *HOSTS, *PROXIES),
    policies=POLICIES,
    schemes=SCHEMES,
    envelope=errors.compute,
    challenge=errors.CHALLENGE,
    headers={"Vary": "OpenStack-API-Version, X-OpenStack-Nova-API-Version"},
    id_headers=("X-Openstack-Request-Id", "X-Compute-Request-Id"),
    versions=version.VERSIONS,
)
