"""Ports: the rows, with their addresses and security groups."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, fields
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from kumoi.cloud.store import schema
from kumoi.cloud.store.network import fixed_ip as fixed_ip_store
from kumoi.cloud.store.network import standard
from kumoi.cloud.store.network.fixed_ip import fixed_ip
from kumoi.cloud.store.network.network import network
from kumoi.cloud.store.network.standard import NetworkQuery
from kumoi.cloud.store.schema import ID, NAME, NounsAmong, metadata
from kumoi.engine.db import Json
from kumoi.engine.statement import KEYS_MAX, Statement


@dataclass(frozen=True, slots=True)
class Port:
    """`host` is the host that the port is bound to, or empty. `device_index` orders the ports of a
    device; with `delete_with_device` the port is deleted when its server is. `fixed_ips` are
    [subnet, address] pairs and `security_group_ids` ids: copies, for reading, of the tables
    `fixed_ip` and `port_security_group`, which only this file and fixed_ip.py write.
    `allowed_address_pairs` are [address, mac or None] pairs, `extra_dhcp_opts` [name, value, IP version].
    `profile` is an administrator's, and
    nothing here acts on it.
    """

    id: str
    project_id: str
    network_id: str
    name: str
    description: str
    mac_address: str
    admin_state_up: bool
    status: str
    device_id: str
    device_owner: str
    device_index: int
    delete_with_device: bool
    host: str
    vnic_type: str
    port_security_enabled: bool
    allowed_address_pairs: list[list[str | None]]
    fixed_ips: list[list[str]]
    security_group_ids: list[str]
    created_at: datetime
    updated_at: datetime
    revision_number: int
    profile: dict[str, Any] = field(default_factory=dict)
    extra_dhcp_opts: list[list[str]] = field(default_factory=list)
    qos_policy_id: str | None = None
    dns_name: str = ""


port = sa.Table(
    "port",
    metadata,
    *standard.columns(),
    sa.Column("network_id", ID, sa.ForeignKey("network.id"), nullable=False),
    sa.Column("name", NAME, nullable=False),
    sa.Column("mac_address", sa.String(17), nullable=False),
    sa.Column("admin_state_up", sa.Boolean, nullable=False),
    sa.Column("status", sa.String(16), nullable=False),
    sa.Column("device_id", sa.String(255), nullable=False, index=True),
    sa.Column("device_owner", sa.String(255), nullable=False),
    sa.Column("device_index", sa.Integer, nullable=False),
    sa.Column("delete_with_device", sa.Boolean, nullable=False),
    sa.Column("host", sa.String(255), nullable=False),
    sa.Column("vnic_type", sa.String(32), nullable=False),
    sa.Column("port_security_enabled", sa.Boolean, nullable=False),
    sa.Column("allowed_address_pairs", Json, nullable=False),
    sa.Column("fixed_ips", Json, nullable=False),
    sa.Column("security_group_ids", Json, nullable=False),
    sa.Column("profile", Json, nullable=False, server_default="{}"),
    sa.Column("extra_dhcp_opts", Json, nullable=False, server_default="[]"),
    sa.Column("qos_policy_id", ID, index=True),
    sa.Column("dns_name", sa.String(255), nullable=False, server_default=""),
    sa.UniqueConstraint("network_id", "mac_address"),
)

port_security_group = sa.Table(
    "port_security_group",
    metadata,
    sa.Column("port_id", ID, sa.ForeignKey("port.id", ondelete="CASCADE"), primary_key=True),
    sa.Column(
        "security_group_id", ID, sa.ForeignKey("security_group.id"), primary_key=True, index=True
    ),
)


def insert(connection: Connection, row: Port) -> None:
    """With its fixed IPs and its places in security groups."""
    standard.insert(connection, port, schema.values(row))
    fixed_ip_store.insert_all(connection, row.id, row.fixed_ips)
    _insert_groups(connection, row.id, row.security_group_ids)


def get(connection: Connection, key: str) -> Port | None:
    return standard.get(connection, port, Port, key)


def find(connection: Connection, **values: Any) -> list[Port]:
    """Ports whose columns have these values, oldest first."""
    return standard.find(connection, port, Port, **values)


def many(connection: Connection, keys: Collection[str]) -> dict[str, Port]:
    rows = schema.fetch_among(connection, sa.select(port), port.c.id, keys, Port)
    return {row.id: row for row in rows}


def of_devices(connection: Connection, device_ids: Collection[str]) -> list[Port]:
    """The ports of devices, in the order in which they were attached."""
    query = sa.select(port).order_by(port.c.device_index, port.c.id)
    return schema.fetch_among(connection, query, port.c.device_id, device_ids, Port)


def of_servers(connection: Connection, server_ids: Collection[str]) -> list[Port]:
    """The ports bound for servers, in the same order. A port without a host is no server's,
    whatever its `device_id`: any user may write any server's id into a port of their own.
    """
    return _OF_SERVERS.all(connection, server_ids)


_OF_SERVERS = NounsAmong(
    sa.select(port).where(port.c.host != "").order_by(port.c.device_index, port.c.id),
    port.c.device_id,
    Port,
)


def on_subnet(
    connection: Connection, subnet_id: str, *, device_owner: str | None = None
) -> list[Port]:
    """The ports that have an address of a subnet; with `device_owner`, of that owner only."""
    holders = sa.select(fixed_ip.c.port_id).where(fixed_ip.c.subnet_id == subnet_id)
    query = sa.select(port).where(port.c.id.in_(holders)).order_by(port.c.created_at, port.c.id)
    if device_owner is not None:
        query = query.where(port.c.device_owner == device_owner)
    return schema.fetch(connection, query, Port)


def devices_on_subnet(
    connection: Connection, subnet_id: str, *, owner_prefix: str
) -> list[tuple[str, str]]:
    """The host and the id of each such device that has a port on a subnet and is on a host."""
    query = (
        sa.select(port.c.host, port.c.device_id)
        .join(fixed_ip, fixed_ip.c.port_id == port.c.id)
        .where(
            fixed_ip.c.subnet_id == subnet_id,
            port.c.host != "",
            port.c.device_owner.startswith(owner_prefix),
        )
        .distinct()
        .order_by(port.c.host, port.c.device_id)
    )
    return [(host, device_id) for host, device_id in connection.execute(query)]


def page(connection: Connection, query: NetworkQuery, *, project_id: str | None) -> list[Port]:
    """One page; with `project_id`, that project's own ports and those on its networks."""
    conditions: list[sa.ColumnElement[bool]] = []
    if project_id is not None:
        mine = sa.select(network.c.id).where(network.c.project_id == project_id)
        conditions.append((port.c.project_id == project_id) | port.c.network_id.in_(mine))
    conditions += _having_fixed_ips(query.special.get("fixed_ips", ()))
    groups = query.special.get("security_groups", ())
    if groups:
        holders = sa.select(port_security_group.c.port_id).where(
            port_security_group.c.security_group_id.in_(groups)
        )
        conditions.append(port.c.id.in_(holders))
    macs = query.special.get("mac_address", ())
    if macs:
        conditions.append(port.c.mac_address.in_([mac.lower() for mac in macs]))
    return standard.page(connection, port, Port, query, *conditions)


