"""Checks of values that a type cannot express. Each raises Invalid, which names the attribute."""

from __future__ import annotations

import re
from collections.abc import Iterable

from kumoi.base.address import address as read_address
from kumoi.base.address import interface as read_interface
from kumoi.base.errors import Invalid
from kumoi.base.ids import is_uuid
from kumoi.engine.http.bounds import Text
from kumoi.engine.http.request import UNSET, Body, Unset

_MAC = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}")
_NO_MACS = ("00:00:00:00:00:00", "ff:ff:ff:ff:ff:ff")


class PoolBody(Body):
    start: Text
    end: Text


class RouteBody(Body):
    destination: Text
    nexthop: Text


class FixedIpBody(Body):
    subnet_id: Text | Unset | None = UNSET
    ip_address: Text | Unset | None = UNSET


class AddressPairBody(Body):
    ip_address: Text
    mac_address: Text | Unset | None = UNSET


def invalid(field: str, reason: str) -> Invalid:
    return Invalid(f"Invalid input for {field}. Reason: {reason}.", field=field)


def uuid(field: str, text: str) -> str:
    if not is_uuid(text):
        raise invalid(field, f"'{text}' is not a valid UUID")
    return text


def address(field: str, text: str) -> str:
    """In its canonical form."""
    try:
        return str(read_address(text))
    except ValueError as cause:
        raise invalid(field, f"'{text}' is not a valid IP address") from cause


def addresses(field: str, texts: Iterable[str]) -> list[str]:
    found = [address(field, text) for text in texts]
    if len(set(found)) < len(found):
        raise invalid(field, f"Duplicate items in the list: '{', '.join(found)}'")
    return found


def cidr(field: str, text: str) -> str:
    """The network of an address with a prefix: bits beyond the prefix are dropped."""
    try:
        interface = read_interface(text)
    except ValueError as cause:
        raise invalid(field, f"'{text}' is not a valid IP subnet") from cause
    if "/" not in text:
        raise invalid(
            field,
            f"'{text}' isn't a recognized IP subnet cidr, '{interface.network}' is recommended",
        )
    return str(interface.network)


def host(field: str, text: str) -> str:
    """The network that has one address."""
    found = address(field, text)
    return f"{found}/{128 if ':' in found else 32}"


def cidrs(field: str, texts: Iterable[str]) -> tuple[str, ...]:
    return tuple(cidr(field, text) for text in texts)


def mac(field: str, text: str) -> str:
    """In lower case with colons."""
    lowered = text.lower().replace("-", ":")
    if not _MAC.fullmatch(lowered) or lowered in _NO_MACS:
        raise invalid(field, f"'{text}' is not a valid MAC address")
    return lowered


def one_of(field: str, text: str, allowed: Iterable[str]) -> str:
    """The word that differs from the text in its case at most."""
    words = list(allowed)
    for word in words:
        if text.lower() == word.lower():
            return word
    raise invalid(field, f"'{text}' is not in {words}")


def routes(field: str, bodies: Iterable[RouteBody]) -> list[list[str]]:
    """[destination, nexthop] of each."""
    pairs = [[cidr(field, route.destination), address(field, route.nexthop)] for route in bodies]
    if len({tuple(pair) for pair in pairs}) < len(pairs):
        raise invalid(field, "Duplicate items in the list")
    return pairs


def pools(field: str, bodies: Iterable[PoolBody]) -> list[list[str]]:
    """[first, last] of each."""
    return [[address(field, pool.start), address(field, pool.end)] for pool in bodies]
