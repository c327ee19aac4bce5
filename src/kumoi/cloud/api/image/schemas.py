"""JSON schemas of what the image API shows: clients fetch them to know the attributes."""

from __future__ import annotations

from typing import Any, get_args

from kumoi.base.errors import NotFound
from kumoi.cloud.api.image import metadef_schemas
from kumoi.cloud.api.request import Request
from kumoi.cloud.domain.image.formats import ContainerFormat, DiskFormat
from kumoi.engine.http.request import Reply

STRING = {"type": "string", "maxLength": 255}
READ_ONLY = {"readOnly": True}
TIME = {"type": "string", "format": "date-time", **READ_ONLY}

IMAGE_PROPERTIES: dict[str, dict[str, Any]] = {
    "id": {"type": "string", "description": "An identifier for the image"},
    "name": {"type": ["null", "string"], "maxLength": 255},
    "status": {
        "type": "string",
        "enum": [
            *("queued", "saving", "active", "killed", "deleted", "deactivated"),
            *("uploading", "importing"),
        ],
        **READ_ONLY,
    },
    "visibility": {"type": "string", "enum": ["community", "public", "private", "shared"]},
    "owner": {"type": ["null", "string"], "maxLength": 255},
    "protected": {"type": "boolean"},
    "os_hidden": {"type": "boolean"},
    "container_format": {"type": ["null", "string"], "enum": [None, *get_args(ContainerFormat)]},
    "disk_format": {"type": ["null", "string"], "enum": [None, *get_args(DiskFormat)]},
    "min_disk": {"type": "integer"},
    "min_ram": {"type": "integer"},
    "size": {"type": ["null", "integer"], **READ_ONLY},
    "virtual_size": {"type": ["null", "integer"], **READ_ONLY},
    "checksum": {"type": ["null", "string"], "maxLength": 32, **READ_ONLY},
    "os_hash_algo": {"type": ["null", "string"], "maxLength": 64, **READ_ONLY},
    "os_hash_value": {"type": ["null", "string"], "maxLength": 128, **READ_ONLY},
    "stores": {"type": "string", **READ_ONLY},
    "tags": {"type": "array", "items": STRING},
    "created_at": TIME,
    "updated_at": TIME,
    "self": {"type": "string", **READ_ONLY},
    "file": {"type": "string", **READ_ONLY},
    "schema": {"type": "string", **READ_ONLY},
}

MEMBER_PROPERTIES: dict[str, dict[str, Any]] = {
    "image_id": {"type": "string"},
    "member_id": {"type": "string"},
    "status": {"type": "string", "enum": ["pending", "accepted", "rejected"]},
    "created_at": TIME,
    "updated_at": TIME,
    "schema": {"type": "string", **READ_ONLY},
}

IMAGE = {
    "name": "image",
    "properties": IMAGE_PROPERTIES,
    "additionalProperties": {"type": "string"},
    "links": [
        {"rel": "self", "href": "{self}"},
        {"rel": "enclosure", "href": "{file}"},
        {"rel": "describedby", "href": "{schema}"},
    ],
}
MEMBER = {"name": "member", "properties": MEMBER_PROPERTIES}
PAGE_LINKS = [
    {"rel": "first", "href": "{first}"},
    {"rel": "next", "href": "{next}"},
    {"rel": "describedby", "href": "{schema}"},
]
SCHEMAS: dict[str, dict[str, Any]] = {
    "image": IMAGE,
    "images": {
        "name": "images",
        "properties": {
            "images": {"type": "array", "items": IMAGE},
            "schema": {"type": "string"},
            "next": {"type": "string"},
            "first": {"type": "string"},
        },
        "links": PAGE_LINKS,
    },
    "member": MEMBER,
    "members": {
        "name": "members",
        "properties": {
            "members": {"type": "array", "items": MEMBER},
            "schema": {"type": "string"},
        },
        "links": PAGE_LINKS[-1:],
    },
}


def image(_request: Request) -> Reply:
    return Reply(200, SCHEMAS["image"])


def images(_request: Request) -> Reply:
    return Reply(200, SCHEMAS["images"])


def member(_request: Request) -> Reply:
    return Reply(200, SCHEMAS["member"])


def members(_request: Request) -> Reply:
    return Reply(200, SCHEMAS["members"])


def metadef(request: Request) -> Reply:
    """Of metadata definitions."""
    found = metadef_schemas.SCHEMAS.get(request.path["name"])
    if found is None:
        raise NotFound("schema", request.path["name"])
    return Reply(200, found)
