"""The bodies of requests about metadata definitions."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal

import msgspec

from kumoi.base.errors import Forbidden, Invalid
from kumoi.cloud.api.request import Request, fields_set
from kumoi.cloud.domain.image.metadef import MetadefAssociationRequest
from kumoi.cloud.store.image.metadef import MetadefKind
from kumoi.engine.http.bounds import AnyObject, Entries, Text
from kumoi.engine.http.request import UNSET, Body, Unset

Name = Annotated[str, msgspec.Meta(min_length=1, max_length=80)]
Type = Literal["array", "boolean", "integer", "number", "object", "string"]
LongText = Annotated[str, msgspec.Meta(max_length=65_535)]
Count = Annotated[int, msgspec.Meta(ge=0, le=2**31 - 1)]
ITEMS_MAX = 300  # In one request.
Values = Annotated[list[Any], msgspec.Meta(max_length=ITEMS_MAX)]
READ_ONLY = ("self", "schema", "created_at", "updated_at")


class ElementType(Body):
    """The type of what an array has."""

    type: Type | Unset | None = UNSET
    enum: Values | Unset = UNSET


class PropertyBody(Body, rename="camel"):
    """A property, as a JSON schema has it. Its name is beside it, or the key that it stands under."""

    title: Text
    type: Type | None
    name: Name | Unset = UNSET
    description: LongText | Unset = UNSET
    operators: Entries[Text] | Unset = UNSET
    required: Entries[Text] | Unset = UNSET
    minimum: float | int | Unset = UNSET
    maximum: float | int | Unset = UNSET
    max_length: Count | Unset = UNSET
    min_length: Count | Unset = UNSET
    pattern: Text | Unset = UNSET
    enum: Values | Unset = UNSET
    readonly: bool | Unset = UNSET
    confidential: bool | Unset = UNSET
    default: Any | Unset = UNSET
    items: ElementType | Unset = UNSET
    max_items: Count | Unset = UNSET
    min_items: Count | Unset = UNSET
    unique_items: bool | Unset = UNSET
    additional_items: bool | Unset = UNSET


Properties = Annotated[dict[Name, PropertyBody], msgspec.Meta(max_length=ITEMS_MAX)]


class ObjectBody(Body):
    name: Name
    description: LongText | Unset = UNSET
    required: Entries[Text] | Unset = UNSET
    properties: Properties | Unset = UNSET


class TagBody(Body):
    name: Name


class TagsBody(Body):
    tags: Annotated[list[TagBody], msgspec.Meta(max_length=ITEMS_MAX)]


class AssociationBody(Body):
    name: Name
    prefix: Annotated[str, msgspec.Meta(max_length=80)] | None = None
    properties_target: Annotated[str, msgspec.Meta(max_length=80)] | None = None


class NamespaceBody(Body):
    namespace: Name
    display_name: Annotated[str, msgspec.Meta(max_length=80)] | Unset | None = UNSET
    description: Annotated[str, msgspec.Meta(max_length=500)] | Unset | None = UNSET
    visibility: Literal["public", "private"] | Unset = UNSET
    protected: bool | Unset = UNSET
    owner: Annotated[str, msgspec.Meta(min_length=1, max_length=64)] | Unset = UNSET
    resource_type_associations: Entries[AssociationBody] | Unset = UNSET
    properties: Properties | Unset = UNSET
    objects: Annotated[list[ObjectBody], msgspec.Meta(max_length=ITEMS_MAX)] | Unset = UNSET
    tags: Annotated[list[TagBody], msgspec.Meta(max_length=ITEMS_MAX)] | Unset = UNSET


def parse(request: Request, shape: type[Any]) -> Any:
    """Raises Invalid, and Forbidden for an attribute that nobody sets."""
    given = request.parse(AnyObject)
    for name in READ_ONLY:
        if name in given:
            raise Forbidden(f"Attribute '{name}' is read-only.")
    return request.parse(shape)


def contents(given: NamespaceBody) -> Mapping[MetadefKind, Mapping[str, Mapping[str, Any]]]:
    """What a new namespace has, by kind and name."""
    return {
        MetadefKind.PROPERTY: {
            name: property_body(each) for name, each in (given.properties or {}).items()
        },
        MetadefKind.OBJECT: {each.name: object_body(each) for each in given.objects or ()},
        MetadefKind.TAG: {each.name: {} for each in given.tags or ()},
    }


def associations(given: NamespaceBody) -> list[MetadefAssociationRequest]:
    return [association(each) for each in given.resource_type_associations or ()]


def association(given: AssociationBody) -> MetadefAssociationRequest:
    return MetadefAssociationRequest(
        resource_type=given.name, prefix=given.prefix, properties_target=given.properties_target
    )


def property_body(given: PropertyBody) -> dict[str, Any]:
    """Without its name. Raises Invalid for a pattern that is none."""
    if isinstance(given.pattern, str):
        try:
            re.compile(given.pattern)
        except (re.error, OverflowError) as cause:
            raise Invalid(f"'{given.pattern}' is no pattern", field="pattern") from cause
    found: dict[str, Any] = msgspec.to_builtins(given)
    return {name: value for name, value in found.items() if name != "name"}


def object_body(given: ObjectBody) -> dict[str, Any]:
    """Without its name."""
    found = fields_set(given, without=("name", "properties"))
    named = given.properties or {}
    found["properties"] = {name: property_body(each) for name, each in named.items()}
    return found
