"""Fixed IPs: which port has which address of a subnet. The table that keeps addresses unique."""

from __future__ import annotations

import ipaddress
from collections.abc import Collection, Sequence

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from kumoi.cloud.store import schema
from kumoi.cloud.store.schema import ID, metadata
from kumoi.engine.statement import Statement, limit

fixed_ip = sa.Table(
    "fixed_ip",
    metadata,
    # The address as 32 hexadecimal digits: text that sorts as addresses do, of either version.
    sa.Column("subnet_id", ID, sa.ForeignKey("subnet.id"), primary_key=True),
    sa.Column("number", sa.String(32), primary_key=True),
    sa.Column("address", sa.String(45), nullable=False, index=True),
    sa.Column(
        "port_id", ID, sa.ForeignKey("port.id", ondelete="CASCADE"), nullable=False, index=True
    ),
)


def insert_all(connection: Connection, port_id: str, addresses: Collection[Sequence[str]]) -> None:
    """`addresses` are (subnet, address) pairs."""
    rows = [
        {
            "subnet_id": subnet_id,
            "number": _text(int(ipaddress.ip_address(address))),
            "address": address,
            "port_id": port_id,
        }
        for subnet_id, address in addresses
    ]
    schema.insert_all(connection, fixed_ip, rows)


def delete_of_port(connection: Connection, port_id: str) -> None:
    connection.execute(sa.delete(fixed_ip).where(fixed_ip.c.port_id == port_id))


def taken_from(connection: Connection, subnet_id: str, first: int, count: int) -> list[int]:
    """The taken addresses of a subnet from `first` on, in order, at most `count`."""
    found = _FROM.rows(connection, subnet=subnet_id, first=_text(first), count=count)
    return [int(number, 16) for (number,) in found]


_FROM = Statement(
    sa.select(fixed_ip.c.number)
    .where(
        fixed_ip.c.subnet_id == sa.bindparam("subnet"), fixed_ip.c.number >= sa.bindparam("first")
    )
    .order_by(fixed_ip.c.number)
    .limit(limit("count"))
)


def owner(connection: Connection, subnet_id: str, address: str) -> str | None:
    """The port that has the address."""
    number = _text(int(ipaddress.ip_address(address)))
    query = sa.select(fixed_ip.c.port_id).where(
        fixed_ip.c.subnet_id == subnet_id, fixed_ip.c.number == number
    )
    return connection.execute(query).scalar_one_or_none()


def count_by_subnet(connection: Connection) -> dict[str, int]:
    query = sa.select(fixed_ip.c.subnet_id, sa.func.count()).group_by(fixed_ip.c.subnet_id)
    return {row[0]: row[1] for row in connection.execute(query)}


def _text(number: int) -> str:
    return f"{number:032x}"
