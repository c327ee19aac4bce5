"""Members of images: what is accepted and what is shown."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec

from kumoi.cloud.api.image.image import moment
from kumoi.cloud.api.request import Request
from kumoi.cloud.domain.image import member as domain
from kumoi.cloud.store.image.member import ImageMember
from kumoi.engine.http.bounds import Text
from kumoi.engine.http.request import UNSET, Body, Reply, Unset


class ImageMemberCreate(Body):
    member: Annotated[str, msgspec.Meta(min_length=1, max_length=64)]


class ImageMemberUpdate(Body):
    """The SDK sends the member too; the one in the path is used."""

    status: Literal["pending", "accepted", "rejected"]
    member: Text | Unset = UNSET


def create(request: Request) -> Reply:
    wanted = request.parse(ImageMemberCreate).member
    with request.write() as connection:
        now = request.services.clock.now()
        made = domain.create(connection, request.caller, request.path["id"], wanted, now)
    return Reply(200, render(made))


def index(request: Request) -> Reply:
    with request.read() as connection:
        found = domain.every(connection, request.caller, request.path["id"])
    shown = [render(row) for row in found]
    return Reply(200, {"members": shown, "schema": "/v2/schemas/members"})


def show(request: Request) -> Reply:
    with request.read() as connection:
        key, member_id = request.path["id"], request.path["member_id"]
        found = domain.get(connection, request.caller, key, member_id)
    return Reply(200, render(found))


def update(request: Request) -> Reply:
    status = request.parse(ImageMemberUpdate).status
    with request.write() as connection:
        changed = domain.set_status(
            connection,
            request.caller,
            request.path["id"],
            request.path["member_id"],
            status=status,
            now=request.services.clock.now(),
        )
    return Reply(200, render(changed))


def delete(request: Request) -> Reply:
    with request.write() as connection:
        key, member_id = request.path["id"], request.path["member_id"]
        domain.delete(connection, request.caller, key, member_id)
    return Reply(204)


def render(row: ImageMember) -> dict[str, Any]:
    return {
        "image_id": row.image_id,
        "member_id": row.member_id,
        "status": row.status,
        "created_at": moment(row.created_at),
        "updated_at": moment(row.updated_at),
        "schema": "/v2/schemas/member",
    }
