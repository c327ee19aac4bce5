"""The conditions on a list of images: what the caller may see, and the filters of the request."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from kumoi.cloud.store import tag_filter
from kumoi.cloud.store.image.image import image, image_property, image_tag
from kumoi.cloud.store.image.member import member
from kumoi.cloud.store.listing import Condition
from kumoi.cloud.store.schema import Where

COMPARISONS = ("gt", "gte", "lt", "lte", "eq", "neq")


@dataclass(frozen=True, slots=True)
class TimeFilter:
    """`comparison` is one of COMPARISONS."""

    column: str
    comparison: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageFilter:
    """The filters of a request. `visibility` of None is all but community images of others;
    `member_status` of "all" is any.
    """

    visibility: str | None = None
    member_status: str = "accepted"
    os_hidden: bool = False
    size_min: int | None = None
    size_max: int | None = None
    tags: Sequence[str] = ()
    times: Sequence[TimeFilter] = ()
    properties: Mapping[str, str] = field(default_factory=dict)


def conditions(wanted: ImageFilter, *, project_id: str | None, sees_all: bool) -> list[Condition]:
    found: list[Condition] = [
        Where("hidden", _hidden, {"wanted_hidden": wanted.os_hidden}),
        _seen(wanted, project_id, sees_all=sees_all),
    ]
    if wanted.size_min is not None:
        found.append(image.c.size >= wanted.size_min)
    if wanted.size_max is not None:
        found.append(image.c.size <= wanted.size_max)
    if wanted.tags:
        tagged = tag_filter.with_all(image_tag.c.image_id, image_tag.c.tag, wanted.tags)
        found.append(image.c.id.in_(tagged))
    for name, value in wanted.properties.items():
        having = sa.select(image_property.c.image_id).where(
            image_property.c.name == name, image_property.c.value == value
        )
        found.append(image.c.id.in_(having))
    found += [_compared(image.c[time.column], time) for time in wanted.times]
    return found


def _hidden() -> sa.ColumnElement[bool]:
    return image.c.os_hidden == sa.bindparam("wanted_hidden")


def _seen(wanted: ImageFilter, project_id: str | None, *, sees_all: bool) -> Where:
    shape = (wanted.visibility, wanted.member_status, sees_all, project_id is None)

    def build() -> sa.ColumnElement[bool]:
        by = None if project_id is None else sa.bindparam("seen_by", type_=image.c.owner.type)
        return _visible(wanted, by, sees_all=sees_all)

    values = {} if project_id is None else {"seen_by": project_id}
    return Where(f"seen {shape}", build, values)


def _visible(
    wanted: ImageFilter, project_id: sa.BindParameter[str] | None, *, sees_all: bool
) -> sa.ColumnElement[bool]:
    """A list shows public images, the caller's own and those that it accepted as a member. Community
    images of others are shown only by a filter for them.
    """
    own: sa.ColumnElement[bool] = sa.false() if project_id is None else image.c.owner == project_id
    memberships = sa.select(member.c.image_id).where(member.c.member_id == project_id)
    if wanted.member_status != "all":
        memberships = memberships.where(member.c.status == wanted.member_status)
    shared = (image.c.visibility == "shared") & image.c.id.in_(memberships)
    public = image.c.visibility == "public"
    community = image.c.visibility == "community"
    if wanted.visibility == "all":
        return sa.true() if sees_all else own | shared | public | community
    if wanted.visibility == "community":
        return community
    if wanted.visibility == "public":
        return public
    seen = ~community | own if sees_all else own | shared | public
    if wanted.visibility is None:
        return seen
    return (image.c.visibility == wanted.visibility) & seen


def _compared(column: sa.Column[Any], time: TimeFilter) -> sa.ColumnElement[bool]:
    by_name: dict[str, sa.ColumnElement[bool]] = {
        "gt": column > time.at,
        "gte": column >= time.at,
        "lt": column < time.at,
        "lte": column <= time.at,
        "eq": column == time.at,
        "neq": column != time.at,
    }
    return by_name[time.comparison]
