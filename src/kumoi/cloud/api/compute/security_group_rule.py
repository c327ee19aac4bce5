"""Rules of security groups as compute had them before there was a network API, until 2.35: they let
in, from a prefix or a group, one protocol at ports that must be named for a prefix.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated
from urllib.parse import unquote

import msgspec

from kumoi.base.errors import Conflict, Invalid
from kumoi.base.ids import is_uuid
from kumoi.cloud.api.compute import security_group, shapes
from kumoi.cloud.api.compute.shapes import Count, Text
from kumoi.cloud.api.request import Request
from kumoi.cloud.domain.network import security_group_rule as domain
from kumoi.cloud.domain.network.security_group_rule import SecurityGroupRuleRequest
from kumoi.engine import audit
from kumoi.engine.http.request import Body, Reply

ANY_PORT = -1
EVERYWHERE = "0.0.0.0/0"
PROTOCOLS = ("tcp", "udp", "icmp")
OF_GROUP = {"tcp": (1, 65_535), "udp": (1, 65_535), "icmp": (ANY_PORT, ANY_PORT)}
"""The ports of a rule for a group that names none."""

Port = Annotated[str, msgspec.Meta(max_length=20)] | Annotated[int, msgspec.Meta(ge=-1, le=65_535)]


class ProxiedRuleNew(Body, kw_only=True):
    parent_group_id: Text
    group_id: Text | None = None
    cidr: Text | None = None
    ip_protocol: Text | None = None
    from_port: Port | None = None
    to_port: Port | None = None


class ProxiedRuleCreate(Body, kw_only=True):
    security_group_rule: ProxiedRuleNew


def create(request: Request) -> Reply:
    """Raises Invalid also for a rule that the group has, as compute's API had it."""
    wanted, now = _wanted(request.parse(ProxiedRuleCreate).security_group_rule), _now(request)
    with request.write() as connection:
        try:
            made = domain.create(connection, request.caller, wanted, now)
        except Conflict as cause:
            words = f"This rule already exists in group {wanted.security_group_id}"
            raise Invalid(words, field="security_group_rule") from cause
        audit.about(made.id)
        shown = security_group.rule(connection, made)
    return Reply(200, {"security_group_rule": shown})


def delete(request: Request) -> Reply:
    key = request.path["id"]
    if not is_uuid(key):
        raise Invalid(f"Security group rule id {key} is not a uuid", field="id")
    with request.write() as connection:
        domain.delete(connection, request.caller, key, _now(request))
    return Reply(202)


def _now(request: Request) -> datetime:
    return request.services.clock.now()


def _wanted(body: ProxiedRuleNew) -> SecurityGroupRuleRequest:
    """Raises Invalid."""
    for name in ("parent_group_id", "group_id"):
        key = getattr(body, name)
        if key is not None and not is_uuid(key):
            raise shapes.invalid(name, key, f"'{key}' is not a 'uuid'")
    low, high = _ports(body)
    prefix = None if body.group_id else unquote(body.cidr or EVERYWHERE)
    return SecurityGroupRuleRequest(
        security_group_id=body.parent_group_id,
        direction="ingress",
        ethertype="IPv6" if prefix is not None and ":" in prefix else "IPv4",
        protocol=body.ip_protocol.lower() if body.ip_protocol else None,
        port_range_min=None if low == ANY_PORT else low,
        port_range_max=None if high == ANY_PORT else high,
        remote_ip_prefix=prefix,
        remote_group_id=body.group_id,
    )


def _ports(body: ProxiedRuleNew) -> tuple[int | None, int | None]:
    """Raises Invalid for a rule for a prefix that leaves one out, and for another protocol."""
    protocol = (body.ip_protocol or "").lower()
    low, high = _port(body.from_port, "from_port"), _port(body.to_port, "to_port")
    if body.group_id and low is None and high is None:
        return OF_GROUP.get(protocol, (None, None))
    if not protocol or low is None or high is None:
        if body.group_id:
            return None, None
        raise Invalid("Not enough parameters to build a valid rule.", field="ip_protocol")
    if protocol not in PROTOCOLS:
        words = f"Invalid IP protocol {body.ip_protocol}."
        raise Invalid(words, field="ip_protocol")
    return low, high


def _port(value: Count | None, field: str) -> int | None:
    return None if value is None else shapes.count(value, field, least=ANY_PORT, most=65_535)
