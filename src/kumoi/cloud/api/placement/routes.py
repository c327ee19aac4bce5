"""The route table of Placement, which shows and changes nothing."""

from __future__ import annotations

from kumoi.cloud.api import errors
from kumoi.cloud.api.placement import candidate, consumer, provider, trait, version
from kumoi.cloud.api.token import SCHEMES
from kumoi.engine.http.routing import OPEN, Route
from kumoi.engine.http.service import Service
from kumoi.policy.table import TABLE

PROVIDER = "/resource_providers/{id}"
OF_PROVIDER = "placement:resource_providers"

ROUTES = (
    Route("GET", "/", version.index, OPEN),
    Route("GET", "/resource_providers", provider.index, f"{OF_PROVIDER}:list"),
    Route("GET", PROVIDER, provider.show, f"{OF_PROVIDER}:show"),
    Route(
        "GET",
        f"{PROVIDER}/inventories",
        provider.inventories,
        f"{OF_PROVIDER}:inventories:list",
    ),
    Route(
        "GET",
        f"{PROVIDER}/inventories/{{name}}",
        provider.inventory,
        f"{OF_PROVIDER}:inventories:show",
    ),
    Route("GET", f"{PROVIDER}/usages", provider.usages, f"{OF_PROVIDER}:usages"),
    Route(
        "GET", f"{PROVIDER}/allocations", provider.allocations, f"{OF_PROVIDER}:allocations:list"
    ),
    Route(
        "GET",
        f"{PROVIDER}/aggregates",
        provider.aggregates,
        f"{OF_PROVIDER}:aggregates:list",
        since=(1, 1),
    ),
    Route("GET", f"{PROVIDER}/traits", provider.traits, f"{OF_PROVIDER}:traits:list", since=(1, 6)),
    Route("GET", "/allocations/{id}", consumer.allocations, "placement:allocations:list"),
    Route("GET", "/usages", consumer.usages, "placement:usages", since=(1, 9)),
    Route("GET", "/traits", trait.index, "placement:traits:list", since=(1, 6)),
    Route("GET", "/traits/{name}", trait.show, "placement:traits:show", since=(1, 6)),
    Route(
        "GET", "/resource_classes", trait.classes, "placement:resource_classes:list", since=(1, 2)
    ),
    Route(
        "GET",
        "/resource_classes/{name}",
        trait.show_class,
        "placement:resource_classes:show",
        since=(1, 2),
    ),
    Route(
        "GET",
        "/allocation_candidates",
        candidate.index,
        "placement:allocation_candidates:list",
        since=(1, 10),
    ),
)

SERVICE = Service(
    type="placement",
    prefix="placement",
    routes=ROUTES,
    policies=TABLE,
    schemes=SCHEMES,
    envelope=errors.placement,
    challenge=errors.CHALLENGE,
    headers={"Vary": "OpenStack-API-Version"},
    versions=version.VERSIONS,
)
