"""The only writer of OVN's northbound database.

`OvnNorthbound` is used by the worker's network reconciler. It reads the rows from a live replica,
plans, and commits the plan in one transaction; it chooses nothing. The record made of a row is kept
until the row changes, so that a round in which nothing changed costs little.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from kumoi.base.errors import Bug
from kumoi.cloud.drivers.network import ovsdb
from kumoi.cloud.drivers.network.interface import (
    Applied,
    BalancerSpec,
    ObservedNetwork,
    Topology,
)
from kumoi.cloud.drivers.network.ovn import northbound
from kumoi.cloud.drivers.network.ovn.northbound import (
    ID,
    KIND,
    NorthboundRecord,
    RecordKey,
    RecordKind,
)
from kumoi.cloud.drivers.network.ovn.plan import (
    Action,
    Create,
    Delete,
    RowReference,
    SeenRow,
    Update,
    desired,
    plan,
    plan_members,
)

EMPTY: tuple[Any, ...] = (None, "", frozenset())
"""A column's value before anything is written to it."""
PORT_TABLE = northbound.LogicalSwitchPort.TABLE
HOLDERS = tuple(record.HOLDER for record in northbound.RECORDS if record.HOLDER is not None)
"""Tables and their columns that refer to children."""


class OvnNorthbound(ovsdb.OvsdbClient):
    """Implements `interface.Northbound`.

    `remote` is in OVSDB's notation, such as unix:/run/ovn/ovnnb_db.sock, `certificate` what `ssl:` needs.
    `changed` is called, from another thread, after anything in the database has changed: a hint, never data.
    """

    def __init__(
        self,
        remote: str,
        *,
        changed: Callable[[], None] | None = None,
        certificate: tuple[Path, Path, Path] | None = None,
        timeout_s: float = ovsdb.DEFAULT_TIMEOUT_S,
    ) -> None:
        connection = ovsdb.Connection(
            remote,
            northbound.DATABASE,
            northbound.tables(),
            changed=changed,
            certificate=certificate,
        )
        super().__init__(connection, timeout_s)
        self._mirror = _Mirror()

    def converge(self, topology: Topology, *, asks: bool = False) -> Applied:
        wanted = desired(topology)
        return self._change(lambda seen: plan(wanted, seen), asks=asks)

    def rebalance(self, balancers: Collection[BalancerSpec]) -> Applied:
        return self._change(lambda seen: plan_members(balancers, seen))

    def _change(
        self, plans: Callable[[list[SeenRow]], list[Action]], *, asks: bool = False
    ) -> Applied:
        """What is planned from the rows that are there, in one transaction."""

        def change(database: ovsdb.ReplicaTransaction) -> Applied:
            actions = plans(self._mirror.read(database, self._connection.take_changed_rows()))
            _apply(database, actions)
            if actions:
                _succeed(database)
            sequence = _ask(database, again=asks and bool(actions))
            return Applied(tuple(str(action) for action in actions), sequence)

        return self._connection.transact(change, timeout_s=self._timeout_s)

    def observe(self) -> ObservedNetwork:
        with self._connection.reading(timeout_s=self._timeout_s) as database:
            up = (
                _key_of(row, database, PORT_TABLE)
                for row in database.rows(PORT_TABLE)
                if database.value(row, PORT_TABLE, "up") is True
            )
            ports = frozenset(key.id for key in up if key.kind == RecordKind.PORT)
            return ObservedNetwork(ports, _number(database, northbound.HAVE))


def _succeed(database: ovsdb.ReplicaTransaction) -> None:
    """Be taken only where nothing was planned since the rows were read: neither by another worker, nor
    by us in a transaction of which we lost the answer. There is no row until OVN has begun to work.
    """
    for row in database.rows(northbound.GLOBAL):
        database.expect(row, northbound.MARKS)
        database.write_key(row, northbound.MARKS, northbound.PLANNED, str(uuid.uuid4()))


def _ask(database: ovsdb.ReplicaTransaction, *, again: bool) -> int:
    """The number by which hosts say that they have all that was written until now."""
    number = _number(database, northbound.ASKED) + again
    for row in database.rows(northbound.GLOBAL) if again else ():
        database.write(row, northbound.GLOBAL, northbound.ASKED, number)
    return number


def _number(database: ovsdb.Replica, column: str) -> int:
    rows = database.rows(northbound.GLOBAL)
    return max(
        (int(str(database.value(row, northbound.GLOBAL, column))) for row in rows), default=0
    )


class _MirroredRow(NamedTuple):
    """What was made of a row when it was last read. `row` is the library's object: a new row of the
    same id is another object. `children` are the rows that it refers to as its own.
    """

    row: ovsdb.Row
    record: NorthboundRecord
    references: Mapping[str, frozenset[uuid.UUID]]
    children: Iterable[uuid.UUID]


