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


def source_network(source: str) -> str:
    """What whoever counts per source address counts by. An IPv6 source counts with its /64, for who
    has one address of it has them all; an IPv4 one for itself, also where it is written as IPv6; what
    is no address (a socket's peer) as it is.
    """
    try:
        found = address(source)
    except ValueError:
        return source
    if isinstance(found, ipaddress.IPv4Address):
        return str(found)
    if found.ipv4_mapped is not None:
        return str(found.ipv4_mapped)
    return str(ipaddress.IPv6Network((found, 64), strict=False))


def _without_zone(text: str) -> str:
    if "%" in text:
        raise ValueError("an address with a zone")
    return text
