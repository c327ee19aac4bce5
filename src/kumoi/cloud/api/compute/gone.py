"""What compute had while it had networks of its own, and no version has any more: 410, as Nova says."""

from __future__ import annotations

from kumoi.base.errors import Gone
from kumoi.cloud.api.request import Request
from kumoi.engine.http.request import Reply

PATHS = (
    *(("POST", "os-networks"), ("POST", "os-networks/add"), ("DELETE", "os-networks/{id}")),
    *(("POST", "os-networks/{id}/action"), ("POST", "os-tenant-networks")),
    ("DELETE", "os-tenant-networks/{id}"),
)
ACTIONS = ("injectNetworkInfo", "resetNetwork")
WORDS = "This is gone from every version of the compute API; use the network API."


def refuse(_request: Request) -> Reply:
    """Raises Gone."""
    raise Gone(WORDS)
