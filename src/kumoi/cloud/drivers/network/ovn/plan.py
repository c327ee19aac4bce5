"""What must change in the northbound database, as actions. Pure: reads nothing, touches nothing.

`desired` makes records of a topology; `plan` compares them with the rows that were read. apply.py
calls both, for the first write and for every repair alike. Rows that are not ours are left alone,
unless one has a name of ours in a table where names are unique.
"""

from __future__ import annotations

import uuid
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from kumoi.cloud.drivers.network.interface import BalancerSpec, Topology
from kumoi.cloud.drivers.network.ovn import (
    allowed_cidrs,
    balancing,
    routing,
    security,
    switching,
)
from kumoi.cloud.drivers.network.ovn.index import index
from kumoi.cloud.drivers.network.ovn.northbound import (
    NAMED_ONCE,
    RECORDS,
    LoadBalancerRecord,
    NorthboundRecord,
    RecordKey,
    RecordKind,
    columns_of,
    references_of,
)

RowId = uuid.UUID


@dataclass(frozen=True, slots=True)
class SeenRow:
    """A row as read. Its record has no parent and no references: instead, `holder` is the row that
    refers to it as its child, and `references` are the rows that each column refers to.
    """

    row: RowId
    record: NorthboundRecord
    holder: RowId | None = None
    references: Mapping[str, frozenset[RowId]] = field(default_factory=dict)


class RowReference(NamedTuple):
    """A row to refer to. `row` is None for one that the same plan creates."""

    key: RecordKey
    row: RowId | None


Reference = tuple[str, RowReference]
"""A column and what it refers to."""


@dataclass(frozen=True, slots=True)
class Create:
    record: NorthboundRecord
    holder: RowReference | None
    references: tuple[Reference, ...]

    def __str__(self) -> str:
        within = f" in {self.holder.key}" if self.holder else ""
        return f"create {self.record.TABLE} {self.record.key}{within}"


@dataclass(frozen=True, slots=True)
class Update:
    """`before` is the record as read; `columns` are those to set to `record`'s values."""

    record: NorthboundRecord
    row: RowId
    before: NorthboundRecord
    columns: tuple[str, ...]
    added: tuple[Reference, ...]
    removed: tuple[Reference, ...]

    def __str__(self) -> str:
        touched = sorted({*self.columns, *(column for column, _ in self.added + self.removed)})
        return f"update {self.record.TABLE} {self.record.key}: {', '.join(touched)}"


@dataclass(frozen=True, slots=True)
class Delete:
    """`holder` is the row whose reference to it must be removed."""

    record: NorthboundRecord
    row: RowId
    holder: RowId | None

    def __str__(self) -> str:
        return f"delete {self.record.TABLE} {self.record.key}"


Action = Create | Update | Delete


def desired(topology: Topology) -> dict[RecordKey, NorthboundRecord]:
    """Every record, parents before their children; none whose parent is not there."""
    indexed = index(topology)
    records = {
        record.key: record
        for part in (switching, routing, security, balancing, allowed_cidrs)
        for record in part.records(indexed)
    }
    return {
        key: record
        for key, record in records.items()
        if record.parent is None or record.parent in records
    }


def plan(wanted: Mapping[RecordKey, NorthboundRecord], seen: Iterable[SeenRow]) -> list[Action]:
    """Deletions first, then by table and key. Nothing when all is as wanted."""
    rows = tuple(seen)
    matches = _match(wanted, rows)
    keys = {item.row: item.record.key for item in rows}
    actions: list[Action] = [*_deletions(wanted, rows, matches)]
    for key, record in wanted.items():
        match = matches.get(key)
        if match is not None:
            update = _update(record, match, matches, keys)
            if update is not None:
                actions.append(update)
            continue
        holder = None if record.parent is None else _target(record.parent, matches)
        references = tuple(
            (column, _target(target, matches))
            for column in references_of(type(record))
            for target in sorted(keys_of(getattr(record, column)))
        )
        actions.append(Create(record, holder, references))
    return sorted(actions, key=_order)


