"""Rules of security groups: what is allowed. The checks are pure; `create` adds what needs state."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, fields
from datetime import datetime

from sqlalchemy.engine import Connection

from kumoi.base import address
from kumoi.base.errors import Conflict, Invalid, NotFound
from kumoi.base.ids import new_id
from kumoi.cloud.domain.caller import Caller
from kumoi.cloud.domain.network import address_group, quota, security_group
from kumoi.cloud.store.network import security_group as group_store
from kumoi.cloud.store.network import security_group_rule as store
from kumoi.cloud.store.network.security_group_rule import SecurityGroupRule
from kumoi.cloud.store.network.standard import NetworkQuery

PROTOCOLS = {
    "ah": 51,
    "dccp": 33,
    "egp": 8,
    "esp": 50,
    "gre": 47,
    "icmp": 1,
    "icmpv6": 58,
    "igmp": 2,
    "ipip": 4,
    "ipv6-encap": 41,
    "ipv6-frag": 44,
    "ipv6-icmp": 58,
    "ipv6-nonxt": 59,
    "ipv6-opts": 60,
    "ipv6-route": 43,
    "ospf": 89,
    "pgm": 113,
    "rsvp": 46,
    "sctp": 132,
    "tcp": 6,
    "udp": 17,
    "udplite": 136,
    "vrrp": 112,
}
WITH_PORTS = frozenset({6, 17, 33, 132, 136})
ICMP = frozenset({1, 58})
ICMP_V6 = "ipv6-icmp"
ICMP_ON_V6 = frozenset({"icmp", "icmpv6", "1", "58"})
V6_ONLY = frozenset(
    {
        "icmpv6",
        "ipv6-icmp",
        "ipv6-encap",
        "ipv6-frag",
        "ipv6-nonxt",
        "ipv6-opts",
        "ipv6-route",
        "41",
        "43",
        "44",
        "58",
        "59",
        "60",
    }
)
PROTOCOL_MAX = 255
PORT_MAX = 65_535
ICMP_MAX = 255
NOBODY = {"IPv4": "0.0.0.0/32", "IPv6": "::/128"}
"""The prefix in the row of a rule with an address group: a worker of 0.2.0 knows no such groups, and is not
to take the rule for one that allows all. It is not shown.
"""
ANY_PROTOCOL = frozenset({"", "any", "ip", "hopopt", "0"})


@dataclass(frozen=True, slots=True, kw_only=True)
class SecurityGroupRuleRequest:
    security_group_id: str
    direction: str
    ethertype: str = "IPv4"
    protocol: str | None = None
    port_range_min: int | None = None
    port_range_max: int | None = None
    remote_ip_prefix: str | None = None
    remote_group_id: str | None = None
    remote_address_group_id: str | None = None
    description: str = ""
    project_id: str | None = None


def create(
    connection: Connection, caller: Caller, wanted: SecurityGroupRuleRequest, now: datetime
) -> SecurityGroupRule:
    """Raises NotFound, OverQuota, Invalid, and Conflict when the group has such a rule."""
    protocol, prefix = checked(wanted)
    if wanted.remote_address_group_id is not None:
        prefix = NOBODY[wanted.ethertype]
    group = security_group.get(connection, caller, wanted.security_group_id)
    if wanted.remote_group_id is not None:
        security_group.get(connection, caller, wanted.remote_group_id)
    if wanted.remote_address_group_id is not None:
        address_group.get(connection, caller, wanted.remote_address_group_id)
    rule = SecurityGroupRule(
        id=new_id(),
        project_id=group.project_id,
        security_group_id=group.id,
        description=wanted.description,
        direction=wanted.direction,
        ethertype=wanted.ethertype,
        protocol=protocol,
        port_range_min=wanted.port_range_min,
        port_range_max=wanted.port_range_max,
        remote_ip_prefix=prefix,
        remote_group_id=wanted.remote_group_id,
        remote_address_group_id=wanted.remote_address_group_id,
        created_at=now,
        updated_at=now,
        revision_number=0,
    )
    for other in store.similar(connection, rule):
        if _traffic(other) == _traffic(rule):
            raise Conflict(
                f"Security group rule already exists. Rule id is {other.id}.",
                kind="SecurityGroupRuleExists",
            )
    quota.require(connection, group.project_id, "security_group_rule")
    store.insert(connection, rule)
    group_store.update(connection, group.id, now=now)
    return rule


def checked(wanted: SecurityGroupRuleRequest) -> tuple[str | None, str | None]:
    """The protocol and the remote prefix as a row has them. Raises Invalid for what fits no traffic."""
    protocol = canonical_protocol(wanted.protocol, wanted.ethertype)
    prefix = _remote_prefix(wanted)
    _require_ports(protocol, wanted.port_range_min, wanted.port_range_max)
    return protocol, prefix


def get(connection: Connection, caller: Caller, key: str) -> SecurityGroupRule:
    """Raises NotFound when there is no such rule that the caller may see."""
    rule = store.get(connection, key)
    if rule is None or not caller.may("get_security_group_rule", rule.project_id):
        raise NotFound(
            "security group rule", key, message=f"Security group rule {key} does not exist"
        )
    return rule


def page(connection: Connection, caller: Caller, query: NetworkQuery) -> list[SecurityGroupRule]:
    return store.page(connection, query, project_id=caller.reach("get_security_group_rule"))


def delete(connection: Connection, caller: Caller, key: str, now: datetime) -> None:
    """Raises NotFound."""
    rule = get(connection, caller, key)
    store.delete(connection, key)
    group_store.update(connection, rule.security_group_id, now=now)


def number(protocol: str) -> int:
    """A protocol's number."""
    return int(protocol) if protocol.isdecimal() else PROTOCOLS[protocol]


