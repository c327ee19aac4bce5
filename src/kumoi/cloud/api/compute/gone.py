"""What compute had in early years, most of it while it had networks of its own, and no version has any
more: 410, as Nova says.
"""

from __future__ import annotations

from kumoi.base.errors import Gone
from kumoi.cloud.api.request import Request
from kumoi.engine.http.request import Reply

PATHS = (
    *(("POST", "os-networks"), ("POST", "os-networks/add"), ("DELETE", "os-networks/{id}")),
    *(("POST", "os-networks/{id}/action"), ("POST", "os-tenant-networks")),
    *(("DELETE", "os-tenant-networks/{id}"), ("GET", "os-agents"), ("GET", "os-cells")),
    *(("GET", "os-cloudpipe"), ("POST", "os-certificates"), ("GET", "os-certificates/{id}")),
    *(("GET", "os-fixed-ips/{id}"), ("GET", "os-floating-ip-dns"), ("GET", "os-fping")),
    *(("GET", "os-floating-ips-bulk"), ("GET", "os-security-group-default-rules")),
    *(("GET", "servers/{id}/consoles"), ("GET", "servers/{id}/os-virtual-interfaces")),
)
ACTIONS = ("resetNetwork",)
WORDS = "This is gone from every version of the compute API; networks and addresses are the network API's."


def refuse(_request: Request) -> Reply:
    """Raises Gone."""
    raise Gone(WORDS)
