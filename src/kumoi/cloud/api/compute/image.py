"""Images as compute showed them before there was an image API, until 2.35. Tools of that time wait
here for the image that createImage makes, and delete it here.
"""

from __future__ import annotations

from typing import Any

from kumoi.cloud.api.compute import rendering
from kumoi.cloud.api.request import Request
from kumoi.cloud.domain.image import content
from kumoi.cloud.domain.image import image as domain
from kumoi.cloud.store.image.image import Image
from kumoi.engine.http.request import Reply

STATUSES = {
    "active": "ACTIVE",
    "queued": "SAVING",
    "saving": "SAVING",
    "importing": "SAVING",
    "killed": "ERROR",
}
DONE, HALF_WAY = 100, 50


def show(request: Request) -> Reply:
    with request.read() as connection:
        found = domain.get(connection, request.caller, request.path["id"])
    return Reply(200, {"image": _render(request, found)})


def delete(request: Request) -> Reply:
    with request.write() as connection:
        deleted = domain.delete(connection, request.caller, request.path["id"])
    if deleted.sha256 is not None:
        content.discard(request.services.database, request.services.images, deleted.sha256)
    return Reply(204)


def url(request: Request, image_id: str) -> str:
    """The image's URL at the image API."""
    return f"{request.services.cloud.api_url}/image/v2/images/{image_id}"


def _render(request: Request, row: Image) -> dict[str, Any]:
    alternate = {
        "rel": "alternate",
        "type": "application/vnd.openstack.image",
        "href": url(request, row.id),
    }
    shown: dict[str, Any] = {
        "id": row.id,
        "name": row.name,
        "links": [*rendering.links(request, f"images/{row.id}"), alternate],
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