def every(connection: Connection) -> list[Port]:
    return schema.fetch(connection, sa.select(port), Port)


@dataclass(frozen=True, slots=True)
class PortSummary:
    """The columns of a port that its status follows from, and no more: the worker reads all ports."""

    id: str
    status: str
    host: str
    device_owner: str
    admin_state_up: bool


def summaries(connection: Connection) -> list[PortSummary]:
    """The summaries of all ports."""
    columns = [port.c[item.name] for item in fields(PortSummary)]
    return schema.fetch(connection, sa.select(*columns), PortSummary)


def set_status(connection: Connection, keys: Sequence[str], status: str) -> None:
    """Observed, not wanted: neither the revision nor the feed changes."""
    for start in range(0, len(keys), KEYS_MAX):
        some = keys[start : start + KEYS_MAX]
        connection.execute(sa.update(port).where(port.c.id.in_(some)).values(status=status))


def mac_is_taken(connection: Connection, network_id: str, mac: str) -> bool:
    return _WITH_MAC.row(connection, network=network_id, mac=mac) is not None


_WITH_MAC = Statement(
    sa.select(port.c.id).where(
        port.c.network_id == sa.bindparam("network"), port.c.mac_address == sa.bindparam("mac")
    )
)


def group_is_used(connection: Connection, group_id: str) -> bool:
    query = sa.select(port_security_group.c.port_id).where(
        port_security_group.c.security_group_id == group_id
    )
    return connection.execute(query.limit(1)).first() is not None


def update(connection: Connection, key: str, *, now: datetime, **values: Any) -> None:
    """Likewise with its fixed IPs and security groups, where `values` has them."""
    standard.update(connection, port, key, now=now, values=values)
    if "fixed_ips" in values:
        fixed_ip_store.delete_of_port(connection, key)
        fixed_ip_store.insert_all(connection, key, values["fixed_ips"])
    if "security_group_ids" in values:
        connection.execute(
            sa.delete(port_security_group).where(port_security_group.c.port_id == key)
        )
        _insert_groups(connection, key, values["security_group_ids"])


def delete(connection: Connection, key: str) -> None:
    """With its fixed IPs and its places in security groups."""
    standard.delete(connection, port, key)


def count(connection: Connection, project_id: str) -> int:
    return standard.count(connection, port, project_id)


def _insert_groups(connection: Connection, key: str, group_ids: Collection[str]) -> None:
    rows = [{"port_id": key, "security_group_id": group} for group in sorted(set(group_ids))]
    schema.insert_all(connection, port_security_group, rows)


def _having_fixed_ips(filters: Sequence[str]) -> list[sa.ColumnElement[bool]]:
    """Conditions from `ip_address=…`, `subnet_id=…` and `ip_address_substr=…`; several of one kind
    are alternatives.
    """
    kinds: dict[str, list[str]] = {}
    for item in filters:
        kind, _, value = item.partition("=")
        kinds.setdefault(kind, []).append(value)
    found: list[sa.ColumnElement[bool]] = []
    for kind, values in kinds.items():
        if kind == "ip_address":
            matches: sa.ColumnElement[bool] = fixed_ip.c.address.in_(values)
        elif kind == "subnet_id":
            matches = fixed_ip.c.subnet_id.in_(values)
        else:
            matches = sa.or_(*(fixed_ip.c.address.contains(v, autoescape=True) for v in values))
        found.append(port.c.id.in_(sa.select(fixed_ip.c.port_id).where(matches)))
    return found
