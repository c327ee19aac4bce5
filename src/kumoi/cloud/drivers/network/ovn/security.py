"""Security groups as port groups with access lists. Pure.

Called by plan.py. A port with port security is in one port group that drops all IP in both directions,
and in one for each of its security groups, whose rules allow. Answers to allowed traffic are allowed.
Without any rule ARP, neighbour discovery and DHCP still work: a port must be able to learn its address
and find its neighbours. No rule lets out what only DHCP servers say, and redirects: a server that is to
say so has a port without port security. OVN 23.03 asks no list about advertisements of routers: they are
dropped at their sender's link (drivers/network/router_guard.py).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator

from kumoi.cloud.drivers.network.interface import Direction, Ethertype, RuleSpec, SecurityGroupSpec
from kumoi.cloud.drivers.network.ovn.index import Index, is_ipv4, marks
from kumoi.cloud.drivers.network.ovn.northbound import (
    Acl,
    NorthboundRecord,
    PortGroup,
    PortGroupName,
    RecordKey,
    RecordKind,
)
from kumoi.cloud.drivers.network.ovn.switching import port_key

DROP_PRIORITY = 1001
ALLOW_PRIORITY = 1002
FORGED_PRIORITY = 1003

DROP = RecordKey(RecordKind.SECURITY_GROUP, "drop")
DROP_NAME = PortGroupName("kumoi_drop")

FROM_PORT = "from-lport"
TO_PORT = "to-lport"

FORGED = {
    "redirect": "icmp4 && icmp4.type == 5",
    "redirectv6": "icmp6 && icmp6.type == 137",
    "dhcp-answer": "ip4 && udp.src == 67 && udp.dst == 68",
    "dhcpv6-answer": "ip6 && udp.src == 547 && udp.dst == 546",
}
"""What no server may say of itself, whatever its groups allow."""

DROP_RULES = (
    ("egress-drop", FROM_PORT, DROP_PRIORITY, "inport == @kumoi_drop && ip", "drop"),
    ("ingress-drop", TO_PORT, DROP_PRIORITY, "outport == @kumoi_drop && ip", "drop"),
    (
        "egress-dhcp",
        FROM_PORT,
        ALLOW_PRIORITY,
        "inport == @kumoi_drop && ip4 && udp.src == 68 && udp.dst == 67",
        "allow",
    ),
    (
        "egress-dhcpv6",
        FROM_PORT,
        ALLOW_PRIORITY,
        "inport == @kumoi_drop && ip6 && udp.src == 546 && udp.dst == 547",
        "allow",
    ),
    (
        "egress-neighbours",
        FROM_PORT,
        ALLOW_PRIORITY,
        "inport == @kumoi_drop && (nd || nd_rs || mldv1 || mldv2)",
        "allow",
    ),
    (
        "ingress-neighbours",
        TO_PORT,
        ALLOW_PRIORITY,
        "outport == @kumoi_drop && (nd || nd_ra || mldv1 || mldv2)",
        "allow",
    ),
    *(
        (f"egress-{name}", FROM_PORT, FORGED_PRIORITY, f"inport == @kumoi_drop && {match}", "drop")
        for name, match in FORGED.items()
    ),
)

NUMBERS = {
    "ah": 51,
    "dccp": 33,
    "egp": 8,
    "esp": 50,
    "gre": 47,
    "igmp": 2,
    "ipip": 4,
    "ipv6-encap": 41,
    "ipv6-frag": 44,
    "ipv6-nonxt": 59,
    "ipv6-opts": 60,
    "ipv6-route": 43,
    "ospf": 89,
    "pgm": 113,
    "rsvp": 46,
    "udplite": 136,
    "vrrp": 112,
}
TRANSPORTS = {"tcp": "tcp", "6": "tcp", "udp": "udp", "17": "udp", "sctp": "sctp", "132": "sctp"}
ICMP = frozenset({"icmp", "1", "icmpv6", "ipv6-icmp", "58"})


def records(index: Index) -> Iterator[NorthboundRecord]:
    secured = [port for port in index.endpoints.values() if port.port_security_enabled]
    if secured:
        yield from _drop(frozenset(port_key(port.id) for port in secured))
    members: dict[str, set[RecordKey]] = {
        group.id: set() for group in index.topology.security_groups
    }
    for port in secured:
        for group_id in port.security_group_ids:
            if group_id in members:
                members[group_id].add(port_key(port.id))
    for group in index.topology.security_groups:
        yield from _group(group, frozenset(members[group.id]), known=members)


def _drop(ports: frozenset[RecordKey]) -> Iterator[NorthboundRecord]:
    yield PortGroup(key=DROP, external_ids=marks(DROP), name=DROP_NAME, ports=ports)
    for name, direction, priority, match, action in DROP_RULES:
        key = RecordKey(RecordKind.RULE, name)
        yield Acl(
            key=key,
            parent=DROP,
            external_ids=marks(key),
            direction=direction,
            priority=priority,
            match=match,
            action=action,
        )


def _group(
    group: SecurityGroupSpec, ports: frozenset[RecordKey], *, known: Collection[str]
) -> Iterator[NorthboundRecord]:
    key = RecordKey(RecordKind.SECURITY_GROUP, group.id)
    name = _group_name(group.id)
    yield PortGroup(
        key=key, external_ids=marks(key, name=group.name), name=PortGroupName(name), ports=ports
    )
    for rule in group.rules:
        match = _match(name, rule)
        if match is None or (rule.remote_group_id and rule.remote_group_id not in known):
            continue
        rule_key = RecordKey(RecordKind.RULE, rule.id)
        yield Acl(
            key=rule_key,
            parent=key,
            external_ids=marks(rule_key),
            direction=TO_PORT if rule.direction == Direction.INGRESS else FROM_PORT,
            priority=ALLOW_PRIORITY,
            match=match,
            action="allow-related" if group.stateful else "allow-stateless",
        )


def _group_name(group_id: str) -> str:
    """A name without dashes, which a match does not allow."""
    return f"kumoi_{group_id.replace('-', '_')}"


def _match(group_name: str, rule: RuleSpec) -> str | None:
    """The rule in OVN's match language; None where it allows nothing: with an unknown protocol, or
    networks of the other IP version only.
    """
    inward = rule.direction == Direction.INGRESS
    family = "ip4" if rule.ethertype == Ethertype.IPV4 else "ip6"
    far_end = f"{family}.{'src' if inward else 'dst'}"
    terms = [f"{'outport' if inward else 'inport'} == @{group_name}", family]
    if rule.remote_prefix and not rule.remote_prefix.endswith("/0"):
        terms.append(f"{far_end} == {rule.remote_prefix}")
    if rule.remote_networks is not None:
        networks = [each for each in rule.remote_networks if is_ipv4(each) == (family == "ip4")]
        if not networks:
            return None
        terms.append(f"{far_end} == {{{', '.join(networks)}}}")
    if rule.remote_group_id:
        # OVN keeps an address set of each port group's members, named after it.
        terms.append(f"{far_end} == ${_group_name(rule.remote_group_id)}_{family}")
    protocol = _protocol(rule, family)
    if protocol is None:
        return None
    return " && ".join([*terms, *protocol])


def _protocol(rule: RuleSpec, family: str) -> list[str] | None:
    wanted = rule.protocol.lower() if rule.protocol else None
    if wanted in (None, "any"):
        return []
    if wanted in TRANSPORTS:
        transport, low, high = TRANSPORTS[wanted], rule.port_min, rule.port_max
        bounds = {"==": low} if low == high else {">=": low, "<=": high}
        ports = bounds.items()
        return [
            transport,
            *(f"{transport}.dst {sign} {port}" for sign, port in ports if port is not None),
        ]
    if wanted in ICMP:
        name = "icmp4" if family == "ip4" else "icmp6"
        kinds = {f"{name}.type": rule.port_min, f"{name}.code": rule.port_max}
        return [name, *(f"{what} == {value}" for what, value in kinds.items() if value is not None)]
    number = NUMBERS.get(str(wanted), int(str(wanted)) if str(wanted).isdecimal() else None)
    return None if number is None else [f"ip.proto == {number}"]
