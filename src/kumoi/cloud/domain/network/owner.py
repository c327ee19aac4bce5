"""A port's `device_owner`: what kind of thing the port belongs to, in Neutron's words."""

from __future__ import annotations

ROUTER_INTERFACE = "network:router_interface"
ROUTER_GATEWAY = "network:router_gateway"
FLOATING_IP = "network:floatingip"
COMPUTE = "compute:"  # The prefix for ports of servers; a zone may follow.
SERVER = "compute:nova"
BALANCER = "Octavia"  # The port of a load balancer's virtual address.

ROUTER = frozenset({ROUTER_INTERFACE, ROUTER_GATEWAY})
# A tenant cannot delete these.
SERVICE = frozenset({ROUTER_INTERFACE, ROUTER_GATEWAY, FLOATING_IP, BALANCER})
NETWORK_PREFIX = "network:"
NOBODY = ""  # The project of gateway and floating IP ports, which no tenant sees.


def is_networks(device_owner: str) -> bool:
    """Whether the port belongs to the network service, rather than to a server or a user."""
    return device_owner.startswith(NETWORK_PREFIX)
