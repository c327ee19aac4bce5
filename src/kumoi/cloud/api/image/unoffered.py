"""What Glance has and this cloud does not offer: its paths say so, and what to do instead."""

from __future__ import annotations

from kumoi.base.errors import Unsupported
from kumoi.cloud.api.request import Request
from kumoi.engine.http.request import Reply

CACHE = "no cache of images is offered: each host keeps the images of its servers, and nothing else"


def cache(_request: Request) -> Reply:
    raise Unsupported(CACHE)
