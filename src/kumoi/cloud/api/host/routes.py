"""The host API's routes; the bodies are in hostapi/. They are OPEN to policy: app.py says why."""

from __future__ import annotations

from kumoi.cloud.api.host import image, report, watch
from kumoi.engine.http.routing import OPEN, Route
from kumoi.engine.http.service import Service

SERVICE = Service(
    type="host",
    prefix="host",
    routes=(
        Route("GET", "/v1/wanted", watch.show, OPEN, streams=True),
        Route("GET", "/v1/images/{id}", image.download, OPEN, streams=True),
        Route("PUT", "/v1/images/{id}", image.upload, OPEN, streams=True),
        Route("DELETE", "/v1/images/{id}", image.delete, OPEN),
        Route("POST", "/v1/reports", report.create, OPEN, streams=True),
        Route("PUT", "/v1/hello", report.put_hello, OPEN),
        Route("PUT", "/v1/servers/{id}/console", report.put_console, OPEN),
    ),
    policies={},
)
