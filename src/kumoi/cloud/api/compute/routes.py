"""Compute's route table: method, path, handler, policy, versions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from kumoi.cloud.api import errors
from kumoi.cloud.api.compute import (
    extension,
    flavor,
    floating_ip,
    gone,
    host_routes,
    image,
    image_metadata,
    instance_action,
    interface,
    keypair,
    network,
    query_words,
    quota,
    security_group,
    security_group_rule,
    server,
    server_action,
    server_group,
    server_metadata,
    server_tag,
    usage,
    version,
    volume_attachment,
)
from kumoi.cloud.api.token import SCHEMES
from kumoi.engine.http.routing import KNOWN, OPEN, Route
from kumoi.engine.http.service import Service
from kumoi.policy.table import TABLE


def proxy(method: str, path: str, handler: Callable[..., Any], rule: str) -> Route:
    """A route that compute has until PROXY_LAST."""
    return Route(method, f"{V2}/{path}", handler, rule, until=PROXY_LAST)


def image_properties(method: str, path: str, handler: Callable[..., Any]) -> Route:
    rule = "get_image" if method == "GET" else "modify_image"
    return Route(method, f"{V2}/images/{{id}}/metadata{path}", handler, rule, until=METADATA_LAST)


V2 = "/v2.1"
FLAVOR = f"{V2}/flavors/{{id}}"
SERVER = f"{V2}/servers/{{id}}"
PROXY_LAST = (2, 35)  # The last version that passed images and networks on.
METADATA_LAST = (2, 38)  # The last version that passed the metadata of images on.

VERSIONS = (
    Route("GET", "/", version.index, OPEN),
    Route("GET", V2, version.show, OPEN),
    Route("GET", f"{V2}/extensions", extension.index, "os_compute_api:extensions"),
    Route("GET", f"{V2}/extensions/{{id}}", extension.show, "os_compute_api:extensions"),
)

FLAVORS = (
    Route("GET", f"{V2}/flavors", flavor.index, "os_compute_api:flavors"),
    Route("POST", f"{V2}/flavors", flavor.create, "os_compute_api:os-flavor-manage:create"),
    Route("GET", f"{V2}/flavors/detail", flavor.detail, "os_compute_api:flavors"),
    Route("GET", FLAVOR, flavor.show, "os_compute_api:flavors"),
    Route("PUT", FLAVOR, flavor.update, "os_compute_api:os-flavor-manage:update", since=(2, 55)),
    Route("DELETE", FLAVOR, flavor.delete, "os_compute_api:os-flavor-manage:delete"),
    Route(
        "POST",
        f"{FLAVOR}/action",
        flavor.change_access,
        "os_compute_api:os-flavor-access:add_tenant_access",
    ),
    Route("GET", f"{FLAVOR}/os-flavor-access", flavor.access, "os_compute_api:os-flavor-access"),
    Route(
        "GET",
        f"{FLAVOR}/os-extra_specs",
        flavor.specs,
        "os_compute_api:os-flavor-extra-specs:index",
    ),
    Route(
        "POST",
        f"{FLAVOR}/os-extra_specs",
        flavor.put_specs,
        "os_compute_api:os-flavor-extra-specs:create",
    ),
    Route(
        "GET",
        f"{FLAVOR}/os-extra_specs/{{key}}",
        flavor.spec,
        "os_compute_api:os-flavor-extra-specs:show",
    ),
    Route(
        "PUT",
        f"{FLAVOR}/os-extra_specs/{{key}}",
        flavor.put_spec,
        "os_compute_api:os-flavor-extra-specs:update",
    ),
    Route(
        "DELETE",
        f"{FLAVOR}/os-extra_specs/{{key}}",
        flavor.delete_spec,
        "os_compute_api:os-flavor-extra-specs:delete",
    ),
)

KEYPAIRS = (
    Route("GET", f"{V2}/os-keypairs", keypair.index, "os_compute_api:os-keypairs:index"),
    Route("POST", f"{V2}/os-keypairs", keypair.create, "os_compute_api:os-keypairs:create"),
    Route("GET", f"{V2}/os-keypairs/{{id}}", keypair.show, "os_compute_api:os-keypairs:show"),
    Route(
        "DELETE", f"{V2}/os-keypairs/{{id}}", keypair.delete, "os_compute_api:os-keypairs:delete"
    ),
)

SERVERS = (
    Route("GET", f"{V2}/servers", server.index, "os_compute_api:servers:index"),
    Route("POST", f"{V2}/servers", server.create, "os_compute_api:servers:create"),
    Route("GET", f"{V2}/servers/detail", server.detail, "os_compute_api:servers:detail"),
    Route("GET", SERVER, server.show, "os_compute_api:servers:show"),
    Route("PUT", SERVER, server.update, "os_compute_api:servers:update"),
    Route("DELETE", SERVER, server.delete, "os_compute_api:servers:delete"),
    Route("POST", f"{SERVER}/action", server_action.create, KNOWN),
    Route(
        "POST",
        f"{SERVER}/remote-consoles",
        server_action.remote_console,
        "os_compute_api:os-remote-consoles",
        since=(2, 6),
    ),
    Route("GET", f"{SERVER}/ips", server.addresses, "os_compute_api:ips:index"),
    Route("GET", f"{SERVER}/ips/{{network}}", server.network_addresses, "os_compute_api:ips:show"),
    Route(
        "GET", f"{SERVER}/metadata", server_metadata.index, "os_compute_api:server-metadata:index"
    ),
    Route(
        "POST", f"{SERVER}/metadata", server_metadata.add, "os_compute_api:server-metadata:create"
    ),
    Route(
        "PUT",
        f"{SERVER}/metadata",
        server_metadata.replace,
        "os_compute_api:server-metadata:update_all",
    ),
    Route(
        "GET",
        f"{SERVER}/metadata/{{key}}",
        server_metadata.show,
        "os_compute_api:server-metadata:show",
    ),
    Route(
        "PUT",
        f"{SERVER}/metadata/{{key}}",
        server_metadata.put,
        "os_compute_api:server-metadata:update",
    ),
    Route(
        "DELETE",
        f"{SERVER}/metadata/{{key}}",
        server_metadata.delete,
        "os_compute_api:server-metadata:delete",
    ),
    Route(
        "GET",
        f"{SERVER}/tags",
        server_tag.index,
        "os_compute_api:os-server-tags:index",
        since=(2, 26),
    ),
    Route(
        "PUT",
        f"{SERVER}/tags",
        server_tag.replace,
        "os_compute_api:os-server-tags:update_all",
        since=(2, 26),
    ),
    Route(
        "DELETE",
        f"{SERVER}/tags",
        server_tag.clear,
        "os_compute_api:os-server-tags:delete_all",
        since=(2, 26),
    ),
    Route(
        "GET",
        f"{SERVER}/tags/{{key}}",
        server_tag.show,
        "os_compute_api:os-server-tags:show",
        since=(2, 26),
    ),
    Route(
        "PUT",
        f"{SERVER}/tags/{{key}}",
        server_tag.put,
        "os_compute_api:os-server-tags:update",
        since=(2, 26),
    ),
    Route(
        "DELETE",
        f"{SERVER}/tags/{{key}}",
        server_tag.delete,
        "os_compute_api:os-server-tags:delete",
        since=(2, 26),
    ),
    Route(
        "GET", f"{SERVER}/os-interface", interface.index, "os_compute_api:os-attach-interfaces:list"
    ),
    Route(
        "POST",
        f"{SERVER}/os-interface",
        interface.create,
        "os_compute_api:os-attach-interfaces:create",
    ),
    Route(
        "GET",
        f"{SERVER}/os-interface/{{port_id}}",
        interface.show,
        "os_compute_api:os-attach-interfaces:show",
    ),
    Route(
        "DELETE",
        f"{SERVER}/os-interface/{{port_id}}",
        interface.delete,
        "os_compute_api:os-attach-interfaces:delete",
    ),
    Route(
        "GET",
        f"{SERVER}/os-instance-actions",
        instance_action.index,
        "os_compute_api:os-instance-actions:list",
    ),
    Route(
        "GET",
        f"{SERVER}/os-instance-actions/{{request_id}}",
        instance_action.show,
        "os_compute_api:os-instance-actions:show",
    ),
    Route(
        "GET",
        f"{SERVER}/os-security-groups",
        security_group.of_server,
        "os_compute_api:os-security-groups:list",
    ),
    Route(
        "GET",
        f"{SERVER}/os-volume_attachments",
        volume_attachment.index,
        "os_compute_api:os-volumes-attachments:index",
    ),
)

GROUPS = (
    Route(
        "GET", f"{V2}/os-server-groups", server_group.index, "os_compute_api:os-server-groups:index"
    ),
    Route(
        "POST",
        f"{V2}/os-server-groups",
        server_group.create,
        "os_compute_api:os-server-groups:create",
    ),
    Route(
        "GET",
        f"{V2}/os-server-groups/{{id}}",
        server_group.show,
        "os_compute_api:os-server-groups:show",
    ),
    Route(
        "DELETE",
        f"{V2}/os-server-groups/{{id}}",
        server_group.delete,
        "os_compute_api:os-server-groups:delete",
    ),
)

QUOTAS = (
    Route("GET", f"{V2}/limits", quota.limits, "os_compute_api:limits"),
    Route("GET", f"{V2}/os-quota-sets/{{id}}", quota.show, "os_compute_api:os-quota-sets:show"),
    Route("PUT", f"{V2}/os-quota-sets/{{id}}", quota.update, "os_compute_api:os-quota-sets:update"),
    Route(
        "DELETE", f"{V2}/os-quota-sets/{{id}}", quota.delete, "os_compute_api:os-quota-sets:delete"
    ),
    Route(
        "GET",
        f"{V2}/os-quota-sets/{{id}}/defaults",
        quota.defaults,
        "os_compute_api:os-quota-sets:defaults",
    ),
    Route(
        "GET",
        f"{V2}/os-quota-sets/{{id}}/detail",
        quota.detail,
        "os_compute_api:os-quota-sets:detail",
    ),
    Route(
        "GET",
        f"{V2}/os-quota-class-sets/{{id}}",
        quota.show_class,
        "os_compute_api:os-quota-class-sets:show",
    ),
    Route(
        "PUT",
        f"{V2}/os-quota-class-sets/{{id}}",
        quota.update_class,
        "os_compute_api:os-quota-class-sets:update",
    ),
    Route(
        "GET",
        f"{V2}/os-simple-tenant-usage",
        usage.index,
        "os_compute_api:os-simple-tenant-usage:list",
    ),
    Route(
        "GET",
        f"{V2}/os-simple-tenant-usage/{{id}}",
        usage.show,
        "os_compute_api:os-simple-tenant-usage:show",
    ),
)

FLOATING = "os_compute_api:os-floating-ips"
SECURITY = "os_compute_api:os-security-groups"
PROXIES = (
    proxy("GET", "images", image.index, "get_images"),
    proxy("GET", "images/detail", image.detail, "get_images"),
    proxy("GET", "images/{id}", image.show, "get_image"),
    proxy("DELETE", "images/{id}", image.delete, "delete_image"),
    image_properties("GET", "", image_metadata.index),
    image_properties("POST", "", image_metadata.add),
    image_properties("PUT", "", image_metadata.replace),
    image_properties("GET", "/{key}", image_metadata.show),
    image_properties("PUT", "/{key}", image_metadata.put),
    image_properties("DELETE", "/{key}", image_metadata.delete),
    proxy("GET", "os-floating-ip-pools", floating_ip.pools, "os_compute_api:os-floating-ip-pools"),
    proxy("GET", "os-floating-ips", floating_ip.index, f"{FLOATING}:list"),
    proxy("POST", "os-floating-ips", floating_ip.create, f"{FLOATING}:create"),
    proxy("GET", "os-floating-ips/{id}", floating_ip.show, f"{FLOATING}:show"),
    proxy("DELETE", "os-floating-ips/{id}", floating_ip.delete, f"{FLOATING}:delete"),
    proxy("GET", "os-networks", network.index, "os_compute_api:os-networks:list"),
    proxy("GET", "os-networks/{id}", network.show, "os_compute_api:os-networks:show"),
    proxy(
        "GET",
        "os-tenant-networks",
        network.index_of_tenant,
        "os_compute_api:os-tenant-networks:list",
    ),
    proxy(
        "GET",
        "os-tenant-networks/{id}",
        network.show_of_tenant,
        "os_compute_api:os-tenant-networks:show",
    ),
    *(Route(method, f"{V2}/{path}", gone.refuse, KNOWN) for method, path in gone.PATHS),
    proxy("GET", "os-security-groups", security_group.index, f"{SECURITY}:get"),
    proxy("POST", "os-security-groups", security_group.create, f"{SECURITY}:create"),
    proxy("GET", "os-security-groups/{id}", security_group.show, f"{SECURITY}:show"),
    proxy("PUT", "os-security-groups/{id}", security_group.update, f"{SECURITY}:update"),
    proxy("DELETE", "os-security-groups/{id}", security_group.delete, f"{SECURITY}:delete"),
    proxy("POST", "os-security-group-rules", security_group_rule.create, f"{SECURITY}:rule:create"),
    proxy(
        "DELETE",
        "os-security-group-rules/{id}",
        security_group_rule.delete,
        f"{SECURITY}:rule:delete",
    ),
)

SERVICE = Service(
    type="compute",
    prefix="compute",
    routes=query_words.strict(
        (
            *VERSIONS,
            *FLAVORS,
            *KEYPAIRS,
            *SERVERS,
            *GROUPS,
            *QUOTAS,
            *host_routes.HOSTS,
            *PROXIES,
        )
    ),
    policies=TABLE,
    schemes=SCHEMES,
    envelope=errors.compute,
    challenge=errors.CHALLENGE,
    headers={"Vary": "OpenStack-API-Version, X-OpenStack-Nova-API-Version"},
    id_headers=("X-Openstack-Request-Id", "X-Compute-Request-Id"),
    versions=version.VERSIONS,
)
