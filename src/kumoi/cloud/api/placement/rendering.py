"""What Placement's answers have in common."""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Any

from kumoi.cloud.api.request import Request
from kumoi.engine.http.request import Reply

PREFIX = "placement"
V_CACHE_HEADERS = (1, 15)


def reply(request: Request, body: Any, changed_at: datetime | None = None) -> Reply:
    """Since 1.15 it says when that was last changed; of several things, now."""
    if request.microversion < V_CACHE_HEADERS:
        return Reply(200, body)
    at = (changed_at or request.services.clock.now()).astimezone(UTC)
    headers = {"Last-Modified": format_datetime(at, usegmt=True), "Cache-Control": "no-cache"}
    return Reply(200, body, headers)
