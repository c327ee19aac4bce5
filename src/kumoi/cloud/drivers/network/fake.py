"""A network in memory. It behaves as the real one: it has state, and fails when a test says so.

For tests, and for measuring the control plane with a thousand hosts on one machine.
"""

from __future__ import annotations

import uuid
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

from kumoi.base.errors import Transient
from kumoi.cloud.drivers.network.interface import (
    Applied,
    BalancerSpec,
    ObservedNetwork,
    Topology,
)
from kumoi.cloud.drivers.network.ovn.northbound import NorthboundRecord, RecordKey, references_of
from kumoi.cloud.drivers.network.ovn.plan import SeenRow, desired, keys_of, plan, plan_members


@dataclass
class Failures:
    """How many of the next calls fail, as if the engine did not answer."""

    remaining: int = 0

    def fail_next(self, times: int = 1) -> None:
        self.remaining = times

    def check(self) -> None:
        if self.remaining > 0:
            self.remaining -= 1
            raise Transient("the network does not answer: it was told to fail")


@dataclass
class FakeSwitch:
    """Implements `interface.Switch`."""

    ports: dict[str, str] = field(default_factory=dict)
    failures: Failures = field(default_factory=Failures)

    def ensure_ports(self, ports: Mapping[str, str]) -> None:
        self.failures.check()
        self.ports.update(ports)

    def delete_ports(self, names: Collection[str]) -> None:
        self.failures.check()
        for name in names:
            self.ports.pop(name, None)

    def list_ports(self) -> dict[str, str]:
        self.failures.check()
        return dict(self.ports)


@dataclass
class FakeNorthbound:
    """Implements `interface.Northbound`. A port is up when one of the `switches` has it plugged;
    without switches, every port of the last topology is.
    """

    switches: Iterable[FakeSwitch] | None = None
    topology: Topology = field(default_factory=Topology)
    records: dict[RecordKey, NorthboundRecord] = field(default_factory=dict)
    failures: Failures = field(default_factory=Failures)
    compared: int = 0
    """How often the whole was compared."""
    sequence: int = 0
    behind: int = 0
    """How many of the changes that hosts were asked about one of them does not have."""

    def converge(self, topology: Topology, *, asks: bool = False) -> Applied:
        self.failures.check()
        self.sequence += asks
        wanted = desired(topology)
        actions = plan(wanted, as_seen_rows(self.records))
        self.records, self.topology = wanted, topology
        self.compared += 1
        return Applied(tuple(str(action) for action in actions), self.sequence)

    def rebalance(self, balancers: Collection[BalancerSpec]) -> Applied:
        self.failures.check()
        actions = plan_members(balancers, as_seen_rows(self.records))
        self.records |= {action.record.key: action.record for action in actions}
        return Applied(tuple(str(action) for action in actions), self.sequence)

    def observe(self) -> ObservedNetwork:
        self.failures.check()
        known = frozenset(port.id for port in self.topology.ports)
        if self.switches is None:
            return ObservedNetwork(known, self.sequence - self.behind)
        plugged = {port_id for switch in self.switches for port_id in switch.ports.values()}
        return ObservedNetwork(known & plugged, self.sequence - self.behind)


def as_seen_rows(records: Mapping[RecordKey, NorthboundRecord]) -> list[SeenRow]:
    """Rows as they would be read, had these records been written."""
    rows = {key: uuid.uuid5(uuid.NAMESPACE_OID, str(key)) for key in records}
    return [
        SeenRow(
            rows[key],
            record,
            rows[record.parent] if record.parent else None,
            {
                column: frozenset(rows[key] for key in keys_of(getattr(record, column)))
                for column in references_of(type(record))
            },
        )
        for key, record in records.items()
    ]