class _Mirror:
    """The records of all rows, each made anew when its row has changed."""

    def __init__(self) -> None:
        self._rows: dict[uuid.UUID, _MirroredRow] = {}

    def read(self, database: ovsdb.Replica, changed: Iterable[uuid.UUID]) -> list[SeenRow]:
        for row_id in changed:
            self._rows.pop(row_id, None)
        before, self._rows = self._rows, {}
        holders: dict[uuid.UUID, uuid.UUID] = {}
        for record in northbound.RECORDS:
            for row in database.rows(record.TABLE):
                known = before.get(row.uuid)
                if known is None or known.row is not row:
                    known = _read(row, record, database)
                self._rows[row.uuid] = known
                for child in known.children:
                    holders[child] = row.uuid
        return [
            SeenRow(row_id, known.record, holders.get(row_id), known.references)
            for row_id, known in self._rows.items()
        ]


def _read(row: ovsdb.Row, kind: type[NorthboundRecord], database: ovsdb.Replica) -> _MirroredRow:
    table = kind.TABLE
    refers = northbound.references_of(kind)
    plain: dict[str, Any] = {
        name: database.value(row, table, name)
        for name in northbound.columns_of(kind)
        if name not in refers
    }
    record = kind(key=_key_of(row, database, table), **plain)
    references = {column: _row_ids(database.value(row, table, column)) for column in refers}
    children = [
        child
        for holder, column in HOLDERS
        if holder == table
        for child in _row_ids(database.value(row, table, column))
    ]
    return _MirroredRow(row, record, references, children)


def _key_of(row: ovsdb.Row, database: ovsdb.Replica, table: str) -> RecordKey:
    marks: dict[str, str] = dict(database.value(row, table, "external_ids"))  # type: ignore[arg-type]
    kind, own_id = marks.get(KIND), marks.get(ID)
    if kind in _KINDS and own_id is not None:
        return RecordKey(_KINDS[kind], own_id)
    return RecordKey(RecordKind.FOREIGN, getattr(row, "name", "") or str(row.uuid))


_KINDS = {kind.value: kind for kind in RecordKind if kind != RecordKind.FOREIGN}


def _row_ids(value: Any) -> frozenset[uuid.UUID]:
    """Ids of the rows that a column refers to, whether it is one, several or none."""
    if value is None:
        return frozenset()
    rows = value if isinstance(value, frozenset) else (value,)
    return frozenset(row.uuid for row in rows)


def _apply(database: ovsdb.ReplicaTransaction, actions: Iterable[Action]) -> None:
    """Write the actions. All rows are inserted first, so that references find them."""
    created: dict[RecordKey, ovsdb.Row] = {}
    actions = tuple(actions)
    for action in actions:
        if isinstance(action, Create):
            created[action.record.key] = database.insert(action.record.TABLE)
    writer = _Writer(database, created)
    deleted = frozenset(action.row for action in actions if isinstance(action, Delete))
    for action in actions:
        match action:
            case Create():
                writer.create(action)
            case Update():
                writer.update(action)
            case Delete():
                writer.delete(action, deleted)


class _Writer:
    def __init__(
        self, database: ovsdb.ReplicaTransaction, created: Mapping[RecordKey, ovsdb.Row]
    ) -> None:
        self._database = database
        self._created = created

    def create(self, action: Create) -> None:
        record = action.record
        row = self._created[record.key]
        refers = northbound.references_of(type(record))
        for name in northbound.columns_of(type(record)):
            value = getattr(record, name)
            if name not in refers and value not in EMPTY:
                self._database.write(row, record.TABLE, name, value)
        for column, target in action.references:
            self._refer(row, record, column, target)
        if record.HOLDER is not None and action.holder is not None:
            table, column = record.HOLDER
            self._database.add(self._row(table, action.holder), column, row)

    def update(self, action: Update) -> None:
        record = action.record
        row = self._row(record.TABLE, RowReference(record.key, action.row))
        for name in action.columns:
            self._database.write(row, record.TABLE, name, getattr(record, name))
        for column, target in action.removed:
            table = northbound.references_of(type(record))[column]
            if not isinstance(getattr(record, column), frozenset):
                self._database.write(row, record.TABLE, column, None)
            elif (referred := self._find(table, target)) is not None:
                self._database.remove(row, column, referred)
        for column, target in action.added:
            self._refer(row, record, column, target)

    def delete(self, action: Delete, deleted: frozenset[uuid.UUID]) -> None:
        record = action.record
        row = self._row(record.TABLE, RowReference(record.key, action.row))
        if record.HOLDER is not None and action.holder is not None:
            table, column = record.HOLDER
            if action.holder not in deleted:
                holder = self._row(table, RowReference(record.key, action.holder))
                self._database.remove(holder, column, row)
        self._database.delete(row)

    def _refer(
        self, row: ovsdb.Row, record: NorthboundRecord, column: str, target: RowReference
    ) -> None:
        found = self._row(northbound.references_of(type(record))[column], target)
        if isinstance(getattr(record, column), frozenset):
            self._database.add(row, column, found)
        else:
            self._database.write(row, record.TABLE, column, found)

    def _row(self, table: str, target: RowReference) -> ovsdb.Row:
        found = self._find(table, target)
        if found is None:
            raise Bug(f"the plan names {table} {target.key}, which is not there")
        return found

    def _find(self, table: str, target: RowReference) -> ovsdb.Row | None:
        if target.row is None:
            return self._created.get(target.key)
        return self._database.row(table, target.row)
