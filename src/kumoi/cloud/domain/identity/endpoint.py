"""Endpoints of the catalogue: what is allowed."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy.engine import Connection

from kumoi.base.errors import Invalid, NotFound
from kumoi.base.ids import new_hex_id
from kumoi.cloud.domain.identity import resource_option
from kumoi.cloud.store.identity import endpoint as store
from kumoi.cloud.store.identity import endpoint_group as endpoint_groups
from kumoi.cloud.store.identity import region as regions
from kumoi.cloud.store.identity import service as services
from kumoi.cloud.store.identity.endpoint import Endpoint
from kumoi.cloud.store.identity.endpoint_group import FilterKind
from kumoi.cloud.store.identity.region import Region
from kumoi.cloud.store.listing import Listing


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointRequest:
    service_id: str
    interface: str
    url: str
    region: str | None = None
    enabled: bool = True
    extra: Mapping[str, Any] = field(default_factory=dict)


def create(connection: Connection, wanted: EndpointRequest, *, makes_region: bool) -> Endpoint:
    """Raises Invalid for a service that does not exist, and for a region that does not exist, unless
    `makes_region`.
    """
    _require_service(connection, wanted.service_id)
    _require_region(connection, wanted.region, makes=makes_region)
    row = Endpoint(
        id=new_hex_id(),
        service_id=wanted.service_id,
        region=wanted.region,
        interface=wanted.interface,
        url=wanted.url,
        enabled=wanted.enabled,
        extra=dict(wanted.extra),
    )
    store.insert(connection, row)
    return row


def get(connection: Connection, key: str, off: Collection[str]) -> Endpoint:
    """Raises NotFound, also for one of an API that is off; see catalog.py."""
    found = store.page(connection, Listing(filters={"id": [key]}), off)
    if not found:
        raise NotFound("endpoint", key)
    return found[0]


def update(
    connection: Connection,
    key: str,
    values: Mapping[str, Any],
    off: Collection[str],
    *,
    makes_region: bool,
) -> Endpoint:
    """Raises NotFound, and Invalid as `create` does."""
    row = get(connection, key, off)
    _require_region(connection, values.get("region"), makes=makes_region)
    if "service_id" in values:
        _require_service(connection, values["service_id"])
    changes = dict(values)
    resource_option.merge_into(changes, options=None, extra=row.extra)
    store.update(connection, key, changes)
    return get(connection, key, off)


def delete(connection: Connection, key: str, off: Collection[str]) -> None:
    """Raises NotFound."""
    get(connection, key, off)
    endpoint_groups.delete_filters(connection, kind=FilterKind.ENDPOINT, target_id=key)
    store.delete(connection, key)


def _require_region(connection: Connection, key: str | None, *, makes: bool) -> None:
    if key is None or regions.get(connection, key) is not None:
        return
    if makes:
        regions.insert(connection, Region(key, "", None))
    else:
        raise Invalid(f"Region {key} could not be found.", field="region_id")


def _require_service(connection: Connection, key: str) -> None:
    if services.get(connection, key) is None:
        raise Invalid(f"Service {key} could not be found.", field="service_id")
