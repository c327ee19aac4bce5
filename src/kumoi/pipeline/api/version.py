"""What answers here: for health checks, and for whoever wonders."""

from __future__ import annotations

from starlette.responses import Response

from kumoi.pipeline.api.app import Asked, json


def show(_asked: Asked) -> Response:
    return json({"service": "kumoi-pipeline", "versions": ["v1"]})
