"""JSON schemas of metadata definitions, as schemas.py has those of images."""

from __future__ import annotations

from typing import Any

READ_ONLY = {"readOnly": True}
TEXT = {"type": "string"}
NAME = {"type": "string", "maxLength": 80}
TIME = {"type": "string", "format": "date-time", **READ_ONLY}
TYPES = ["array", "boolean", "integer", "number", "object", "string", None]
COUNT = {"$ref": "#/definitions/positiveInteger"}
COUNT_OR_0 = {"$ref": "#/definitions/positiveIntegerDefault0"}
WORDS = {"$ref": "#/definitions/stringArray"}
SHOWN = {"self": {"type": "string", **READ_ONLY}, "schema": {"type": "string", **READ_ONLY}}
TIMES = {"created_at": TIME, "updated_at": TIME}

PROPERTY: dict[str, Any] = {
    "name": NAME,
    "title": TEXT,
    "description": TEXT,
    "operators": {"type": "array", "items": TEXT},
    "type": {"type": "string", "enum": TYPES},
    "required": WORDS,
    "minimum": {"type": "number"},
    "maximum": {"type": "number"},
    "maxLength": COUNT,
    "minLength": COUNT_OR_0,
    "pattern": {"type": "string", "format": "regex"},
    "enum": {"type": "array"},
    "readonly": {"type": "boolean"},
    "confidential": {"type": "boolean"},
    "default": {},
    "items": {
        "type": "object",
        "properties": {"type": {"type": "string", "enum": TYPES}, "enum": {"type": "array"}},
    },
    "maxItems": COUNT,
    "minItems": COUNT_OR_0,
    "uniqueItems": {"type": "boolean", "default": False},
    "additionalItems": {"type": "boolean"},
}
DEFINITIONS: dict[str, Any] = {
    "positiveInteger": {"type": "integer", "minimum": 0},
    "positiveIntegerDefault0": {"allOf": [COUNT, {"default": 0}]},
    "stringArray": {"type": "array", "items": TEXT, "uniqueItems": True},
    "property": {
        "type": "object",
        "additionalProperties": {
            "type": "object",
            "required": ["title", "type"],
            "properties": PROPERTY,
        },
    },
}
PROPERTIES = {"$ref": "#/definitions/property"}
OBJECT = {
    "name": NAME,
    "description": TEXT,
    "required": WORDS,
    "properties": PROPERTIES,
    **SHOWN,
    **TIMES,
}
ASSOCIATION = {"name": NAME, "prefix": NAME, "properties_target": NAME, **TIMES}
TAG = {"name": NAME, **TIMES}
NAMESPACE = {
    "namespace": NAME,
    "display_name": NAME,
    "description": {"type": "string", "maxLength": 500},
    "visibility": {"type": "string", "enum": ["public", "private"]},
    "protected": {"type": "boolean"},
    "owner": {"type": "string", "maxLength": 255},
    "resource_type_associations": {
        "type": "array",
        "items": {
            "type": "object",
            "properties": {"name": TEXT, "prefix": TEXT, "properties_target": TEXT},
        },
    },
    "properties": PROPERTIES,
    "objects": {
        "type": "array",
        "items": {
            "type": "object",
            "properties": {
                "name": TEXT,
                "description": TEXT,
                "required": WORDS,
                "properties": PROPERTIES,
            },
        },
    },
    "tags": {"type": "array", "items": {"type": "object", "properties": {"name": TEXT}}},
    **SHOWN,
    **TIMES,
}


def _one(
    name: str, properties: dict[str, Any], required: list[str], *, defines: bool = True
) -> dict[str, Any]:
    found = {
        "name": name,
        "properties": properties,
        "additionalProperties": False,
        "required": required,
    }
    return {**found, "definitions": DEFINITIONS} if defines else found


def _many(name: str, one: dict[str, Any], *, by_name: bool = False) -> dict[str, Any]:
    """A list of what `one` describes, or a mapping of names to it."""
    each = {key: value for key, value in one.items() if key != "definitions"}
    listed = (
        {"type": "object", "additionalProperties": each}
        if by_name
        else {"type": "array", "items": each}
    )
    found: dict[str, Any] = {
        "name": name,
        "properties": {
            name: listed,
            "first": TEXT,
            "next": TEXT,
            "schema": TEXT,
        },
        "links": [
            {"rel": "first", "href": "{first}"},
            {"rel": "next", "href": "{next}"},
            {"rel": "describedby", "href": "{schema}"},
        ],
    }
    return {**found, "definitions": one["definitions"]} if "definitions" in one else found


_NAMESPACE = _one("namespace", NAMESPACE, ["namespace"])
_OBJECT = _one("object", OBJECT, ["name"])
_PROPERTY = _one("property", PROPERTY, ["type", "title", "name"])
_PROPERTY_OF = _one("property", PROPERTY, ["type", "title"])
_TAG = _one("tag", TAG, ["name"], defines=False)
_ASSOCIATION = _one("resource_type_association", ASSOCIATION, ["name"], defines=False)

SCHEMAS: dict[str, dict[str, Any]] = {
    "namespace": _NAMESPACE,
    "namespaces": _many("namespaces", _NAMESPACE),
    "object": _OBJECT,
    "objects": _many("objects", _OBJECT),
    "property": _PROPERTY,
    "properties": _many("properties", _PROPERTY_OF, by_name=True),
    "tag": _TAG,
    "tags": _many("tags", _TAG),
    "resource_type": _ASSOCIATION,
    "resource_types": _many("resource_type_associations", _ASSOCIATION),
}
