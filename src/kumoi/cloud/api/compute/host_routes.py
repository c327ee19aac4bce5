"""The part of compute's route table that is for operators: hosts and what they do."""

from __future__ import annotations

from kumoi.cloud.api.compute import (
    aggregate,
    diagnostics,
    external_event,
    host,
    hypervisor,
    migration,
    server_migration,
    server_password,
    service,
    topology,
    usage_audit,
)
from kumoi.engine.http.routing import KNOWN, Route

V2 = "/v2.1"
SERVER = f"{V2}/servers/{{id}}"
HOSTS_LAST = (2, 42)  # The last version in which hosts are not told apart as services.
AGGREGATE = f"{V2}/os-aggregates/{{id}}"
AGGREGATES = "os_compute_api:os-aggregates"
MIGRATIONS = "os_compute_api:servers:migrations"
PASSWORD = "os_compute_api:os-server-password"  # noqa: S105 - a rule's name
HYPERVISORS = f"{V2}/os-hypervisors"
HOSTS = (
    Route("GET", HYPERVISORS, hypervisor.index, "os_compute_api:os-hypervisors:list"),
    Route(
        "GET",
        f"{HYPERVISORS}/detail",
        hypervisor.detail,
        "os_compute_api:os-hypervisors:list-detail",
    ),
    Route(
        "GET",
        f"{HYPERVISORS}/statistics",
        hypervisor.statistics,
        "os_compute_api:os-hypervisors:statistics",
        until=(2, 87),
    ),
    Route("GET", f"{HYPERVISORS}/{{id}}", hypervisor.show, "os_compute_api:os-hypervisors:show"),
    Route(
        "GET",
        f"{HYPERVISORS}/{{id}}/uptime",
        hypervisor.uptime,
        "os_compute_api:os-hypervisors:uptime",
        until=(2, 87),
    ),
    Route(
        "GET",
        f"{HYPERVISORS}/{{id}}/search",
        hypervisor.search,
        "os_compute_api:os-hypervisors:search",
        until=(2, 52),
    ),
    Route(
        "GET",
        f"{HYPERVISORS}/{{id}}/servers",
        hypervisor.servers,
        "os_compute_api:os-hypervisors:servers",
        until=(2, 52),
    ),
    *(
        Route(
            method,
            f"{V2}/os-hosts{path}",
            handler,
            f"os_compute_api:os-hosts:{verb}",
            until=HOSTS_LAST,
        )
        for method, path, handler, verb in (
            ("GET", "", host.index, "list"),
            ("GET", "/{id}", host.show, "show"),
            ("PUT", "/{id}", host.update, "update"),
            ("GET", "/{id}/startup", host.refuse_power, "start"),
            ("GET", "/{id}/shutdown", host.refuse_power, "shutdown"),
            ("GET", "/{id}/reboot", host.refuse_power, "reboot"),
        )
    ),
    *(
        Route(method, f"{SERVER}/{path}", handler, rule, since=since)
        for method, path, handler, rule, since in (
            ("GET", "migrations", server_migration.index, f"{MIGRATIONS}:index", (2, 23)),
            ("GET", "migrations/{key}", server_migration.show, f"{MIGRATIONS}:show", (2, 23)),
            (
                "DELETE",
                "migrations/{key}",
                server_migration.delete,
                f"{MIGRATIONS}:delete",
                (2, 24),
            ),
            ("GET", "topology", topology.show, "compute:server:topology:index", (2, 78)),
            ("GET", "os-server-password", server_password.show, f"{PASSWORD}:show", None),
            ("DELETE", "os-server-password", server_password.clear, f"{PASSWORD}:clear", None),
        )
    ),
    Route("GET", f"{SERVER}/diagnostics", diagnostics.show, "os_compute_api:os-server-diagnostics"),
    Route(
        "POST",
        f"{V2}/os-server-external-events",
        external_event.create,
        "os_compute_api:os-server-external-events:create",
    ),
    Route(
        "GET",
        f"{V2}/os-instance_usage_audit_log",
        usage_audit.index,
        "os_compute_api:os-instance-usage-audit-log:list",
    ),
    Route(
        "GET",
        f"{V2}/os-instance_usage_audit_log/{{id}}",
        usage_audit.show,
        "os_compute_api:os-instance-usage-audit-log:show",
    ),
    Route("GET", f"{V2}/os-services", service.index, "os_compute_api:os-services:list"),
    Route("PUT", f"{V2}/os-services/{{id}}", service.update, "os_compute_api:os-services:update"),
    Route(
        "GET",
        f"{V2}/os-availability-zone",
        service.zones,
        "os_compute_api:os-availability-zone:list",
    ),
    Route(
        "GET",
        f"{V2}/os-availability-zone/detail",
        service.zones_detail,
        "os_compute_api:os-availability-zone:detail",
    ),
    Route("GET", f"{V2}/os-aggregates", aggregate.index, f"{AGGREGATES}:index"),
    Route("POST", f"{V2}/os-aggregates", aggregate.create, f"{AGGREGATES}:create"),
    Route("GET", AGGREGATE, aggregate.show, f"{AGGREGATES}:show"),
    Route("PUT", AGGREGATE, aggregate.update, f"{AGGREGATES}:update"),
    Route("DELETE", AGGREGATE, aggregate.delete, f"{AGGREGATES}:delete"),
    Route("POST", f"{AGGREGATE}/action", aggregate.act, KNOWN),
    Route(
        "POST",
        f"{AGGREGATE}/images",
        aggregate.cache_images,
        "compute:aggregates:images",
        since=(2, 81),
    ),
    Route("GET", f"{V2}/os-migrations", migration.index, "os_compute_api:os-migrations:index"),
)
