"""What answers here: for health checks, and for whoever wonders."""

from __future__ import annotations

from kumoi.engine.http.request import Reply
from kumoi.pipeline.api.request import Request


def show(_request: Request) -> Reply:
    return Reply(200, {"service": "kumoi-pipeline", "versions": ["v1"]})