def plan_members(balancers: Iterable[BalancerSpec], seen: Iterable[SeenRow]) -> list[Action]:
    """The rows of listeners that are there, where they name other members than they should."""
    listeners = {listener.id: listener for balancer in balancers for listener in balancer.listeners}
    actions: list[Action] = []
    for item in seen:
        listener = listeners.get(balancing.listener_of(item.record.key))
        if listener is None or not isinstance(item.record, LoadBalancerRecord):
            continue
        record = balancing.with_members(item.record, listener)
        if record != item.record:
            actions.append(Update(record, item.row, item.record, ("vips",), (), ()))
    return sorted(actions, key=_order)


def keys_of(value: Any) -> Iterable[RecordKey]:
    """A reference's keys, whether it is one, several or none."""
    if value is None:
        return ()
    return (value,) if isinstance(value, RecordKey) else value


def _match(
    wanted: Mapping[RecordKey, NorthboundRecord], rows: tuple[SeenRow, ...]
) -> dict[RecordKey, SeenRow]:
    """The row of each record: of the same table and key, and a child of its parent's row."""
    candidates: dict[RecordKey, list[SeenRow]] = defaultdict(list)
    named: dict[tuple[str, str], SeenRow] = {}
    for item in rows:
        if item.record.key.kind != RecordKind.FOREIGN:
            candidates[item.record.key].append(item)
        elif item.record.TABLE in NAMED_ONCE:
            named[item.record.TABLE, item.record.key.id] = item
    matches: dict[RecordKey, SeenRow] = {}
    for key, record in wanted.items():
        if record.parent is not None and record.parent not in matches:
            continue
        holder = None if record.parent is None else matches[record.parent].row
        choice = candidates.get(key)
        if choice is None:
            foreign = named.get((record.TABLE, getattr(record, "name", "")))
            choice = [] if foreign is None else [foreign]
        fitting = [
            item for item in choice if type(item.record) is type(record) and item.holder == holder
        ]
        if fitting:
            matches[key] = min(fitting, key=lambda item: item.row)
    return matches


def _deletions(
    wanted: Mapping[RecordKey, NorthboundRecord],
    rows: tuple[SeenRow, ...],
    matches: Mapping[RecordKey, SeenRow],
) -> Iterator[Delete]:
    """Rows of ours that match no record, and foreign ones whose name a record needs."""
    staying = {item.row for item in matches.values()}
    if len(staying) == len(rows):
        return
    needed = {
        (record.TABLE, getattr(record, "name", ""))
        for record in wanted.values()
        if record.TABLE in NAMED_ONCE
    }
    for item in rows:
        if item.row in staying:
            continue
        record = item.record
        if record.key.kind != RecordKind.FOREIGN or (record.TABLE, record.key.id) in needed:
            yield Delete(record, item.row, item.holder)


def _update(
    record: NorthboundRecord,
    match: SeenRow,
    matches: Mapping[RecordKey, SeenRow],
    keys: Mapping[RowId, RecordKey],
) -> Update | None:
    before = match.record
    columns: tuple[str, ...] = ()
    refers = _REFERENCES[type(record)]
    if record != before:
        columns = tuple(
            name
            for name in columns_of(type(record))
            if name not in refers and getattr(record, name) != getattr(before, name)
        )
    added: list[Reference] = []
    removed: list[Reference] = []
    for column in refers:
        present = match.references.get(column, frozenset())
        targets = {_target(key, matches) for key in keys_of(getattr(record, column))}
        staying = {target.row for target in targets}
        added += [
            (column, target)
            for target in sorted(targets, key=lambda target: target.key)
            if target.row not in present
        ]
        removed += [
            (column, RowReference(keys.get(row, RecordKey(RecordKind.FOREIGN, str(row))), row))
            for row in sorted(present - staying)
        ]
    if not columns and not added and not removed:
        return None
    return Update(record, match.row, before, columns, tuple(added), tuple(removed))


_REFERENCES = {record: tuple(references_of(record)) for record in RECORDS}
_ORDER = {record.TABLE: position for position, record in enumerate(RECORDS)}


def _target(key: RecordKey, matches: Mapping[RecordKey, SeenRow]) -> RowReference:
    match = matches.get(key)
    return RowReference(key, None if match is None else match.row)


def _order(action: Action) -> tuple[bool, int, RecordKey, RowId | None]:
    deleting = isinstance(action, Delete)
    position = _ORDER[action.record.TABLE]
    row = action.row if isinstance(action, Delete) else None
    return (not deleting, -position if deleting else position, action.record.key, row)
