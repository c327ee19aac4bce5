"""What listeners, pools, members and health monitors have in common: they are parts of a balancer.

A part says at which revision of its balancer it was made and last changed. Once the network engine
has that revision (`applied_revision` of the balancer), the part is as wanted. Called by the noun
files beside it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any, Generic, Protocol, TypeVar

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from kumoi.cloud.store import schema
from kumoi.cloud.store.load_balancer import load_balancer
from kumoi.cloud.store.network import standard, tag
from kumoi.cloud.store.network.standard import NetworkQuery
from kumoi.cloud.store.schema import ID, NAME


class BalancerPart(Protocol):
    """What every part has."""

    @property
    def id(self) -> str: ...
    @property
    def project_id(self) -> str: ...
    @property
    def load_balancer_id(self) -> str: ...
    @property
    def name(self) -> str: ...
    @property
    def admin_state_up(self) -> bool: ...
    @property
    def made_revision(self) -> int: ...
    @property
    def changed_revision(self) -> int: ...
    @property
    def created_at(self) -> datetime: ...
    @property
    def updated_at(self) -> datetime: ...


Row = TypeVar("Row", bound=BalancerPart)


def columns() -> list[sa.Column[Any]]:
    return [
        *standard.columns(),
        sa.Column(
            "load_balancer_id", ID, sa.ForeignKey("load_balancer.id"), nullable=False, index=True
        ),
        sa.Column("name", NAME, nullable=False),
        sa.Column("admin_state_up", sa.Boolean, nullable=False),
        sa.Column("made_revision", sa.Integer, nullable=False),
        sa.Column("changed_revision", sa.Integer, nullable=False),
    ]


class PartTable(Generic[Row]):
    """The functions that each noun's file has for its rows. Called by the rules of the noun."""

    def __init__(self, table: sa.Table, noun: type[Row]) -> None:
        self._table = table
        self._noun = noun
        self._in_order = sa.select(table).order_by(table.c.made_revision)

    def insert(self, connection: Connection, row: Row) -> None:
        """With the balancer's next revision in place of what the row says."""
        now = row.created_at
        revision = load_balancer.advance(connection, row.load_balancer_id, now=now)
        revisions = {"made_revision": revision, "changed_revision": revision}
        standard.insert(connection, self._table, schema.values(row) | revisions)

    def insert_all(self, connection: Connection, rows: Sequence[Row]) -> None:
        """As `insert`, for parts of one balancer, which have the same revision of it."""
        if not rows:
            return
        now = rows[0].created_at
        revision = load_balancer.advance(connection, rows[0].load_balancer_id, now=now)
        revisions = {"made_revision": revision, "changed_revision": revision}
        schema.insert_all(connection, self._table, [schema.values(row) | revisions for row in rows])
        standard.touch(connection)

    def rebalance_all(
        self,
        connection: Connection,
        changes: Sequence[tuple[Row, Mapping[str, Any]]],
        *,
        now: datetime,
    ) -> None:
        """As `rebalance`, for the changes of parts of one balancer."""
        if not changes:
            return
        balancer_id = changes[0][0].load_balancer_id
        revision = load_balancer.rebalance(connection, balancer_id, now=now)
        common = {"updated_at": now, "changed_revision": revision}
        rows = ((row.id, {**values, **common}) for row, values in changes)
        schema.update_all(connection, self._table, rows, counted="revision_number")

    def delete_all(self, connection: Connection, rows: Sequence[Row], *, now: datetime) -> None:
        """As `delete`, for parts of one balancer."""
        if not rows:
            return
        load_balancer.advance(connection, rows[0].load_balancer_id, now=now)
        keys = [row.id for row in rows]
        tag.delete_all(connection, keys)
        schema.delete_all(connection, self._table, keys)
        standard.touch(connection)

    def get(self, connection: Connection, key: str) -> Row | None:
        return standard.get(connection, self._table, self._noun, key)

    def find(self, connection: Connection, **values: Any) -> list[Row]:
        """Rows whose columns have these values, oldest first."""
        return standard.find(connection, self._table, self._noun, **values)

    def page(self, connection: Connection, query: NetworkQuery, **values: Any) -> list[Row]:
        """Those whose columns have these values; None is any."""
        conditions = [
            self._table.c[name] == value for name, value in values.items() if value is not None
        ]
        return standard.page(connection, self._table, self._noun, query, *conditions)

    def of_balancers(self, connection: Connection, balancer_ids: Collection[str]) -> list[Row]:
        column = self._table.c.load_balancer_id
        return schema.fetch_among(connection, self._in_order, column, balancer_ids, self._noun)

    def every(self, connection: Connection) -> list[Row]:
        return schema.fetch(connection, self._in_order, self._noun)

    def update(self, connection: Connection, row: Row, *, now: datetime, **values: Any) -> None:
        revision = load_balancer.advance(connection, row.load_balancer_id, now=now)
        changed = {**values, "changed_revision": revision}
        standard.update(connection, self._table, row.id, now=now, values=changed)

    def rebalance(self, connection: Connection, row: Row, *, now: datetime, **values: Any) -> None:
        """A change that concerns nothing but who gets connections of the balancer: the network need
        not be planned for it.
        """
        revision = load_balancer.rebalance(connection, row.load_balancer_id, now=now)
        changed = {**values, "updated_at": now, "changed_revision": revision}
        schema.update(connection, self._table, row.id, changed, counted="revision_number")

    def delete(self, connection: Connection, row: Row, *, now: datetime) -> None:
        load_balancer.advance(connection, row.load_balancer_id, now=now)
        standard.delete(connection, self._table, row.id)

    def count(self, connection: Connection, project_id: str) -> int:
        return standard.count(connection, self._table, project_id)

    def count_of_balancer(self, connection: Connection, balancer_id: str) -> int:
        mine = self._table.c.load_balancer_id == balancer_id
        query = sa.select(sa.func.count()).select_from(self._table).where(mine)
        return int(connection.execute(query).scalar_one())
