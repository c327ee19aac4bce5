"""What is in a namespace of metadata definitions: its objects, properties and tags."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import msgspec
from sqlalchemy.engine import Connection

from kumoi.base.errors import Invalid
from kumoi.cloud.api.image import metadef_body
from kumoi.cloud.api.image.image import moment
from kumoi.cloud.api.image.metadef_body import Name, ObjectBody, PropertyBody, TagBody, TagsBody
from kumoi.cloud.api.request import Request
from kumoi.cloud.domain.image import metadef as domain
from kumoi.cloud.store.image import metadef as store
from kumoi.cloud.store.image.metadef import MetadefItem, MetadefKind, MetadefNamespace
from kumoi.engine import audit
from kumoi.engine.http import paging
from kumoi.engine.http.request import Reply

APPEND = "X-Openstack-Append"  # Tags are added to those that there are, not put in their place.


def create_object(request: Request) -> Reply:
    body = metadef_body.parse(request, ObjectBody)
    row, made = _add(request, MetadefKind.OBJECT, body.name, metadef_body.object_body(body))
    return Reply(201, render_object(row.namespace, made))


def list_objects(request: Request) -> Reply:
    with request.read() as connection:
        row = _namespace(request, connection)
        found = store.items(connection, row.id, MetadefKind.OBJECT)
    shown = [render_object(row.namespace, each) for each in found]
    return Reply(200, {"objects": shown, "schema": "/v2/schemas/metadefs/objects"})


def show_object(request: Request) -> Reply:
    row, found = _shown(request, MetadefKind.OBJECT)
    return Reply(200, render_object(row.namespace, found))


def update_object(request: Request) -> Reply:
    body = metadef_body.parse(request, ObjectBody)
    values = metadef_body.object_body(body)
    row, changed = _replace(request, MetadefKind.OBJECT, body.name, values)
    return Reply(200, render_object(row.namespace, changed))


def delete_object(request: Request) -> Reply:
    return _delete(request, MetadefKind.OBJECT)


def delete_objects(request: Request) -> Reply:
    return _delete_all(request, MetadefKind.OBJECT)


def create_property(request: Request) -> Reply:
    body = metadef_body.parse(request, PropertyBody)
    name = _named(body)
    _, made = _add(request, MetadefKind.PROPERTY, name, metadef_body.property_body(body))
    return Reply(201, _render_property(made))


def list_properties(request: Request) -> Reply:
    with request.read() as connection:
        row = _namespace(request, connection)
        found = store.items(connection, row.id, MetadefKind.PROPERTY)
    shown = {each.name: _render_property(each) for each in found}
    return Reply(200, {"properties": shown})


def show_property(request: Request) -> Reply:
    _, found = _shown(request, MetadefKind.PROPERTY)
    return Reply(200, _render_property(found))


def update_property(request: Request) -> Reply:
    body = metadef_body.parse(request, PropertyBody)
    values = metadef_body.property_body(body)
    _, changed = _replace(request, MetadefKind.PROPERTY, _named(body), values)
    return Reply(200, _render_property(changed))


def delete_property(request: Request) -> Reply:
    return _delete(request, MetadefKind.PROPERTY)


def delete_properties(request: Request) -> Reply:
    return _delete_all(request, MetadefKind.PROPERTY)


def create_tag(request: Request) -> Reply:
    """Its name is the path's; a body is not looked at."""
    try:
        name = msgspec.convert(request.path["name"], Name)
    except msgspec.ValidationError as cause:
        raise Invalid(f"Invalid tag: {cause}", field="name") from cause
    _, made = _add(request, MetadefKind.TAG, name, {})
    return Reply(201, _render_tag(made))