def normalized(prefix: str | None) -> str | None:
    """The network of a prefix such as 10.0.0.5/24: 10.0.0.0/24."""
    return None if prefix is None else str(ipaddress.ip_network(prefix, strict=False))


def canonical_protocol(protocol: str | None, ethertype: str) -> str | None:
    """In lower case, with one name for ICMP on IPv6; None is any protocol. Raises Invalid."""
    if protocol is None or protocol.lower() in ANY_PROTOCOL:
        return None
    name = protocol.lower()
    known = int(name) <= PROTOCOL_MAX if name.isdecimal() else name in PROTOCOLS
    if not known:
        values = ", ".join(sorted(PROTOCOLS))
        raise Invalid(
            f"Security group rule protocol {protocol} not supported. Only protocol values "
            f"[{values}] and integer representations [0 to 255] are supported.",
            field="protocol",
            kind="SecurityGroupRuleInvalidProtocol",
        )
    if ethertype == "IPv4" and name in V6_ONLY:
        raise Invalid(
            f"Invalid ethertype {ethertype} for protocol {protocol}.",
            field="ethertype",
            kind="SecurityGroupEthertypeConflictWithProtocol",
        )
    return ICMP_V6 if ethertype == "IPv6" and name in ICMP_ON_V6 else name


def _remote_prefix(wanted: SecurityGroupRuleRequest) -> str | None:
    """The remote prefix, with its length where the request left it out. Raises Invalid, also for more than
    one remote.
    """
    remotes = (wanted.remote_ip_prefix, wanted.remote_group_id, wanted.remote_address_group_id)
    if sum(remote is not None for remote in remotes) > 1:
        raise Invalid(
            "Only one of remote_ip_prefix, remote_group_id and remote_address_group_id may be "
            "provided.",
            field="remote_ip_prefix",
            kind="SecurityGroupMultipleRemoteEntites",
        )
    if wanted.remote_ip_prefix is None:
        return None
    try:
        interface = address.interface(wanted.remote_ip_prefix)
    except ValueError as cause:
        raise Invalid(
            f"Invalid CIDR {wanted.remote_ip_prefix} given as IP prefix.",
            field="remote_ip_prefix",
            kind="InvalidCIDR",
        ) from cause
    if wanted.ethertype != f"IPv{interface.version}":
        raise Invalid(
            f"Conflicting value ethertype {wanted.ethertype} for CIDR {wanted.remote_ip_prefix}",
            field="ethertype",
            kind="SecurityGroupRuleParameterConflict",
        )
    return str(interface)


def _require_ports(protocol: str | None, low: int | None, high: int | None) -> None:
    """Raises Invalid for a port range that does not fit the protocol; ICMP has type and code there."""
    if low is None and high is None:
        return
    if protocol is None:
        raise Invalid(
            "Must also specify protocol if port range is given.",
            field="protocol",
            kind="SecurityGroupProtocolRequiredWithPorts",
        )
    for value in (low, high):
        if value is not None and not 0 <= value <= PORT_MAX:
            raise Invalid(
                f"Invalid value for port {value}",
                field="port_range_min" if value == low else "port_range_max",
                kind="SecurityGroupInvalidPortValue",
            )
    if number(protocol) in ICMP:
        _require_icmp(low, high)
    elif number(protocol) in WITH_PORTS:
        if low is None or high is None or low > high:
            raise Invalid(
                "For TCP/UDP protocols, port_range_min must be <= port_range_max",
                field="port_range_min",
                kind="SecurityGroupInvalidPortRange",
            )
        if low == 0:
            raise Invalid(
                "Invalid value for port 0",
                field="port_range_min",
                kind="SecurityGroupInvalidPortValue",
            )
    else:
        raise Invalid(
            f"Invalid protocol {protocol} for port range, only supported for TCP, UDP, UDPLITE, "
            "SCTP and DCCP.",
            field="protocol",
            kind="SecurityGroupInvalidProtocolForPort",
        )


def _require_icmp(kind: int | None, code: int | None) -> None:
    for field, name, value in (
        ("port_range_min", "type", kind),
        ("port_range_max", "code", code),
    ):
        if value is not None and value > ICMP_MAX:
            raise Invalid(
                f"Invalid value for ICMP {name} ({field}) {value}. It must be 0 to 255.",
                field=field,
                kind="SecurityGroupInvalidIcmpValue",
            )
    if kind is None:
        raise Invalid(
            f"ICMP code (port-range-max) {code} is provided but ICMP type (port-range-min) is "
            "missing.",
            field="port_range_min",
            kind="SecurityGroupMissingIcmpType",
        )


NOT_TRAFFIC = frozenset({"id", "description", "created_at", "updated_at", "revision_number"})


def _traffic(rule: SecurityGroupRule) -> tuple[object, ...]:
    """The traffic that a rule lets through: equal for two rules of which one is superfluous."""
    traffic = {
        item.name: getattr(rule, item.name) for item in fields(rule) if item.name not in NOT_TRAFFIC
    }
    traffic["protocol"] = None if rule.protocol is None else number(rule.protocol)
    traffic["remote_ip_prefix"] = normalized(rule.remote_ip_prefix)
    return tuple(traffic.values())
