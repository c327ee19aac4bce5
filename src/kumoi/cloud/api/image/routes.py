"""The image API: every route with its policy. Whose image it is, the domain asks."""

from __future__ import annotations

from kumoi.cloud.api import errors
from kumoi.cloud.api.image import error_page, file, image, member, schemas, version
from kumoi.cloud.api.token import SCHEMES
from kumoi.engine.http.routing import OPEN, Route
from kumoi.engine.http.service import Service
from kumoi.policy.table import TABLE

IMAGES = (
    Route("GET", "/", version.index, OPEN),
    Route("GET", "/versions", version.show, OPEN),
    Route("POST", "/v2/images", image.create, "add_image"),
    Route("GET", "/v2/images", image.index, "get_images"),
    Route("GET", "/v2/images/{id}", image.show, "get_image"),
    Route("PATCH", "/v2/images/{id}", image.update, "modify_image"),
    Route("DELETE", "/v2/images/{id}", image.delete, "delete_image"),
    Route("PUT", "/v2/images/{id}/file", file.upload, "upload_image", streams=True),
    Route("GET", "/v2/images/{id}/file", file.download, "download_image", streams=True),
    Route("POST", "/v2/images/{id}/actions/deactivate", image.deactivate, "deactivate"),
    Route("POST", "/v2/images/{id}/actions/reactivate", image.reactivate, "reactivate"),
    Route("PUT", "/v2/images/{id}/tags/{tag}", image.set_tag, "modify_image"),
    Route("DELETE", "/v2/images/{id}/tags/{tag}", image.remove_tag, "modify_image"),
)

MEMBERS = (
    Route("POST", "/v2/images/{id}/members", member.create, "add_member"),
    Route("GET", "/v2/images/{id}/members", member.index, "get_members"),
    Route("GET", "/v2/images/{id}/members/{member_id}", member.show, "get_member"),
    Route("PUT", "/v2/images/{id}/members/{member_id}", member.update, "modify_member"),
    Route("DELETE", "/v2/images/{id}/members/{member_id}", member.delete, "delete_member"),
)

ABOUT = (
    Route("GET", "/v2/schemas/image", schemas.image, "get_image_schema"),
    Route("GET", "/v2/schemas/images", schemas.images, "get_image_schema"),
    Route("GET", "/v2/schemas/member", schemas.member, "get_image_schema"),
    Route("GET", "/v2/schemas/members", schemas.members, "get_image_schema"),
    Route("GET", "/v2/info/import", version.import_methods, "get_import_info"),
)

SERVICE = Service(
    type="image",
    prefix="image",
    routes=(*IMAGES, *MEMBERS, *ABOUT),
    policies=TABLE,
    schemes=SCHEMES,
    envelope=errors.image,
    refusal=error_page.refusal,
    challenge=errors.CHALLENGE,
)
