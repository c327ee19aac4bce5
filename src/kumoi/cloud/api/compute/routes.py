"""Compute's route table: method, path, handler, policy, versions."""

from __future__ import annotations

from kumoi.cloud.api.compute import flavor, keypair, server, version
from kumoi.cloud.api.policy import Rule, admin, member, reader
from kumoi.cloud.api.routing import OPEN, Route, Service

ROUTES = (
    Route("GET", "/", version.index, OPEN),
    Route("GET", "/v2.1", version.show, OPEN),
    Route("GET", "/v2.1/flavors", flavor.index, "flavor:read"),
    Route("POST", "/v2.1/flavors", flavor.create, "flavor:manage"),
    Route("GET", "/v2.1/flavors/detail", flavor.detail, "flavor:read"),
    Route("GET", "/v2.1/flavors/{id}", flavor.show, "flavor:read"),
    Route("PUT", "/v2.1/flavors/{id}", flavor.update, "flavor:manage", since=(2, 55)),
    Route("DELETE", "/v2.1/flavors/{id}", flavor.delete, "flavor:manage"),
    Route("POST", "/v2.1/flavors/{id}/action", flavor.change_access, "flavor:manage"),
    Route("GET", "/v2.1/flavors/{id}/os-flavor-access", flavor.access, "flavor:manage"),
    Route("GET", "/v2.1/flavors/{id}/os-extra_specs", flavor.specs, "flavor:read"),
    Route("POST", "/v2.1/flavors/{id}/os-extra_specs", flavor.put_specs, "flavor:manage"),
    Route("GET", "/v2.1/flavors/{id}/os-extra_specs/{key}", flavor.spec, "flavor:read"),
    Route("PUT", "/v2.1/flavors/{id}/os-extra_specs/{key}", flavor.put_spec, "flavor:manage"),
    Route("DELETE", "/v2.1/flavors/{id}/os-extra_specs/{key}", flavor.delete_spec, "flavor:manage"),
    Route("GET", "/v2.1/os-keypairs", keypair.index, "keypair:own"),
    Route("POST", "/v2.1/os-keypairs", keypair.create, "keypair:own"),
    Route("GET", "/v2.1/os-keypairs/{id}", keypair.show, "keypair:own"),
    Route("DELETE", "/v2.1/os-keypairs/{id}", keypair.delete, "keypair:own"),
    Route("GET", "/v2.1/servers", server.index, "server:read"),
    Route("POST", "/v2.1/servers", server.create, "server:change"),
    Route("GET", "/v2.1/servers/detail", server.detail, "server:read"),
    Route("GET", "/v2.1/servers/{id}", server.show, "server:read"),
    Route("PUT", "/v2.1/servers/{id}", server.update, "server:change"),
    Route("DELETE", "/v2.1/servers/{id}", server.delete, "server:change"),
    Route("GET", "/v2.1/servers/{id}/ips", server.addresses, "server:read"),
    Route("GET", "/v2.1/servers/{id}/ips/{network}", server.network_addresses, "server:read"),
)

POLICIES: dict[str, Rule] = {
    "flavor:read": reader,
    "flavor:manage": admin,
    "keypair:own": reader,
    "server:read": reader,
    "server:change": member,
}

SERVICE = Service(type="compute", prefix="compute", routes=ROUTES, policies=POLICIES)
