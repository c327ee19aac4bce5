"""Images as compute showed them before there was an image API; until 2.35."""

from __future__ import annotations

from typing import Any

from kumoi.cloud.api.compute import rendering
from kumoi.cloud.api.request import Reply, Request
from kumoi.cloud.domain.image import content
from kumoi.cloud.domain.image import image as domain
from kumoi.cloud.store.image.image import Image
from kumoi.cloud.store.image.image_filter import Wanted
from kumoi.cloud.store.listing import Listing, Sort

STATUSES = {
    "active": "ACTIVE",
    "queued": "SAVING",
    "saving": "SAVING",
    "importing": "SAVING",
    "killed": "ERROR",
}
DONE, HALF_WAY = 100, 50


def index(request: Request) -> Reply:
    return _list(request, detail=False)


def detail(request: Request) -> Reply:
    return _list(request, detail=True)


def show(request: Request) -> Reply:
    with request.read() as connection:
        found = domain.get(connection, request.caller, request.path["id"])
    return Reply(200, {"image": _detail(request, found)})


def delete(request: Request) -> Reply:
    with request.write() as connection:
        gone = domain.delete(connection, request.caller, request.path["id"])
    if gone.sha256 is not None:
        content.discard(request.services.database, request.services.settings, gone.sha256)
    return Reply(204)


def metadata(request: Request) -> Reply:
    with request.read() as connection:
        found = domain.get(connection, request.caller, request.path["id"])
    return Reply(200, {"metadata": dict(found.properties)})


def _list(request: Request, *, detail: bool) -> Reply:
    most = rendering.limit(request)
    name = request.query.get("name")
    listing = Listing(
        filters={"name": [name]} if name is not None else {},
        sorts=(Sort("created_at", descending=True),),
        limit=rendering.PAGE_MAX if most is None else most,
        marker=request.query.get("marker"),
    )
    with request.read() as connection:
        found = domain.page(connection, request.caller, Wanted(), listing)
    shown = [_detail(request, row) if detail else _brief(request, row) for row in found]
    return Reply(200, rendering.page(request, "images", shown, [row.id for row in found], most))


def _brief(request: Request, row: Image) -> dict[str, Any]:
    settings = request.services.settings
    alternate = {
        "rel": "alternate",
        "type": "application/vnd.openstack.image",
        "href": f"{settings.api_url}/image/images/{row.id}",
    }
    return {
        "id": row.id,
        "name": row.name,
        "links": [*rendering.links(request, f"images/{row.id}"), alternate],
    }


def _detail(request: Request, row: Image) -> dict[str, Any]:
    shown = _brief(request, row) | {
        "created": rendering.time(row.created_at),
        "updated": rendering.time(row.updated_at),
        "status": STATUSES.get(row.status, "UNKNOWN"),
        "progress": DONE if row.status == "active" else HALF_WAY,
        "minDisk": row.min_disk,
        "minRam": row.min_ram,
        "metadata": dict(row.properties),
        "OS-EXT-IMG-SIZE:size": row.size,
    }
    server_id = row.properties.get("instance_uuid")
    if server_id:
        shown["server"] = {
            "id": server_id,
            "links": rendering.links(request, f"servers/{server_id}"),
        }
    return shown
