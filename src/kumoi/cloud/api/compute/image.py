"""Images as compute showed them before there was an image API, until 2.35. Tools of that time wait
here for the image that createImage makes, and delete it here.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from kumoi.cloud.api.compute import rendering, shapes
from kumoi.cloud.api.request import Request
from kumoi.cloud.domain.image import content
from kumoi.cloud.domain.image import image as domain
from kumoi.cloud.store.image.image import Image
from kumoi.cloud.store.image.image_filter import ImageFilter, TimeFilter
from kumoi.cloud.store.listing import Listing, Sort
from kumoi.engine.http.request import Reply

STATUSES = {
    "active": "ACTIVE",
    "queued": "SAVING",
    "saving": "SAVING",
    "importing": "SAVING",
    "killed": "ERROR",
}
DONE, HALF_WAY = 100, 50
PROPERTY = "property-"


def index(request: Request) -> Reply:
    return _list(request, _named)


def detail(request: Request) -> Reply:
    return _list(request, _render)


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


def _list(request: Request, shown: Any) -> Reply:
    wanted, listing = _filter(request), _listing(request)
    if listing.limit == 0:
        return Reply(200, {"images": []})
    with request.read() as connection:
        found = domain.page(connection, request.caller, wanted, listing)
    ids = [row.id for row in found]
    images = [shown(request, row) for row in found]
    return Reply(200, rendering.page(request, "images", images, ids, listing.limit or 0))


def _listing(request: Request) -> Listing:
    """Newest first, as the image API lists them. Raises Invalid, which names the parameter."""
    query = request.query
    filters: dict[str, Any] = {}
    if "name" in query:
        filters["name"] = [query["name"]]
    if "status" in query:
        filters["status"] = _statuses(query["status"].upper())
    for name, column in (("minRam", "min_ram"), ("minDisk", "min_disk")):
        if name in query:
            filters[column] = [shapes.count(query[name], name)]
    return Listing(
        filters=filters,
        sorts=(Sort("created_at", descending=True),),
        limit=rendering.limit(request),
        marker=query.get("marker"),
    )


def _statuses(wanted: str) -> list[str]:
    """The image API's words for one of compute's, which may be none."""
    return [word for word, shown in STATUSES.items() if shown == wanted] or [wanted.lower()]


def _filter(request: Request) -> ImageFilter:
    """By properties: those that compute has a name for, and any as `property-NAME`."""
    query = request.query
    properties = {
        name.removeprefix(PROPERTY): query[name] for name in query if name.startswith(PROPERTY)
    }
    if "server" in query:  # An id, or the URL of one.
        properties["instance_uuid"] = query["server"].rpartition("/")[2]
    if "type" in query:
        properties["image_type"] = query["type"]
    changed: list[datetime] = []
    if query.get("changes-since"):
        changed.append(shapes.moment(query["changes-since"], "changes-since"))
    return ImageFilter(
        properties=properties,
        times=[TimeFilter("updated_at", "gte", moment) for moment in changed],
    )


def _named(request: Request, row: Image) -> dict[str, Any]:
    alternate = {
        "rel": "alternate",
        "type": "application/vnd.openstack.image",
        "href": url(request, row.id),
    }
    links = [*rendering.links(request, f"images/{row.id}"), alternate]
    return {"id": row.id, "name": row.name, "links": links}


def _render(request: Request, row: Image) -> dict[str, Any]:
    shown: dict[str, Any] = {
        **_named(request, row),
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
