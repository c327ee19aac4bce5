"""Bodies of the identity API that take attributes of the user's own, which are kept and shown.

Keystone stores what it has no column for as `extra` and shows it among the rest.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kumoi.base.errors import Invalid
from kumoi.cloud.api.request import Request, fields_set
from kumoi.engine.http.bounds import AnyObject, Object
from kumoi.engine.http.request import Body

Whole = Object[AnyObject]
OURS = frozenset({"id", "links"})  # Shown with every resource; not the user's to set.


class OpenBody(Body, forbid_unknown_fields=False):
    """A part of a body: attributes without a field are `others`."""


def others(request: Request, noun: str, shape: type[OpenBody]) -> dict[str, Any]:
    """The attributes of a body, already parsed, for which its shape has no field."""
    given = request.parse(Whole)[noun]
    known = {*shape.__struct_fields__, *OURS}
    return {name: value for name, value in given.items() if name not in known}


def changes(
    request: Request, noun: str, body: OpenBody, *, without: tuple[str, ...] = ()
) -> dict[str, Any]:
    """The values of an update: fields that the body has, and under `extra` what else it has. Raises
    Invalid for another id.
    """
    given = request.parse(Whole)[noun]
    if given.get("id", key := request.path["id"]) != key:
        raise Invalid("Cannot change ID", field="id")
    values = fields_set(body, without=without)
    if more := others(request, noun, type(body)):
        values["extra"] = more
    return values


def shown(kept: Mapping[str, Any] | None, rest: Mapping[str, Any]) -> dict[str, Any]:
    """A resource with what else is kept of it."""
    return {**(kept or {}), **rest}
