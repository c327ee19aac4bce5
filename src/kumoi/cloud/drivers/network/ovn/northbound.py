"""The rows of OVN's northbound database that Kumoi writes, as records, and how they are named.

plan.py makes and compares records; apply.py reads and writes them. A record has the columns that Kumoi
uses: a column that is not here is never read nor written. ovn-nb(5) says what the columns mean.

Each row says in `external_ids` what it is: `kumoi:kind` and `kumoi:id`. Rows without these are not
ours.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar, NamedTuple, NewType, get_type_hints

from kumoi.cloud.drivers.network.ovsdb import Column, Table

DATABASE = "OVN_Northbound"
KIND = "kumoi:kind"
ID = "kumoi:id"
GENERATION = "kumoi:generation"
LABEL = "kumoi:name"

SwitchName = NewType("SwitchName", str)
SwitchPortName = NewType("SwitchPortName", str)
RouterName = NewType("RouterName", str)
RouterPortName = NewType("RouterPortName", str)
PortGroupName = NewType("PortGroupName", str)

Pairs = frozenset[tuple[str, str]]
"""A map column."""
Counts = frozenset[tuple[str, int]]
"""A map column whose values are integers."""
Texts = frozenset[str]
"""A set column."""

NO_PAIRS: Pairs = frozenset()
NO_COUNTS: Counts = frozenset()
NO_TEXTS: Texts = frozenset()


class RecordKind(enum.StrEnum):
    """What a record is. Together with the id of the noun that it was made from, its key."""

    NETWORK = "network"
    LOCALNET = "localnet"
    STORM = "storm"
    ANSWERS = "answers"
    RATE = "rate"
    DSCP = "dscp"
    DHCP = "dhcp"
    PORT = "port"
    ROUTER = "router"
    ROUTER_PORT = "router_port"
    ROUTER_PEER = "router_peer"
    GATEWAY = "gateway"
    ROUTE = "route"
    SNAT = "snat"
    FLOATING_IP = "floating_ip"
    SECURITY_GROUP = "security_group"
    RULE = "rule"
    LISTENER = "listener"
    ALLOWED_CIDRS = "allowed_cidrs"
    ALLOWED_CIDRS_RULE = "allowed_cidrs_rule"
    FLOATING_LISTENER = "floating_listener"
    FORWARDING = "forwarding"
    BALANCER_ROUTER = "balancer_router"
    BALANCER_PORT = "balancer_port"
    BALANCER_PEER = "balancer_peer"
    BALANCER_ROUTE = "balancer_route"
    STATION_SWITCH = "station_switch"
    STATION_GATEWAY = "station_gateway"
    STATION_PEER = "station_peer"
    STATION_PORT = "station_port"
    STATION_POLICY = "station_policy"
    STATION_EVERY = "station_every"
    FOREIGN = "foreign"  # Not ours; the id is the row's name.


class RecordKey(NamedTuple):
    kind: RecordKind
    id: str

    def __str__(self) -> str:
        return f"{self.kind}/{self.id}"


def _refers(table: str) -> dict[str, str]:
    """Metadata of a field whose column refers to rows of `table`. The record has their keys; records
    are compared without it, for plan.py compares references row by row.
    """
    return {"refers": table}


@dataclass(frozen=True, slots=True, kw_only=True)
class NorthboundRecord:
    """`parent` is the record whose row holds this one; rows of root tables have none."""

    TABLE: ClassVar[str] = ""
    HOLDER: ClassVar[tuple[str, str] | None] = None
    """The parent's table and the column there that holds rows of this table."""

    key: RecordKey = field(metadata={"column": False})
    parent: RecordKey | None = field(default=None, compare=False, metadata={"column": False})
    external_ids: Pairs


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadBalancerRecord(NorthboundRecord):
    """`vips` is virtual address and port to backends, several with commas between."""

    TABLE: ClassVar[str] = "Load_Balancer"

    name: str
    protocol: str | None
    vips: Pairs
    selection_fields: Texts = NO_TEXTS
    options: Pairs = NO_PAIRS


