"""The bodies of requests about images. Attributes that are not the API's own are properties."""

from __future__ import annotations

import uuid
from typing import Annotated, Any, Literal

import msgspec

from kumoi.base.errors import Invalid
from kumoi.base.ids import is_uuid
from kumoi.cloud.api.request import Request
from kumoi.cloud.domain.image import patch
from kumoi.cloud.domain.image.formats import ContainerFormat, DiskFormat
from kumoi.cloud.domain.image.image import ImageRequest
from kumoi.cloud.domain.image.patch import PatchOperation
from kumoi.engine.http.bounds import Text
from kumoi.engine.http.errors import UnsupportedMediaType
from kumoi.engine.http.request import UNSET, Body, Unset

Operator = Literal["add", "replace", "remove"]
PATCH = "application/openstack-images-v2.1-json-patch"
OLD_PATCH = "application/openstack-images-v2.0-json-patch"
CHANGES_MAX = 1_000
OPERATIONS: tuple[Operator, ...] = ("add", "replace", "remove")

Name = Annotated[str, msgspec.Meta(max_length=255)]
Tag = Annotated[str, msgspec.Meta(min_length=1, max_length=255)]
Value = Annotated[str, msgspec.Meta(max_length=65_535)]
Amount = Annotated[int, msgspec.Meta(ge=0, le=2**31 - 1)]
Visibility = Literal["public", "private", "shared", "community"]


class ImageAttributes(Body):
    """The attributes of the API that a request may set."""

    id: Text | Unset = UNSET
    name: Name | Unset | None = UNSET
    visibility: Visibility | Unset = UNSET
    owner: Name | Unset | None = UNSET
    container_format: ContainerFormat | Unset | None = UNSET
    disk_format: DiskFormat | Unset | None = UNSET
    min_disk: Amount | Unset = UNSET
    min_ram: Amount | Unset = UNSET
    protected: bool | Unset = UNSET
    os_hidden: bool | Unset = UNSET
    tags: Annotated[list[Tag], msgspec.Meta(max_length=CHANGES_MAX)] | Unset = UNSET


class Operation(Body):
    """One step of a JSON patch."""

    op: Operator
    path: Value
    value: Any = UNSET


class OldOperation(Body):
    """One step in the form of the draft before the standard: the operation's value is the path."""

    add: Value | Unset = UNSET
    replace: Value | Unset = UNSET
    remove: Value | Unset = UNSET
    value: Any = UNSET


Properties = Annotated[dict[Name, Any], msgspec.Meta(max_length=CHANGES_MAX)]
Steps = Annotated[list[Operation], msgspec.Meta(max_length=CHANGES_MAX)]
OldSteps = Annotated[list[OldOperation], msgspec.Meta(max_length=CHANGES_MAX)]


def new(request: Request) -> ImageRequest:
    """Raises Invalid, which names the attribute, and Forbidden for one that callers cannot set."""
    body: dict[str, Any] = request.parse(Properties)
    values: dict[str, Any] = {}
    properties: dict[str, str] = {}
    for name, value in body.items():
        if name in ImageAttributes.__struct_fields__:
            values[name] = _checked(name, value)
        else:
            patch.require_writable(name)
            properties[name] = _property(name, value)
    if "id" in values:
        if not is_uuid(values["id"]):
            raise Invalid("Invalid image id format", field="id")
        values["id"] = str(uuid.UUID(values["id"]))
    values["tags"] = tuple(values.get("tags", ()))
    return ImageRequest(**values, properties=properties)


def changes(request: Request) -> list[PatchOperation]:
    """Raises Invalid, UnsupportedMediaType, Forbidden."""
    content_type = request.http.headers.get("Content-Type", "").partition(";")[0].strip()
    if content_type == PATCH:
        steps = request.parse(Steps)
    elif content_type == OLD_PATCH:
        steps = [_modern(step) for step in request.parse(OldSteps)]
    else:
        raise UnsupportedMediaType(f"Content-Type must be {PATCH}")
    return [_change(step) for step in steps]


def _modern(step: OldOperation) -> Operation:
    present = [(op, getattr(step, op)) for op in OPERATIONS if getattr(step, op) is not UNSET]
    if len(present) != 1:
        raise Invalid("A change names one of add, replace and remove", field="body")
    ((op, path),) = present
    return Operation(op=op, path=path, value=step.value)


def _change(step: Operation) -> PatchOperation:
    name = step.path.removeprefix("/").replace("~1", "/").replace("~0", "~")
    if not step.path.startswith("/") or not name or "/" in step.path[1:]:
        raise Invalid(f"'{step.path}' is not the path of an attribute", field="path")
    patch.require_writable(name)
    if step.op == "remove":
        return PatchOperation("remove", name)
    if step.value is UNSET:
        raise Invalid(f"Operation {step.op} of {name} needs a value", field="value")
    is_attribute = name in ImageAttributes.__struct_fields__
    convert = _checked if is_attribute else _property
    return PatchOperation(step.op, name, convert(name, step.value))


def _checked(name: str, value: Any) -> Any:
    try:
        return getattr(msgspec.convert({name: value}, ImageAttributes), name)
    except msgspec.ValidationError as cause:
        raise Invalid(
            f"Provided object does not match schema 'image': {name}: {cause}", field=name
        ) from cause


def _property(name: str, value: Any) -> str:
    try:
        key = msgspec.convert(name, Annotated[str, msgspec.Meta(min_length=1, max_length=255)])
        return msgspec.convert({key: value}, dict[str, Value])[key]
    except msgspec.ValidationError as cause:
        raise Invalid(
            f"Provided object does not match schema 'image': {name}: {cause}", field=name
        ) from cause


def tag(text: str) -> str:
    """Raises Invalid."""
    try:
        return msgspec.convert(text, Tag)
    except msgspec.ValidationError as cause:
        raise Invalid(f"Invalid tag: {cause}", field="tag") from cause
