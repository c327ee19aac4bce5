"""Traits and resource classes: the words in which hosts are described. None can be added."""

from __future__ import annotations

from typing import Any

from kumoi.base.errors import Invalid, NotFound
from kumoi.cloud.api.compute import shapes
from kumoi.cloud.api.placement import query, rendering
from kumoi.cloud.api.request import Request
from kumoi.cloud.domain.placement import provider as domain
from kumoi.engine.http.request import Reply

IN, BEGINS = "in:", "startswith:"


def index(request: Request) -> Reply:
    """All, or those that a host has. Raises Invalid."""
    query.require_only(request, ("name", "associated"))
    wanted = request.query.get("name", BEGINS)
    if not wanted.startswith((IN, BEGINS)):
        raise Invalid(
            "Badly formatted name parameter. Expected name query string parameter in form: ?name=[in|startswith]:"
            f'[name1,name2|prefix]. Got: "{wanted}"',
            field="name",
        )
    flag = request.query.get("associated")
    associated = None if flag is None else shapes.flag(flag, "associated")
    with request.read() as connection:
        known = domain.traits(connection)
    names = wanted.removeprefix(IN).split(",")
    shown = [
        name
        for name, had in known.items()
        if associated in (None, had)
        and (name in names if wanted.startswith(IN) else name.startswith(wanted[len(BEGINS) :]))
    ]
    return rendering.reply(request, {"traits": shown})


def show(request: Request) -> Reply:
    """204 where there is one. Raises NotFound."""
    name = request.path["name"]
    with request.read() as connection:
        if name not in domain.traits(connection):
            raise NotFound("trait", name, message=f"No such trait(s): {name}.")
    return Reply(204)


def classes(request: Request) -> Reply:
    shown = [_class(name) for name in domain.CLASSES]
    return rendering.reply(request, {"resource_classes": shown})


def show_class(request: Request) -> Reply:
    """Raises NotFound."""
    name = request.path["name"]
    if name not in domain.CLASSES:
        raise NotFound("resource class", name, message=f"No such resource class {name}.")
    return rendering.reply(request, _class(name))


def _class(name: str) -> dict[str, Any]:
    path = f"/{rendering.PREFIX}/resource_classes/{name}"
    return {"name": name, "links": [{"rel": "self", "href": path}]}