def create_tags(request: Request) -> Reply:
    """These in place of those that there are, or beside them."""
    names = list(dict.fromkeys(each.name for each in request.parse(TagsBody).tags))
    appends = paging.boolean(request.http.headers.get(APPEND, "false"), APPEND)
    with request.write() as connection:
        row, now = _namespace(request, connection), request.services.clock.now()
        if not appends:
            domain.require_unprotected(row)
            store.delete_items(connection, row.id, MetadefKind.TAG)
        domain.add_items(connection, row, MetadefKind.TAG, {name: {} for name in names}, now)
        audit.about(row.id)
    return Reply(201, {"tags": [{"name": name} for name in names]})


def list_tags(request: Request) -> Reply:
    with request.read() as connection:
        row = _namespace(request, connection)
        found = store.items(connection, row.id, MetadefKind.TAG)
    return Reply(200, {"tags": [{"name": each.name} for each in found]})


def show_tag(request: Request) -> Reply:
    _, found = _shown(request, MetadefKind.TAG)
    return Reply(200, _render_tag(found))


def update_tag(request: Request) -> Reply:
    body = metadef_body.parse(request, TagBody)
    _, changed = _replace(request, MetadefKind.TAG, body.name, {})
    return Reply(200, _render_tag(changed))


def delete_tag(request: Request) -> Reply:
    return _delete(request, MetadefKind.TAG)


def delete_tags(request: Request) -> Reply:
    return _delete_all(request, MetadefKind.TAG)


def render_object(namespace: str, row: MetadefItem, prefix: str = "") -> dict[str, Any]:
    body = dict(row.body)
    body["properties"] = {
        f"{prefix}{name}": each for name, each in body.get("properties", {}).items()
    }
    if "required" in body:
        body["required"] = [f"{prefix}{name}" for name in body["required"]]
    path = f"/v2/metadefs/namespaces/{quote(namespace, safe=':')}/objects/{quote(row.name)}"
    return {
        **body,
        "name": row.name,
        "created_at": moment(row.created_at),
        "updated_at": moment(row.updated_at),
        "self": path,
        "schema": "/v2/schemas/metadefs/object",
    }


def _render_property(row: MetadefItem) -> dict[str, Any]:
    return {**row.body, "name": row.name}


def _render_tag(row: MetadefItem) -> dict[str, Any]:
    return {
        "name": row.name,
        "created_at": moment(row.created_at),
        "updated_at": moment(row.updated_at),
    }


def _named(body: PropertyBody) -> str:
    if not isinstance(body.name, str):
        raise Invalid("A property needs a name", field="name")
    return body.name


def _namespace(request: Request, connection: Connection) -> MetadefNamespace:
    return domain.get(connection, request.caller, request.path["namespace"])


def _shown(request: Request, kind: MetadefKind) -> tuple[MetadefNamespace, MetadefItem]:
    with request.read() as connection:
        row = _namespace(request, connection)
        return row, domain.get_item(connection, row, kind, request.path["name"])


def _add(
    request: Request, kind: MetadefKind, name: str, body: dict[str, Any]
) -> tuple[MetadefNamespace, MetadefItem]:
    with request.write() as connection:
        row = _namespace(request, connection)
        now = request.services.clock.now()
        (made,) = domain.add_items(connection, row, kind, {name: body}, now)
        audit.about(made.id)
    return row, made


def _replace(
    request: Request, kind: MetadefKind, name: str, body: dict[str, Any]
) -> tuple[MetadefNamespace, MetadefItem]:
    with request.write() as connection:
        row = _namespace(request, connection)
        found = domain.get_item(connection, row, kind, request.path["name"])
        now = request.services.clock.now()
        return row, domain.replace_item(connection, row, found, name=name, body=body, now=now)


def _delete(request: Request, kind: MetadefKind) -> Reply:
    with request.write() as connection:
        row = _namespace(request, connection)
        found = domain.get_item(connection, row, kind, request.path["name"])
        domain.delete_item(connection, row, found)
    return Reply(204)


def _delete_all(request: Request, kind: MetadefKind) -> Reply:
    with request.write() as connection:
        row = _namespace(request, connection)
        domain.require_unprotected(row)
        store.delete_items(connection, row.id, kind)
    return Reply(204)
