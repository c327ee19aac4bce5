"""A host's switch: which links are plugged into its integration bridge, and as which ports.

`OvsSwitch` is used by the host agent. It writes only the switch's own database; ovs-vswitchd and
ovn-controller do the rest, and go on doing it when the agent is gone.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from types import TracebackType
from typing import Any, Self

from kumoi.base.errors import Transient
from kumoi.cloud.drivers.network import ovsdb
from kumoi.cloud.drivers.network.ovs.plan import (
    Action,
    Mark,
    Plug,
    Plugged,
    Unplug,
    plan_delete,
    plan_ensure,
)

DATABASE = "Open_vSwitch"
INTEGRATION_BRIDGE = "br-int"
KIND = "kumoi:kind"
PORT = "port"
IFACE_ID = "iface-id"
"""What ovn-controller looks for: the logical port that an interface is."""

TABLES = (
    ovsdb.Table(
        name="Bridge",
        root=False,
        columns={"name": ovsdb.Column(), "ports": ovsdb.Column(refers="Port", many=True)},
    ),
    ovsdb.Table(
        name="Port",
        root=False,
        columns={
            "name": ovsdb.Column(),
            "interfaces": ovsdb.Column(refers="Interface", many=True),
            "external_ids": ovsdb.Column(pairs=True),
        },
    ),
    ovsdb.Table(
        name="Interface",
        root=False,
        columns={"name": ovsdb.Column(), "external_ids": ovsdb.Column(pairs=True)},
    ),
)


class OvsSwitch:
    """Implements `interface.Switch`. `remote` such as unix:/run/openvswitch/db.sock."""

    def __init__(
        self,
        remote: str,
        *,
        bridge: str = INTEGRATION_BRIDGE,
        timeout_s: float = ovsdb.DEFAULT_TIMEOUT_S,
    ) -> None:
        self._connection = ovsdb.Connection(remote, DATABASE, TABLES)
        self._bridge_name = bridge
        self._timeout_s = timeout_s

    def ensure_ports(self, ports: Mapping[str, str]) -> None:
        def change(database: ovsdb.Change) -> None:
            bridge = self._bridge(database)
            links = _links(bridge, database)
            _apply(plan_ensure(ports, _plugged(links, database)), bridge, links, database)

        self._connection.transact(change, timeout_s=self._timeout_s)

    def delete_ports(self, names: Collection[str]) -> None:
        def change(database: ovsdb.Change) -> None:
            bridge = self._bridge(database)
            links = _links(bridge, database)
            _apply(plan_delete(names, _plugged(links, database)), bridge, links, database)

        self._connection.transact(change, timeout_s=self._timeout_s)

    def list_ports(self) -> dict[str, str]:
        with self._connection.reading(timeout_s=self._timeout_s) as database:
            links = _links(self._bridge(database), database)
            return {
                link.name: link.port_id
                for link in _plugged(links, database)
                if link.ours and link.port_id is not None
            }

    def close(self) -> None:
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self.close()

    def _bridge(self, database: ovsdb.Replica) -> ovsdb.Row:
        for bridge in database.rows("Bridge"):
            if database.value(bridge, "Bridge", "name") == self._bridge_name:
                return bridge
        raise Transient(f"the switch has no bridge {self._bridge_name} yet")


def _links(bridge: ovsdb.Row, database: ovsdb.Replica) -> dict[str, ovsdb.Row]:
    """Name to the switch's port row."""
    return {row.name: row for row in _rows(database.value(bridge, "Bridge", "ports"))}


def _plugged(links: Mapping[str, ovsdb.Row], database: ovsdb.Replica) -> Iterable[Plugged]:
    for name, row in links.items():
        port_id = None
        for interface in _rows(database.value(row, "Port", "interfaces")):
            ids = _pairs(database.value(interface, "Interface", "external_ids"))
            port_id = ids.get(IFACE_ID, port_id)
        marks = _pairs(database.value(row, "Port", "external_ids"))
        yield Plugged(name, port_id, ours=marks.get(KIND) == PORT)


def _apply(
    actions: Iterable[Action],
    bridge: ovsdb.Row,
    links: Mapping[str, ovsdb.Row],
    database: ovsdb.Change,
) -> None:
    for action in actions:
        match action:
            case Plug():
                interface = database.insert("Interface")
                database.write(interface, "Interface", "name", action.name)
                ids = frozenset({(IFACE_ID, action.port_id)})
                database.write(interface, "Interface", "external_ids", ids)
                port = database.insert("Port")
                database.write(port, "Port", "name", action.name)
                database.write(port, "Port", "interfaces", frozenset({interface}))
                database.write(port, "Port", "external_ids", frozenset({(KIND, PORT)}))
                database.add(bridge, "ports", port)
            case Mark():
                port = links[action.name]
                database.write_key(port, "external_ids", KIND, PORT)
                for interface in _rows(database.value(port, "Port", "interfaces")):
                    database.write_key(interface, "external_ids", IFACE_ID, action.port_id)
            case Unplug():
                port = links[action.name]
                database.remove(bridge, "ports", port)
                database.delete(port)


def _rows(value: Any) -> Iterable[ovsdb.Row]:
    return value or ()


def _pairs(value: Any) -> dict[str, str]:
    return dict(value)
