"""Tasks of images: what is shown. One is made by an import, and by nothing else."""

from __future__ import annotations

from typing import Any

from kumoi.base.errors import Unsupported
from kumoi.cloud.api.image.image import moment
from kumoi.cloud.api.image.query import PAGE
from kumoi.cloud.api.request import Request
from kumoi.cloud.domain.image import image_import as domain
from kumoi.cloud.store.image.task import ImageTask
from kumoi.cloud.store.listing import Listing, Sort
from kumoi.engine.http import paging
from kumoi.engine.http.request import Reply

TYPE = "api_image_import"
INSTEAD = "a task is made by POST /v2/images/ID/import, and by nothing else"


def index(request: Request) -> Reply:
    """Newest first, without what was asked for and what came of it, as Glance shows them."""
    filters: dict[str, Any] = {
        name: [request.query[name]] for name in ("status", "owner") if name in request.query
    }
    if request.query.get("type", TYPE) != TYPE:
        filters["id"] = []
    wanted = Listing(
        filters=filters,
        sorts=(Sort("created_at", descending=True),),
        limit=paging.limit(request, default=PAGE),
        marker=request.query.get("marker"),
    )
    with request.read() as connection:
        rows = domain.page(connection, wanted)
    shown: dict[str, Any] = {
        "tasks": [_brief(row) for row in rows],
        "first": "/v2/tasks",
        "schema": "/v2/schemas/tasks",
    }
    if rows and len(rows) == wanted.limit:
        shown["next"] = f"/v2/tasks?limit={wanted.limit}&marker={rows[-1].id}"
    return Reply(200, shown)


def show(request: Request) -> Reply:
    with request.read() as connection:
        row = domain.get(connection, request.path["id"])
    return Reply(200, _render(row))


def create(_request: Request) -> Reply:
    raise Unsupported(INSTEAD)


def of_image(request: Request) -> Reply:
    with request.read() as connection:
        rows = domain.of_image(connection, request.caller, request.path["id"])
    return Reply(200, {"tasks": [_render(row) for row in rows]})


def _brief(row: ImageTask) -> dict[str, Any]:
    return {
        "id": row.id,
        "type": TYPE,
        "status": row.status,
        "owner": row.owner,
        "created_at": moment(row.created_at),
        "updated_at": moment(row.updated_at),
        "expires_at": moment(row.expires_at),
        "self": f"/v2/tasks/{row.id}",
        "schema": "/v2/schemas/task",
    }


def _render(row: ImageTask) -> dict[str, Any]:
    return {
        **_brief(row),
        "image_id": row.image_id,
        "request_id": row.request_id,
        "user_id": row.user_id,
        "input": {"image_id": row.image_id, "import_req": row.input},
        "result": {"image_id": row.image_id},
        "message": row.message,
    }
