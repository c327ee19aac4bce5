"""Metadata definitions: what is allowed.

A namespace belongs to a project; a public one is seen by everybody. Only an administrator changes any,
as in Glance since its Wallaby release. A protected namespace, and what is in it, cannot be deleted.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy.engine import Connection

from kumoi.base.errors import Conflict, Forbidden, NotFound
from kumoi.base.ids import new_id
from kumoi.cloud.domain.caller import Caller
from kumoi.cloud.store.image import metadef as store
from kumoi.cloud.store.image.metadef import (
    MetadefAssociation,
    MetadefItem,
    MetadefKind,
    MetadefNamespace,
)

RESOURCE_TYPES = (
    "OS::Cinder::Volume",
    "OS::Glance::Image",
    "OS::Neutron::Net",
    "OS::Nova::Aggregate",
    "OS::Nova::Flavor",
    "OS::Nova::Server",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class MetadefAssociationRequest:
    resource_type: str
    prefix: str | None = None
    properties_target: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class MetadefNamespaceRequest:
    """A namespace to be made, with what is in it by kind and name."""

    namespace: str
    owner: str
    visibility: str = "private"
    protected: bool = False
    display_name: str | None = None
    description: str | None = None
    items: Mapping[MetadefKind, Mapping[str, Mapping[str, Any]]] = field(default_factory=dict)
    associations: Sequence[MetadefAssociationRequest] = ()


def create(
    connection: Connection, wanted: MetadefNamespaceRequest, now: datetime
) -> MetadefNamespace:
    """Raises Conflict when the name is taken."""
    _require_free(connection, wanted.namespace)
    row = MetadefNamespace(
        id=new_id(),
        namespace=wanted.namespace,
        owner=wanted.owner,
        visibility=wanted.visibility,
        protected=wanted.protected,
        display_name=wanted.display_name,
        description=wanted.description,
        created_at=now,
        updated_at=now,
    )
    store.insert(connection, row)
    for kind, named in wanted.items.items():
        add_items(connection, row, kind, named, now)
    for each in wanted.associations:
        associate(connection, row, each, now)
    return row


def get(connection: Connection, caller: Caller, name: str) -> MetadefNamespace:
    """Raises NotFound for one that the caller may not see."""
    row = store.named(connection, name)
    if row is None:
        raise NotFound("metadata definition namespace", name)
    caller.require(
        "get_metadef_namespace",
        "metadata definition namespace",
        name,
        row.owner,
        shared=row.visibility == "public",
    )
    return row


def update(
    connection: Connection, row: MetadefNamespace, values: Mapping[str, Any], now: datetime
) -> MetadefNamespace:
    """Raises Conflict when the new name is taken."""
    name = values.get("namespace", row.namespace)
    if name != row.namespace:
        _require_free(connection, name)
    store.update(connection, row.id, {**values, "updated_at": now})
    changed = store.named(connection, name)
    if changed is None:
        raise NotFound("metadata definition namespace", name)
    return changed


def delete(connection: Connection, row: MetadefNamespace) -> None:
    """Raises Forbidden while it is protected."""
    require_unprotected(row)
    store.delete(connection, row.id)


def require_unprotected(row: MetadefNamespace) -> None:
    """Raises Forbidden."""
    if row.protected:
        raise Forbidden(f"Metadata definition namespace {row.namespace} is protected.")


def get_item(
    connection: Connection, row: MetadefNamespace, kind: MetadefKind, name: str
) -> MetadefItem:
    """Raises NotFound."""
    found = store.item_named(connection, row.id, kind, name)
    if found is None:
        raise NotFound(f"metadata definition {kind}", name)
    return found


def add_items(
    connection: Connection,
    row: MetadefNamespace,
    kind: MetadefKind,
    bodies: Mapping[str, Mapping[str, Any]],
    now: datetime,
) -> list[MetadefItem]:
    """Items by their names. Raises Conflict when one is taken."""
    _require_free_items(connection, row, kind, bodies)
    made = [
        MetadefItem(
            id=new_id(),
            namespace_id=row.id,
            kind=kind,
            name=name,
            body=dict(body),
            created_at=now,
            updated_at=now,
        )
        for name, body in bodies.items()
    ]
    store.insert_items(connection, made)
    return made


def replace_item(
    connection: Connection,
    row: MetadefNamespace,
    item: MetadefItem,
    *,
    name: str,
    body: Mapping[str, Any],
    now: datetime,
) -> MetadefItem:
    """The item as it is described now, maybe by another name. Raises Conflict when that is taken."""
    kind = MetadefKind(item.kind)
    if name != item.name:
        _require_free_items(connection, row, kind, [name])
    values = {"name": name, "body": dict(body), "updated_at": now}
    store.update_item(connection, item.id, values)
    return get_item(connection, row, kind, name)


def delete_item(connection: Connection, row: MetadefNamespace, item: MetadefItem) -> None:
    """Raises Forbidden while the namespace is protected."""
    require_unprotected(row)
    store.delete_item(connection, item.id)


def associate(
    connection: Connection,
    row: MetadefNamespace,
    wanted: MetadefAssociationRequest,
    now: datetime,
) -> MetadefAssociation:
    """Raises Conflict when the namespace is for that type already."""
    if any(
        found.resource_type == wanted.resource_type
        for found in store.associations(connection, [row.id])
    ):
        raise Conflict(f"{row.namespace} is for {wanted.resource_type} already.")
    made = MetadefAssociation(
        namespace_id=row.id,
        resource_type=wanted.resource_type,
        prefix=wanted.prefix,
        properties_target=wanted.properties_target,
        created_at=now,
        updated_at=now,
    )
    store.insert_association(connection, made)
    return made


def dissociate(connection: Connection, row: MetadefNamespace, resource_type: str) -> None:
    """Raises NotFound, and Forbidden while the namespace is protected."""
    require_unprotected(row)
    if not store.delete_associations(connection, row.id, resource_type):
        raise NotFound("resource type of the namespace", resource_type)


def resource_types(connection: Connection) -> list[str]:
    """Those of OpenStack, and whatever a namespace is for."""
    return sorted({*RESOURCE_TYPES, *store.resource_types(connection)})


def _require_free(connection: Connection, name: str) -> None:
    if store.named(connection, name) is not None:
        raise Conflict(f"A metadata definition namespace with namespace={name} already exists.")


def _require_free_items(
    connection: Connection, row: MetadefNamespace, kind: MetadefKind, names: Collection[str]
) -> None:
    for taken in store.names_taken(connection, row.id, kind, names):
        raise Conflict(
            f"A metadata definition {kind} with name={taken} already exists in "
            f"namespace={row.namespace}."
        )
