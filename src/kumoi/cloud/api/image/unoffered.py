"""What Glance has and this cloud does not offer: its paths say so, and what to do instead."""

from __future__ import annotations

from kumoi.base.errors import NotFound, Unsupported
from kumoi.cloud.api.request import Request
from kumoi.cloud.domain.image import image
from kumoi.engine.http.request import Reply

CACHE = "no cache of images is offered: each host keeps the images of its servers, and nothing else"
TASK = "tasks are not offered: make the image, and upload its content by PUT /v2/images/ID/file"
IMPORT = "no way to import is offered: upload the image's content by PUT /v2/images/ID/file"
STAGE = "staging is of imports, which are not offered: PUT /v2/images/ID/file takes the content"


def cache(_request: Request) -> Reply:
    raise Unsupported(CACHE)


def tasks(_request: Request) -> Reply:
    return Reply(200, {"tasks": [], "first": "/v2/tasks", "schema": "/v2/schemas/tasks"})


def tasks_of_image(request: Request) -> Reply:
    """None. Raises NotFound for an image that the caller does not see."""
    with request.read() as connection:
        image.get(connection, request.caller, request.path["id"])
    return Reply(200, {"tasks": []})


def task(request: Request) -> Reply:
    raise NotFound("task", request.path["id"])


def create_task(_request: Request) -> Reply:
    raise Unsupported(TASK)


def import_image(_request: Request) -> Reply:
    raise Unsupported(IMPORT)


def stage(_request: Request) -> Reply:
    raise Unsupported(STAGE)
