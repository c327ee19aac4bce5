"""What a port belongs to: the words that the API has for it."""

from __future__ import annotations

ROUTER_INTERFACE = "network:router_interface"
ROUTER_GATEWAY = "network:router_gateway"
FLOATING_IP = "network:floatingip"
COMPUTE = "compute:"  # What the owner of a server's port begins with.
SERVER = "compute:nova"

ROUTER = frozenset({ROUTER_INTERFACE, ROUTER_GATEWAY})
SERVICE = frozenset({ROUTER_INTERFACE, ROUTER_GATEWAY, FLOATING_IP})  # Not the tenant's to delete.
NETWORK_PREFIX = "network:"
NOBODY = ""  # The project of ports that no tenant sees: gateways and floating IPs.


def is_networks(device_owner: str) -> bool:
    """Whether the network itself has the port, rather than a server or a user."""
    return device_owner.startswith(NETWORK_PREFIX)
