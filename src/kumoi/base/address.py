"""IP addresses that came as text from somebody else: the ones that Python reads, without a zone.

Python takes "fe80::1%eth0", and any text for the zone, line breaks included; it gives the zone back
as it came. Nothing of ours needs one, and addresses end in other programs' configuration.
"""

from __future__ import annotations

import ipaddress

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Interface = ipaddress.IPv4Interface | ipaddress.IPv6Interface
Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def address(text: str) -> Address:
    """Raises ValueError."""
    return ipaddress.ip_address(_without_zone(text))


def interface(text: str) -> Interface:
    """An address with its prefix. Raises ValueError."""
    return ipaddress.ip_interface(_without_zone(text))


def network(text: str) -> Network:
    """Raises ValueError."""
    return ipaddress.ip_network(_without_zone(text))


def _without_zone(text: str) -> str:
    if "%" in text:
        raise ValueError("an address with a zone")
    return text
