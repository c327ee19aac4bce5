"""Keys and certificates of listeners and pools, sealed: the rows. A row is what one reference named.

They are a table of their own, since who plans the network or lists balancers has no use for them.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import asdict, dataclass

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from kumoi.cloud.store import schema
from kumoi.cloud.store.schema import ID, metadata


@dataclass(frozen=True, slots=True)
class TlsMaterial:
    """`name` is the column of the listener or pool whose reference it was, `part_id` that one's id.
    `sealed` is a list of PEM texts as JSON.
    """

    part_id: str
    name: str
    load_balancer_id: str
    sealed: bytes


material = sa.Table(
    "load_balancer_tls_material",
    metadata,
    sa.Column("part_id", ID, primary_key=True),
    sa.Column("name", sa.String(64), primary_key=True),
    sa.Column(
        "load_balancer_id", ID, sa.ForeignKey("load_balancer.id"), nullable=False, index=True
    ),
    sa.Column("sealed", sa.LargeBinary, nullable=False),
)


def replace(
    connection: Connection, part_id: str, names: Collection[str], rows: Collection[TlsMaterial]
) -> None:
    """What the part has by these names is `rows`."""
    connection.execute(
        sa.delete(material).where(material.c.part_id == part_id, material.c.name.in_(names))
    )
    for row in rows:
        connection.execute(sa.insert(material).values(asdict(row)))


def forget(connection: Connection, part_id: str) -> None:
    connection.execute(sa.delete(material).where(material.c.part_id == part_id))


def forget_balancer(connection: Connection, balancer_id: str) -> None:
    """That of all of its parts."""
    connection.execute(sa.delete(material).where(material.c.load_balancer_id == balancer_id))


def of_balancers(connection: Connection, balancer_ids: Collection[str]) -> list[TlsMaterial]:
    query = sa.select(material)
    return schema.fetch_among(
        connection, query, material.c.load_balancer_id, balancer_ids, TlsMaterial
    )
