"""An image's properties as compute showed them before there was an image API; until 2.38."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace as changed_row
from typing import Annotated

import msgspec

from kumoi.base.errors import Invalid, NotFound, OverQuota, TooLarge
from kumoi.cloud.api.compute.shapes import Key, Text
from kumoi.cloud.api.request import Request
from kumoi.cloud.domain.image import image as domain
from kumoi.cloud.domain.image import patch
from kumoi.engine.http.request import Body, Reply

Properties = dict[str, str]
ImageMetadata = Annotated[dict[Key, Text], msgspec.Meta(max_length=domain.PROPERTIES_MAX)]


class ImageMetadataReplace(Body, kw_only=True):
    metadata: ImageMetadata


class ImageMetadataItemReplace(Body, kw_only=True):
    meta: Annotated[dict[Key, Text], msgspec.Meta(min_length=1, max_length=1)]


def index(request: Request) -> Reply:
    with request.read() as connection:
        found = domain.get(connection, request.caller, request.path["id"])
    return Reply(200, {"metadata": found.properties})


def show(request: Request) -> Reply:
    name = request.path["key"]
    with request.read() as connection:
        found = domain.get(connection, request.caller, request.path["id"])
    if name not in found.properties:
        raise NotFound("metadata item", name, message="Metadata item was not found")
    return Reply(200, {"meta": {name: found.properties[name]}})


def replace(request: Request) -> Reply:
    wanted = _wanted(request.parse(ImageMetadataReplace).metadata)
    return Reply(200, {"metadata": _change(request, lambda _: wanted)})


def add(request: Request) -> Reply:
    wanted = _wanted(request.parse(ImageMetadataReplace).metadata)
    return Reply(200, {"metadata": _change(request, lambda current: {**current, **wanted})})


def put(request: Request) -> Reply:
    wanted = _wanted(request.parse(ImageMetadataItemReplace).meta)
    if set(wanted) != {request.path["key"]}:
        raise Invalid("Request body and URI mismatch", field="meta")
    _change(request, lambda current: {**current, **wanted})
    return Reply(200, {"meta": wanted})


def delete(request: Request) -> Reply:
    name = request.path["key"]

    def without(current: Properties) -> Properties:
        if name not in current:
            raise NotFound("metadata item", name, message="Invalid metadata key")
        return {key: value for key, value in current.items() if key != name}

    _change(request, without)
    return Reply(204)


def _wanted(metadata: Mapping[str, str]) -> Properties:
    """Raises Forbidden and Invalid for what the image API shows as an attribute, not a property."""
    for name in metadata:
        patch.require_writable(name)
        if name in patch.CHANGEABLE:
            raise Invalid(f"'{name}' is an attribute of the image, no metadata.", field=name)
    return dict(metadata)


def _change(request: Request, change: Callable[[Properties], Properties]) -> Properties:
    """Raises NotFound, Forbidden, OverQuota for too many."""
    now = request.services.clock.now()
    with request.write() as connection:
        row = domain.owned(connection, request.caller, request.path["id"])
        properties = change(row.properties)
        try:
            wanted = changed_row(row, properties=properties)
            domain.update(connection, request.caller, row, wanted, now)
        except TooLarge as cause:
            message = "Image metadata limit exceeded"
            raise OverQuota(message, resource="metadata_items") from cause
    return properties
