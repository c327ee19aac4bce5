"""The image API: every route with its policy. Whose image it is, the domain asks."""

from __future__ import annotations

from kumoi.cloud.api import errors
from kumoi.cloud.api.image import (
    error_page,
    file,
    image,
    image_import,
    member,
    metadef_item,
    metadef_namespace,
    metadef_resource_type,
    quota,
    schemas,
    task,
    unoffered,
    version,
)
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
    Route("GET", "/v2/schemas/metadefs/{name}", schemas.metadef, "get_image_schema"),
    Route("GET", "/v2/info/stores", version.stores, "get_import_info"),
    Route("GET", "/v2/info/import", version.import_methods, "get_import_info"),
    Route("GET", "/v2/info/usage", quota.usage, "get_image_usage"),
)

NAMESPACES = "/v2/metadefs/namespaces"
NAMESPACE = f"{NAMESPACES}/{{namespace}}"
TYPES = f"{NAMESPACE}/resource_types"
METADEFS = (
    Route("POST", NAMESPACES, metadef_namespace.create, "add_metadef_namespace"),
    Route("GET", NAMESPACES, metadef_namespace.index, "get_metadef_namespaces"),
    Route("GET", NAMESPACE, metadef_namespace.show, "get_metadef_namespace"),
    Route("PUT", NAMESPACE, metadef_namespace.update, "modify_metadef_namespace"),
    Route("DELETE", NAMESPACE, metadef_namespace.delete, "delete_metadef_namespace"),
    Route(
        "GET",
        "/v2/metadefs/resource_types",
        metadef_resource_type.index,
        "list_metadef_resource_types",
    ),
    Route("GET", TYPES, metadef_resource_type.of_namespace, "get_metadef_resource_type"),
    Route(
        "POST",
        TYPES,
        metadef_resource_type.associate,
        "add_metadef_resource_type_association",
    ),
    Route(
        "DELETE",
        f"{TYPES}/{{name}}",
        metadef_resource_type.dissociate,
        "remove_metadef_resource_type_association",
    ),
)

# Objects, properties and tags of a namespace.
METADEF_ITEMS = tuple(
    Route(method, f"{NAMESPACE}/{path}", handler, policy)
    for method, path, handler, policy in (
        ("POST", "objects", metadef_item.create_object, "add_metadef_object"),
        ("GET", "objects", metadef_item.list_objects, "get_metadef_objects"),
        ("DELETE", "objects", metadef_item.delete_objects, "delete_metadef_namespace"),
        ("GET", "objects/{name}", metadef_item.show_object, "get_metadef_object"),
        ("PUT", "objects/{name}", metadef_item.update_object, "modify_metadef_object"),
        ("DELETE", "objects/{name}", metadef_item.delete_object, "delete_metadef_object"),
        ("POST", "properties", metadef_item.create_property, "add_metadef_property"),
        ("GET", "properties", metadef_item.list_properties, "get_metadef_properties"),
        ("DELETE", "properties", metadef_item.delete_properties, "delete_metadef_namespace"),
        ("GET", "properties/{name}", metadef_item.show_property, "get_metadef_property"),
        ("PUT", "properties/{name}", metadef_item.update_property, "modify_metadef_property"),
        ("DELETE", "properties/{name}", metadef_item.delete_property, "remove_metadef_property"),
        ("POST", "tags", metadef_item.create_tags, "add_metadef_tags"),
        ("GET", "tags", metadef_item.list_tags, "get_metadef_tags"),
        ("DELETE", "tags", metadef_item.delete_tags, "delete_metadef_tags"),
        ("POST", "tags/{name}", metadef_item.create_tag, "add_metadef_tag"),
        ("GET", "tags/{name}", metadef_item.show_tag, "get_metadef_tag"),
        ("PUT", "tags/{name}", metadef_item.update_tag, "modify_metadef_tag"),
        ("DELETE", "tags/{name}", metadef_item.delete_tag, "delete_metadef_tag"),
    )
)

IMPORTS = (
    Route("PUT", "/v2/images/{id}/stage", file.stage, "upload_image", streams=True),
    Route("POST", "/v2/images/{id}/import", image_import.create, "import_image", streams=True),
    Route("GET", "/v2/images/{id}/tasks", task.of_image, "get_image"),
    Route("GET", "/v2/tasks", task.index, "tasks_api_access"),
    Route("POST", "/v2/tasks", task.create, "tasks_api_access"),
    Route("GET", "/v2/tasks/{id}", task.show, "tasks_api_access"),
)

UNOFFERED = (
    Route("GET", "/v2/cache", unoffered.cache, "cache_list"),
    Route("DELETE", "/v2/cache", unoffered.cache, "cache_delete"),
    Route("PUT", "/v2/cache/{id}", unoffered.cache, "cache_image"),
    Route("DELETE", "/v2/cache/{id}", unoffered.cache, "cache_delete"),
)

SERVICE = Service(
    type="image",
    prefix="image",
    routes=(*IMAGES, *MEMBERS, *METADEFS, *METADEF_ITEMS, *ABOUT, *IMPORTS, *UNOFFERED),
    policies=TABLE,
    schemes=SCHEMES,
    envelope=errors.image,
    refusal=error_page.refusal,
    challenge=errors.CHALLENGE,
)
