"""The catalogue: the services of the cloud and their URLs.

Rows of an API that is off stay as they are, and are not shown: put back, it has the ids and names that it
had, and what an administrator made of them.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from sqlalchemy.engine import Connection

from kumoi.cloud.domain.identity import bootstrap
from kumoi.cloud.store.identity import endpoint as endpoints
from kumoi.cloud.store.identity import service as services
from kumoi.cloud.store.identity.endpoint import Endpoint
from kumoi.cloud.store.identity.service import CatalogService
from kumoi.config import CloudSettings

PROJECT_PLACES = ("$(project_id)s", "$(tenant_id)s", "%(project_id)s", "%(tenant_id)s")


@dataclass(frozen=True, slots=True)
class Entry:
    """A service and its endpoints, each with the URL that a client is to use."""

    service: CatalogService
    endpoints: list[tuple[Endpoint, str]]


def paths_off(cloud: CloudSettings) -> frozenset[str]:
    """The URLs, below the APIs' own, of endpoints at which nothing answers. An administrator's are whole."""
    if not cloud.apis_off:
        return frozenset()
    return frozenset(each.path for each in bootstrap.SERVICES if each.type not in cloud.apis)


def enabled(
    connection: Connection, off: Collection[str]
) -> tuple[list[CatalogService], list[Endpoint]]:
    """Without the endpoints whose URL is one of `off`."""
    places = endpoints.enabled(connection)
    return services.enabled(connection), [row for row in places if row.url not in off]


def build(
    found: Sequence[CatalogService],
    places: Sequence[Endpoint],
    api_url: str,
    project_id: str | None,
) -> list[Entry]:
    """Of what is enabled. An endpoint that needs a project is left out where there is none."""
    by_service: dict[str, list[tuple[Endpoint, str]]] = {}
    for row in places:
        url = public_url(row.url, api_url, project_id)
        if url is not None:
            by_service.setdefault(row.service_id, []).append((row, url))
    return [Entry(row, by_service[row.id]) for row in found if row.id in by_service]


def public_url(url: str, api_url: str, project_id: str | None) -> str | None:
    """The URL with the APIs' address and the project in it; None where it needs a project and there is
    none.
    """
    full = f"{api_url}{url}" if url.startswith("/") else url
    for place in PROJECT_PLACES:
        if place in full:
            if project_id is None:
                return None
            full = full.replace(place, project_id)
    return full
