"""The fixed IPs that a port, or a router's gateway, asks for."""

from __future__ import annotations

from collections.abc import Iterable

from kumoi.cloud.api.network import shapes
from kumoi.cloud.api.request import fields_set
from kumoi.cloud.domain.network.fixed_ip import FixedIpRequest


def fixed_ip_requests(
    field: str, bodies: Iterable[shapes.FixedIpBody] | None
) -> tuple[FixedIpRequest, ...]:
    """Raises Invalid, which names the field."""
    found: list[FixedIpRequest] = []
    for fixed_ip in bodies or ():
        values = {name: value for name, value in fields_set(fixed_ip).items() if value is not None}
        if not values:
            raise shapes.invalid(field, "IP allocation requires subnet_id or ip_address")
        if "ip_address" in values:
            values["ip_address"] = shapes.address(field, values["ip_address"])
        if "subnet_id" in values:
            values["subnet_id"] = shapes.uuid(field, values["subnet_id"])
        found.append(FixedIpRequest(**values))
    return tuple(found)
