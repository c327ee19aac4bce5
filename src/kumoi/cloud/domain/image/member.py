"""Members of a shared image: the owner names projects, each of them accepts or rejects."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy.engine import Connection

from kumoi.base.errors import Conflict, Forbidden, NotFound, TooLarge
from kumoi.cloud.domain.caller import Caller
from kumoi.cloud.domain.image import image
from kumoi.cloud.store.image import member as store
from kumoi.cloud.store.image.member import ImageMember

MEMBERS_MAX = 128


def create(
    connection: Connection, caller: Caller, image_id: str, member_id: str, now: datetime
) -> ImageMember:
    """Raises NotFound, Forbidden, Conflict for a project that is a member, TooLarge for one too many."""
    _require_shared(connection, caller, image_id)
    if store.get(connection, image_id, member_id) is not None:
        raise Conflict(f"Member {member_id} is duplicated for image {image_id}")
    if len(store.of_image(connection, image_id)) >= MEMBERS_MAX:
        raise TooLarge("The limit has been exceeded on the number of allowed image members.")
    row = ImageMember(image_id, member_id, "pending", created_at=now, updated_at=now)
    store.insert(connection, row)
    return row


def every(connection: Connection, caller: Caller, image_id: str) -> list[ImageMember]:
    """All members for the owner, and only itself for a member. Raises NotFound, and Forbidden when the
    image is not shared.
    """
    row = image.get(connection, caller, image_id)
    if row.visibility != "shared":
        raise Forbidden("Only shared images have members.")
    found = store.of_image(connection, image_id)
    if caller.may("get_members", row.owner):
        return found
    return [member for member in found if member.member_id == caller.project_id]


def get(connection: Connection, caller: Caller, image_id: str, member_id: str) -> ImageMember:
    """Raises NotFound, also for a member that the caller may not see."""
    row = image.get(connection, caller, image_id)
    found = store.get(connection, image_id, member_id)
    if found is None or not (
        caller.may("get_member", row.owner) or caller.may("get_member", member_id)
    ):
        raise NotFound("image member", member_id)
    return found


def set_status(
    connection: Connection,
    caller: Caller,
    image_id: str,
    member_id: str,
    *,
    status: str,
    now: datetime,
) -> ImageMember:
    """Called for the member itself. Raises NotFound, Forbidden."""
    get(connection, caller, image_id, member_id)
    if not caller.may("modify_member", member_id):
        raise Forbidden("Only the member itself may change its status.")
    store.set_status(connection, image_id, member_id, status=status, now=now)
    return get(connection, caller, image_id, member_id)


def delete(connection: Connection, caller: Caller, image_id: str, member_id: str) -> None:
    """Called for the image's owner. Raises NotFound, Forbidden."""
    _require_shared(connection, caller, image_id)
    if not store.delete(connection, image_id, member_id):
        raise NotFound("image member", member_id)


def _require_shared(connection: Connection, caller: Caller, image_id: str) -> None:
    row = image.owned(connection, caller, image_id)
    if row.visibility != "shared":
        raise Forbidden("Only shared images have members.")
