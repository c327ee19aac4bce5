"""The image API: every route with its policy. Whose image it is, the domain asks."""

from __future__ import annotations

from kumoi.cloud.api import errors
from kumoi.cloud.api.image import file, image, member, schemas, version
from kumoi.cloud.api.policy import Rule, anybody, reader
from kumoi.cloud.api.policy import member as member_role
from kumoi.cloud.api.token import SCHEMES
from kumoi.engine.http.routing import OPEN, Route
from kumoi.engine.http.service import Service

IMAGES = (
    Route("GET", "/", version.index, OPEN),
    Route("GET", "/versions", version.show, OPEN),
    Route("POST", "/v2/images", image.create, "image:image:create"),
    Route("GET", "/v2/images", image.index, "image:image:list"),
    Route("GET", "/v2/images/{id}", image.show, "image:image:show"),
    Route("PATCH", "/v2/images/{id}", image.update, "image:image:update"),
    Route("DELETE", "/v2/images/{id}", image.delete, "image:image:delete"),
    Route("PUT", "/v2/images/{id}/file", file.upload, "image:image:upload", streams=True),
    Route("GET", "/v2/images/{id}/file", file.download, "image:image:download", streams=True),
    Route("POST", "/v2/images/{id}/actions/deactivate", image.deactivate, "image:image:update"),
    Route("POST", "/v2/images/{id}/actions/reactivate", image.reactivate, "image:image:update"),
    Route("PUT", "/v2/images/{id}/tags/{tag}", image.set_tag, "image:image:update"),
    Route("DELETE", "/v2/images/{id}/tags/{tag}", image.remove_tag, "image:image:update"),
)

MEMBERS = (
    Route("POST", "/v2/images/{id}/members", member.create, "image:member:create"),
    Route("GET", "/v2/images/{id}/members", member.index, "image:member:list"),
    Route("GET", "/v2/images/{id}/members/{member_id}", member.show, "image:member:show"),
    Route("PUT", "/v2/images/{id}/members/{member_id}", member.update, "image:member:update"),
    Route("DELETE", "/v2/images/{id}/members/{member_id}", member.delete, "image:member:delete"),
)

ABOUT = (
    Route("GET", "/v2/schemas/image", schemas.image, "image:schema:show"),
    Route("GET", "/v2/schemas/images", schemas.images, "image:schema:show"),
    Route("GET", "/v2/schemas/member", schemas.member, "image:schema:show"),
    Route("GET", "/v2/schemas/members", schemas.members, "image:schema:show"),
    Route("GET", "/v2/info/import", version.import_methods, "image:schema:show"),
)

POLICIES: dict[str, Rule] = {
    "image:image:create": member_role,
    "image:image:list": reader,
    "image:image:show": reader,
    "image:image:update": member_role,
    "image:image:delete": member_role,
    "image:image:upload": member_role,
    "image:image:download": reader,
    "image:member:create": member_role,
    "image:member:list": reader,
    "image:member:show": reader,
    "image:member:update": member_role,
    "image:member:delete": member_role,
    "image:schema:show": anybody,
}

SERVICE = Service(
    type="image",
    prefix="image",
    routes=(*IMAGES, *MEMBERS, *ABOUT),
    policies=POLICIES,
    schemes=SCHEMES,
    envelope=errors.image,
    challenge=errors.CHALLENGE,
)
