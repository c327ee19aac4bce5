"""Types of resources, and the namespaces of metadata definitions that are for them."""

from __future__ import annotations

from kumoi.cloud.api.image import metadef_body
from kumoi.cloud.api.image.metadef_body import AssociationBody
from kumoi.cloud.api.image.metadef_namespace import render_association
from kumoi.cloud.api.request import Request
from kumoi.cloud.domain.image import metadef as domain
from kumoi.cloud.store.image import metadef as store
from kumoi.engine import audit
from kumoi.engine.http.request import Reply


def index(request: Request) -> Reply:
    with request.read() as connection:
        names = domain.resource_types(connection)
    shown = [{"name": name} for name in names]
    return Reply(200, {"resource_types": shown})


def of_namespace(request: Request) -> Reply:
    with request.read() as connection:
        row = domain.get(connection, request.caller, request.path["namespace"])
        found = store.associations(connection, [row.id])
    shown = [render_association(each) for each in found]
    return Reply(200, {"resource_type_associations": shown})


def associate(request: Request) -> Reply:
    body = metadef_body.parse(request, AssociationBody)
    with request.write() as connection:
        row = domain.get(connection, request.caller, request.path["namespace"])
        wanted = metadef_body.association(body)
        made = domain.associate(connection, row, wanted, request.services.clock.now())
        audit.about(row.id)
    return Reply(201, render_association(made))


def dissociate(request: Request) -> Reply:
    with request.write() as connection:
        row = domain.get(connection, request.caller, request.path["namespace"])
        domain.dissociate(connection, row, request.path["name"])
    return Reply(204)
