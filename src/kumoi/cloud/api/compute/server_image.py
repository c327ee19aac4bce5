"""createImage and createBackup: images of what is on a server's disk."""

from __future__ import annotations

from typing import TypeVar

import msgspec

from kumoi.base.errors import Invalid
from kumoi.cloud.api.compute import image, shapes
from kumoi.cloud.api.compute.shapes import Count, Metadata, Name, Text
from kumoi.cloud.api.request import Request
from kumoi.cloud.domain.compute import snapshot
from kumoi.engine.http.request import UNSET, Body, Reply, Unset

V_ID = (2, 45)


BodyT = TypeVar("BodyT", bound=Body)


class CreateBackup(Body, kw_only=True):
    name: Name
    backup_type: Text
    rotation: Count
    metadata: Metadata | Unset = UNSET


class CreateImage(Body, kw_only=True):
    name: Name
    metadata: Metadata | Unset = UNSET


def create(request: Request, name: str, raw: bytes) -> Reply:
    """The id in the body since 2.45, before that in Location."""
    body = _decoded(name, raw, CreateImage)
    now = request.services.clock.now()
    with request.write() as connection:
        image_id = snapshot.create(
            connection,
            request.caller,
            request.path["id"],
            name=body.name,
            properties={} if body.metadata is UNSET else body.metadata,
            now=now,
        )
    return _answer(request, image_id)


def back_up(request: Request, name: str, raw: bytes) -> Reply:
    body = _decoded(name, raw, CreateBackup)
    now = request.services.clock.now()
    with request.write() as connection:
        image_id = snapshot.back_up(
            connection,
            request.caller,
            request.path["id"],
            name=body.name,
            kind=body.backup_type,
            rotation=shapes.count(body.rotation, f"{name}.rotation"),
            properties={} if body.metadata is UNSET else body.metadata,
            now=now,
        )
    return _answer(request, image_id)


def _decoded(name: str, raw: bytes, shape: type[BodyT]) -> BodyT:
    """Raises Invalid."""
    try:
        return msgspec.json.decode(raw, type=shape)
    except msgspec.DecodeError as cause:
        raise Invalid(f"Invalid input for field/attribute {name}. {cause}", field=name) from cause


def _answer(request: Request, image_id: str) -> Reply:
    if request.microversion >= V_ID:
        return Reply(202, {"image_id": image_id})
    return Reply(202, headers={"Location": image.url(request, image_id)})