@dataclass(frozen=True, slots=True, kw_only=True)
class LogicalSwitch(NorthboundRecord):
    TABLE: ClassVar[str] = "Logical_Switch"

    name: SwitchName
    load_balancer: frozenset[RecordKey] = field(
        default=frozenset(), compare=False, metadata=_refers("Load_Balancer")
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class DhcpOptions(NorthboundRecord):
    TABLE: ClassVar[str] = "DHCP_Options"

    cidr: str
    options: Pairs


@dataclass(frozen=True, slots=True, kw_only=True)
class LogicalSwitchPort(NorthboundRecord):
    TABLE: ClassVar[str] = "Logical_Switch_Port"
    HOLDER: ClassVar[tuple[str, str] | None] = ("Logical_Switch", "ports")

    name: SwitchPortName
    type: str = ""
    enabled: bool | None = None
    addresses: Texts = NO_TEXTS
    port_security: Texts = NO_TEXTS
    options: Pairs = NO_PAIRS
    dhcpv4_options: RecordKey | None = field(
        default=None, compare=False, metadata=_refers("DHCP_Options")
    )
    dhcpv6_options: RecordKey | None = field(
        default=None, compare=False, metadata=_refers("DHCP_Options")
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Qos(NorthboundRecord):
    """`bandwidth` is `rate` and `burst`, in kilobits per second and kilobits; `action` has `dscp`."""

    TABLE: ClassVar[str] = "QoS"
    HOLDER: ClassVar[tuple[str, str] | None] = ("Logical_Switch", "qos_rules")

    direction: str
    priority: int
    match: str
    bandwidth: Counts = NO_COUNTS
    action: Counts = NO_COUNTS


@dataclass(frozen=True, slots=True, kw_only=True)
class LogicalRouter(NorthboundRecord):
    TABLE: ClassVar[str] = "Logical_Router"

    name: RouterName
    enabled: bool | None = None
    options: Pairs = NO_PAIRS
    load_balancer: frozenset[RecordKey] = field(
        default=frozenset(), compare=False, metadata=_refers("Load_Balancer")
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class LogicalRouterPort(NorthboundRecord):
    TABLE: ClassVar[str] = "Logical_Router_Port"
    HOLDER: ClassVar[tuple[str, str] | None] = ("Logical_Router", "ports")

    name: RouterPortName
    mac: str
    networks: Texts
    ipv6_ra_configs: Pairs = NO_PAIRS


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayChassis(NorthboundRecord):
    TABLE: ClassVar[str] = "Gateway_Chassis"
    HOLDER: ClassVar[tuple[str, str] | None] = ("Logical_Router_Port", "gateway_chassis")

    name: str
    chassis_name: str
    priority: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StaticRoute(NorthboundRecord):
    TABLE: ClassVar[str] = "Logical_Router_Static_Route"
    HOLDER: ClassVar[tuple[str, str] | None] = ("Logical_Router", "static_routes")

    ip_prefix: str
    nexthop: str
    output_port: RouterPortName | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RouterPolicy(NorthboundRecord):
    TABLE: ClassVar[str] = "Logical_Router_Policy"
    HOLDER: ClassVar[tuple[str, str] | None] = ("Logical_Router", "policies")

    priority: int
    match: str
    action: str
    nexthops: Texts = NO_TEXTS


@dataclass(frozen=True, slots=True, kw_only=True)
class Nat(NorthboundRecord):
    TABLE: ClassVar[str] = "NAT"
    HOLDER: ClassVar[tuple[str, str] | None] = ("Logical_Router", "nat")

    type: str
    external_ip: str
    logical_ip: str
    external_mac: str | None = None
    logical_port: SwitchPortName | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PortGroup(NorthboundRecord):
    TABLE: ClassVar[str] = "Port_Group"

    name: PortGroupName
    ports: frozenset[RecordKey] = field(
        default=frozenset(), compare=False, metadata=_refers("Logical_Switch_Port")
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Acl(NorthboundRecord):
    TABLE: ClassVar[str] = "ACL"
    HOLDER: ClassVar[tuple[str, str] | None] = ("Port_Group", "acls")

    direction: str
    priority: int
    match: str
    action: str


RECORDS: tuple[type[NorthboundRecord], ...] = (
    LogicalSwitch,
    DhcpOptions,
    LogicalSwitchPort,
    Qos,
    LogicalRouter,
    LogicalRouterPort,
    GatewayChassis,
    StaticRoute,
    RouterPolicy,
    Nat,
    PortGroup,
    Acl,
    LoadBalancerRecord,
)
"""A parent's table before the tables of its children."""

NAMED_ONCE = frozenset(
    {"Logical_Switch_Port", "Logical_Router_Port", "Gateway_Chassis", "Port_Group"}
)
"""Tables in which OVN allows a name only once: a foreign row with a name of ours is taken over."""


GLOBAL = "NB_Global"
ASKED, HAVE = "nb_cfg", "hv_cfg"
"""Each host says of itself the newest number that it saw and has flows of; `HAVE` is the lowest of all."""
MARKS, PLANNED = "external_ids", "kumoi:planned"
"""Each plan writes another value there, and expects the one that it was made from."""


def columns_of(record: type[NorthboundRecord]) -> tuple[str, ...]:
    """Names of a record's columns, in a fixed order."""
    return tuple(item.name for item in fields(record) if item.metadata.get("column", True))


def references_of(record: type[NorthboundRecord]) -> Mapping[str, str]:
    """Columns that refer to other rows, each with the table of those rows."""
    return {
        item.name: item.metadata["refers"] for item in fields(record) if "refers" in item.metadata
    }


def tables() -> tuple[Table, ...]:
    """What a connection must replicate: the records' columns, those by which a parent refers to its
    children, whether a port is up, and what hosts have.
    """
    columns: dict[str, dict[str, Column]] = {}
    for record in RECORDS:
        hints, refers = get_type_hints(record), references_of(record)
        columns[record.TABLE] = {
            name: _column(hints[name], refers.get(name)) for name in columns_of(record)
        }
    for record in RECORDS:
        if record.HOLDER is not None:
            holder, column = record.HOLDER
            columns[holder][column] = Column(refers=record.TABLE, many=True)
    columns["Logical_Switch_Port"]["up"] = Column(type="boolean", optional=True)
    numbers = {name: Column(type="integer") for name in (ASKED, HAVE)}
    marks = {MARKS: Column(pairs=True)}
    return (
        *(
            Table(name=record.TABLE, columns=columns[record.TABLE], root=record.HOLDER is None)
            for record in RECORDS
        ),
        Table(name=GLOBAL, columns=numbers | marks, root=True),
    )


def _column(hint: Any, refers: str | None) -> Column:
    """The column of a field of this type. A `NewType` of text is text."""
    if refers is not None:
        return Column(
            refers=refers, many=hint == frozenset[RecordKey], optional=hint != frozenset[RecordKey]
        )
    if hint == Pairs:
        return Column(pairs=True)
    if hint == Counts:
        return Column(pairs=True, counts=True)
    if hint == Texts:
        return Column(many=True)
    types = set(getattr(hint, "__args__", (hint,)))
    return Column(
        type=next((name for python, name in _TYPES.items() if python in types), "string"),
        optional=type(None) in types,
    )


_TYPES = {bool: "boolean", int: "integer"}
