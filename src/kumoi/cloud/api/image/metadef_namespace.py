"""Namespaces of metadata definitions: what is accepted and what is shown."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from urllib.parse import quote, urlencode

from sqlalchemy.engine import Connection

from kumoi.base.errors import Invalid
from kumoi.cloud.api.image import metadef_body, metadef_item
from kumoi.cloud.api.image.image import moment
from kumoi.cloud.api.image.metadef_body import NamespaceBody
from kumoi.cloud.api.request import Request, fields_set
from kumoi.cloud.domain.image import metadef as domain
from kumoi.cloud.domain.image.metadef import MetadefNamespaceRequest
from kumoi.cloud.store.image import metadef as store
from kumoi.cloud.store.image.metadef import MetadefAssociation, MetadefKind, MetadefNamespace
from kumoi.cloud.store.listing import Listing, Sort
from kumoi.engine import audit
from kumoi.engine.http import paging
from kumoi.engine.http.request import Reply

PAGE = 25
SORTABLE = ("namespace", "created_at", "updated_at", "display_name")
ATTRIBUTES = ("display_name", "description", "visibility", "protected", "owner")


def create(request: Request) -> Reply:
    body = metadef_body.parse(request, NamespaceBody)
    values = {name: value for name, value in fields_set(body).items() if name in ATTRIBUTES}
    values.setdefault("owner", request.caller.project_id or "")
    wanted = MetadefNamespaceRequest(
        namespace=body.namespace,
        items=metadef_body.contents(body),
        associations=metadef_body.associations(body),
        **values,
    )
    with request.write() as connection:
        made = domain.create(connection, wanted, request.services.clock.now())
        audit.about(made.id)
        shown = _whole(connection, made)
    location = f"{request.base}{_path(made)}"
    return Reply(201, shown, {"Location": location})


def index(request: Request) -> Reply:
    listing = _listing(request)
    types = [each for each in request.query.get("resource_types", "").split(",") if each]
    with request.read() as connection:
        owner = request.caller.reach("get_metadef_namespaces")
        marker = None
        if listing.marker is not None:
            marker = domain.get(connection, request.caller, listing.marker).id
        found = (
            []
            if listing.limit == 0
            else store.page(
                connection,
                Listing(
                    filters=listing.filters, sorts=listing.sorts, limit=listing.limit, marker=marker
                ),
                owner=owner,
                resource_types=types,
            )
        )
        shown = _render(connection, found)
    return Reply(200, _page(request, shown, listing.limit))


def show(request: Request) -> Reply:
    """With `resource_type`, the properties have the prefix that they have there."""
    with request.read() as connection:
        row = domain.get(connection, request.caller, request.path["namespace"])
        shown = _whole(connection, row, request.query.get("resource_type"))
    return Reply(200, shown)


def update(request: Request) -> Reply:
    """All that a namespace says of itself; what is not named stays. What is in it has paths of its
    own.
    """
    body = metadef_body.parse(request, NamespaceBody)
    values = {
        name: value
        for name, value in fields_set(body).items()
        if name in (*ATTRIBUTES, "namespace")
    }
    with request.write() as connection:
        row = domain.get(connection, request.caller, request.path["namespace"])
        changed = domain.update(connection, row, values, request.services.clock.now())
        (shown,) = _render(connection, [changed])
    return Reply(200, shown)


def delete(request: Request) -> Reply:
    with request.write() as connection:
        row = domain.get(connection, request.caller, request.path["namespace"])
        domain.delete(connection, row)
    return Reply(204)


def _listing(request: Request) -> Listing:
    """Raises Invalid, which names the parameter."""
    visibility = request.query.get("visibility")
    if visibility not in (None, "public", "private"):
        raise Invalid(f"Invalid visibility value: {visibility}", field="visibility")
    key = request.query.get("sort_key", "created_at")
    direction = request.query.get("sort_dir", "desc")
    if key not in SORTABLE:
        raise Invalid(f"Cannot sort by {key}", field="sort_key")
    if direction not in ("asc", "desc"):
        raise Invalid(f"Invalid sort direction: {direction}", field="sort_dir")
    return Listing(
        filters={"visibility": [visibility]} if visibility else {},
        sorts=(Sort(key, descending=direction == "desc"),),
        limit=paging.limit(request, default=PAGE),
        marker=request.query.get("marker"),
    )


def _page(request: Request, shown: list[dict[str, Any]], limit: int | None) -> dict[str, Any]:
    """Links are paths, as Glance writes them."""
    items = [(k, v) for k, v in request.http.query_params.multi_items() if k != "marker"]
    path = "/v2/metadefs/namespaces"
    page: dict[str, Any] = {
        "namespaces": shown,
        "first": f"{path}?{urlencode(items)}" if items else path,
        "schema": "/v2/schemas/metadefs/namespaces",
    }
    if shown and len(shown) == limit:
        page["next"] = f"{path}?{urlencode([*items, ('marker', shown[-1]['namespace'])])}"
    return page


def _path(row: MetadefNamespace) -> str:
    return f"/v2/metadefs/namespaces/{quote(row.namespace, safe=':')}"


def _whole(
    connection: Connection, row: MetadefNamespace, resource_type: str | None = None
) -> dict[str, Any]:
    """With all that is in it."""
    (shown,) = _render(connection, [row])
    associated = store.associations(connection, [row.id])
    prefix = "".join(
        each.prefix or "" for each in associated if each.resource_type == resource_type
    )
    found = {kind: store.items(connection, row.id, kind) for kind in MetadefKind}
    if found[MetadefKind.PROPERTY]:
        shown["properties"] = {
            f"{prefix}{each.name}": each.body for each in found[MetadefKind.PROPERTY]
        }
    if found[MetadefKind.OBJECT]:
        shown["objects"] = [
            metadef_item.render_object(row.namespace, each, prefix)
            for each in found[MetadefKind.OBJECT]
        ]
    if found[MetadefKind.TAG]:
        shown["tags"] = [{"name": each.name} for each in found[MetadefKind.TAG]]
    return shown


def _render(connection: Connection, rows: Sequence[MetadefNamespace]) -> list[dict[str, Any]]:
    of: dict[str, list[MetadefAssociation]] = {row.id: [] for row in rows}
    for each in store.associations(connection, list(of)):
        of[each.namespace_id].append(each)
    return [_one(row, of[row.id]) for row in rows]


def _one(row: MetadefNamespace, associated: list[MetadefAssociation]) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "namespace": row.namespace,
        "visibility": row.visibility,
        "protected": row.protected,
        "owner": row.owner,
        "created_at": moment(row.created_at),
        "updated_at": moment(row.updated_at),
        "self": _path(row),
        "schema": "/v2/schemas/metadefs/namespace",
    }
    for name in ("display_name", "description"):
        if getattr(row, name) is not None:
            shown[name] = getattr(row, name)
    if associated:
        shown["resource_type_associations"] = [render_association(each) for each in associated]
    return shown


def render_association(row: MetadefAssociation) -> dict[str, Any]:
    shown = {
        "name": row.resource_type,
        "prefix": row.prefix,
        "properties_target": row.properties_target,
        "created_at": moment(row.created_at),
        "updated_at": moment(row.updated_at),
    }
    return {name: value for name, value in shown.items() if value is not None}
