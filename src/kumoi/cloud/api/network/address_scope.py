"""Address scopes: what is accepted and what is shown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy.engine import Connection

from kumoi.cloud.api.network import shapes
from kumoi.cloud.api.network.rendering import Shown
from kumoi.cloud.api.network.resource import Resource
from kumoi.cloud.api.request import Request
from kumoi.cloud.domain.network import address_scope as domain
from kumoi.cloud.domain.network.address_scope import AddressScopeRequest
from kumoi.cloud.store.network.address_scope import AddressScope
from kumoi.engine.http.bounds import Text
from kumoi.engine.http.request import UNSET, Body, Unset

COLUMNS = {"name": "name", "ip_version": "ip_version", "shared": "shared"}
VERSIONS = (4, 6)


class AddressScopeChanges(Body):
    name: Text | Unset = UNSET
    shared: bool | Unset = UNSET


class AddressScopeNew(Body):
    ip_version: int
    name: Text | Unset = UNSET
    shared: bool | Unset = UNSET
    project_id: Text | Unset = UNSET
    tenant_id: Text | Unset = UNSET


def _convert(_request: Request, values: dict[str, Any]) -> None:
    if values.get("ip_version", VERSIONS[0]) not in VERSIONS:
        raise shapes.invalid("ip_version", f"'{values['ip_version']}' is not in {list(VERSIONS)}")


def _shown(
    _connection: Connection,
    _request: Request,
    rows: Sequence[AddressScope],
    _tags: Mapping[str, Sequence[str]],
) -> list[Shown]:
    return [
        {
            "id": row.id,
            "project_id": row.project_id,
            "tenant_id": row.project_id,
            "name": row.name,
            "ip_version": row.ip_version,
            "shared": row.shared,
        }
        for row in rows
    ]


RESOURCE = Resource(
    word="address_scope",
    words="address_scopes",
    new=AddressScopeNew,
    changes=AddressScopeChanges,
    columns=COLUMNS,
    booleans=frozenset({"shared"}),
    wanted=AddressScopeRequest,
    convert=_convert,
    make=domain.create,
    get=domain.get,
    page=domain.page,
    change=domain.update,
    remove=domain.delete,
    shown=_shown,
)
