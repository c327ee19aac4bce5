"""What a project's images may be together, and are."""

from __future__ import annotations

from kumoi.cloud.api.request import Request
from kumoi.cloud.domain.image import quota
from kumoi.engine.http.request import Reply


def usage(request: Request) -> Reply:
    """Of the token's project, sizes in MiB."""
    services = request.services
    with request.read() as connection:
        found = quota.usage(connection, services.cloud, request.caller.project_id)
    shown = {name: {"limit": most, "usage": has} for name, (most, has) in found.items()}
    return Reply(200, {"usage": shown})
