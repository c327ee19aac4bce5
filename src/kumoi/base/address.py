"""Parses IP addresses from texts that others wrote: whatever Python accepts, but no zone.

Python accepts "fe80::1%eth0" with any text as the zone, line breaks included, and prints it back
unchanged. Addresses end up in other programs' configuration, and nothing of ours needs a zone.
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
    """The key for limits per source. An IPv6 address counts with its /64, since one client has all
    addresses of that network; an IPv4 address alone, also where it is written as IPv6; a text that
    is no address (a local socket's peer) is its own key.
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
