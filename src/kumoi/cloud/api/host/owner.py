"""Whose the ports and routers are that a host's switch has."""

from __future__ import annotations

from kumoi.cloud.api.request import Request
from kumoi.cloud.domain.host import owner as domain
from kumoi.cloud.hostapi.owner import Owners, OwnersQuestion
from kumoi.engine.http.request import Reply


def show(request: Request) -> Reply:
    """A question that is too long for a query, and changes nothing."""
    asked = request.parse(OwnersQuestion)
    with request.services.database.read() as connection:
        return Reply(200, Owners(owners=domain.of(connection, asked.ids)))
