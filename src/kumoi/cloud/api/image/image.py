"""Images: what is accepted and what is shown."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from urllib.parse import urlencode

import msgspec

from kumoi.cloud.api.image import body, query
from kumoi.cloud.api.image.version import METHODS, STORE
from kumoi.cloud.api.request import Request
from kumoi.cloud.domain.image import content, patch
from kumoi.cloud.domain.image import image as domain
from kumoi.cloud.store.image.image import Image
from kumoi.cloud.store.listing import Listing
from kumoi.engine import audit
from kumoi.engine.http.paging import QueryMemo
from kumoi.engine.http.request import Reply, encoded
from kumoi.engine.memo import Memo

HASH_ALGORITHM = "sha512"
WITH_CONTENT = frozenset({"active", "deactivated"})


def create(request: Request) -> Reply:
    wanted = body.new(request)
    with request.write() as connection:
        now = request.services.clock.now()
        made = domain.create(connection, request.caller, wanted, now)
        audit.about(made.id)
    headers = {
        "Location": f"{request.base}/v2/images/{made.id}",
        "OpenStack-image-import-methods": ",".join(METHODS),
    }
    return Reply(201, render(made), headers)


def index(request: Request) -> Reply:
    wanted, listing = _QUERIES.of(request)
    if listing.limit == 0:
        return Reply(200, _page(request, [], listing))
    with request.read() as connection:
        found = domain.page(connection, request.caller, wanted, listing)
    return Reply(200, _page(request, found, listing))


def show(request: Request) -> Reply:
    with request.read() as connection:
        found = domain.get(connection, request.caller, request.path["id"])
    return Reply(200, render(found))


def update(request: Request) -> Reply:
    steps = body.changes(request)
    with request.write() as connection:
        row = domain.owned(connection, request.caller, request.path["id"])
        changed = patch.apply(row, steps)
        now = request.services.clock.now()
        changed = domain.update(connection, request.caller, row, changed, now)
    return Reply(200, render(changed))


def delete(request: Request) -> Reply:
    with request.write() as connection:
        deleted = domain.delete(connection, request.caller, request.path["id"])
    if deleted.sha256 is not None:
        content.discard(request.services.database, request.services.images, deleted.sha256)
    return Reply(204)


def deactivate(request: Request) -> Reply:
    with request.write() as connection:
        now = request.services.clock.now()
        domain.deactivate(connection, request.caller, request.path["id"], now)
    return Reply(204)


def reactivate(request: Request) -> Reply:
    with request.write() as connection:
        now = request.services.clock.now()
        domain.reactivate(connection, request.caller, request.path["id"], now)
    return Reply(204)


def set_tag(request: Request) -> Reply:
    tag = body.tag(request.path["tag"])
    with request.write() as connection:
        now = request.services.clock.now()
        domain.set_tag(connection, request.caller, request.path["id"], tag, now)
    return Reply(204)


def remove_tag(request: Request) -> Reply:
    with request.write() as connection:
        key, tag = request.path["id"], request.path["tag"]
        domain.remove_tag(connection, request.caller, key, tag, request.services.clock.now())
    return Reply(204)


def _page(request: Request, found: list[Image], listing: Listing) -> dict[str, Any]:
    """Links are paths, as Glance writes them."""
    query_items = [(k, v) for k, v in request.query.multi_items() if k != "marker"]
    shown: dict[str, Any] = {
        "images": [_SHOWN.get((row,)) for row in found],
        "first": "/v2/images" + (f"?{urlencode(query_items)}" if query_items else ""),
        "schema": "/v2/schemas/images",
    }
    if found and len(found) == listing.limit:
        following = urlencode([*query_items, ("marker", found[-1].id)])
        shown["next"] = f"/v2/images?{following}"
    return shown


def render(row: Image) -> dict[str, Any]:
    """An image's properties are on the same level as the API's attributes. What is staged is not content yet."""
    has_content = row.status in WITH_CONTENT
    return {
        **row.properties,
        "id": row.id,
        "name": row.name,
        "status": row.status,
        "visibility": row.visibility,
        "owner": row.owner,
        "protected": row.protected,
        "os_hidden": row.os_hidden,
        "container_format": row.container_format,
        "disk_format": row.disk_format,
        "min_disk": row.min_disk,
        "min_ram": row.min_ram,
        "size": row.size if has_content else None,
        "virtual_size": row.virtual_size if has_content else None,
        "checksum": row.checksum if has_content else None,
        "os_hash_algo": HASH_ALGORITHM if row.sha512 and has_content else None,
        "os_hash_value": row.sha512 if has_content else None,
        **({"stores": STORE} if has_content else {}),
        "tags": list(row.tags),
        "created_at": moment(row.created_at),
        "updated_at": moment(row.updated_at),
        "self": f"/v2/images/{row.id}",
        "file": f"/v2/images/{row.id}/file",
        "schema": "/v2/schemas/image",
    }


def _encode(nouns: tuple[Image]) -> msgspec.Raw:
    return encoded(render(*nouns))


_SHOWN = Memo(_encode)
_QUERIES = QueryMemo(lambda request: (query.wanted(request), query.listing(request)))


def moment(at: datetime) -> str:
    """As Glance writes a time: 2026-01-01T12:00:00Z."""
    return f"{at.isoformat()[:19]}Z"  # Times of the store are in UTC.
