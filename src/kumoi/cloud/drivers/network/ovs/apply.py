"""A host's switch: which links are plugged into its integration bridge, and as which ports.

`OvsSwitch` is used by the host agent, in the host's network namespace. It writes only the
Open_vSwitch database; ovs-vswitchd and ovn-controller act on it, with or without the agent.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any

from kumoi.base.errors import Transient
from kumoi.cloud.drivers.network import ovsdb
from kumoi.cloud.drivers.network.ovs.plan import (
    Action,
    MarkLink,
    PluggedPort,
    PlugLink,
    UnplugLink,
    is_stale,
    plan_delete,
    plan_ensure,
    plan_stale,
)

DATABASE = "Open_vSwitch"
INTEGRATION_BRIDGE = "br-int"
KIND = "kumoi:kind"
PORT = "port"
LINK_INDEX = "kumoi:link"
IFACE_ID = "iface-id"
"""The key by which ovn-controller finds an interface's logical port."""
ZONE = "ct-zone-"
"""With which its keys begin that say which zone of connections what has."""
LINK_WAIT_S = 0.2
LINK_POLL_S = 0.002

TABLES = (
    ovsdb.Table(
        name="Open_vSwitch",
        root=True,
        columns={
            "next_cfg": ovsdb.Column(type="integer"),
            "cur_cfg": ovsdb.Column(type="integer"),
        },
    ),
    ovsdb.Table(
        name="Bridge",
        root=False,
        columns={
            "name": ovsdb.Column(),
            "ports": ovsdb.Column(refers="Port", many=True),
            "external_ids": ovsdb.Column(pairs=True),
        },
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


def link_index(name: str) -> int | None:
    """The kernel's number of a link in this namespace, or None where there is no such link."""
    try:
        return socket.if_nametoindex(name)
    except OSError:
        return None


class OvsSwitch(ovsdb.OvsdbClient):
    """Implements `interface.Switch`. `remote` such as unix:/run/openvswitch/db.sock. `changed` is called, from another
    thread, after anything in its database has changed: a hint, never data.
    """

    def __init__(
        self,
        remote: str,
        *,
        bridge: str = INTEGRATION_BRIDGE,
        link_index: Callable[[str], int | None] = link_index,
        changed: Callable[[], None] | None = None,
        timeout_s: float = ovsdb.DEFAULT_TIMEOUT_S,
    ) -> None:
        super().__init__(ovsdb.Connection(remote, DATABASE, TABLES, changed=changed), timeout_s)
        self._bridge_name = bridge
        self._link_index = link_index

    def ensure_ports(self, ports: Mapping[str, str]) -> None:
        indexes = self._indexes(ports)
        self._change(lambda plugged: plan_stale(ports, plugged, indexes))
        # ovs-vswitchd must have removed a link before one of the same name is plugged: it does not
        # notice the change when it sees both at once.
        plugs = not ports.keys() <= self.list_ports().keys()
        if plugs and not self._connection.wait_for(_has_caught_up, timeout_s=self._timeout_s):
            raise Transient("the switch has not let go of what was unplugged")
        self._change(lambda plugged: plan_ensure(ports, plugged, indexes))
        if indexes.keys() < ports.keys():
            late = self._late_indexes(ports.keys() - indexes.keys())
            self._change(lambda plugged: plan_ensure(ports, plugged, {**indexes, **late}))

    def delete_ports(self, names: Collection[str]) -> None:
        self._change(lambda plugged: plan_delete(names, plugged))

    def list_ports(self) -> dict[str, str]:
        """Without those whose link was replaced since: `ensure_ports` plugs them again."""
        with self._connection.reading(timeout_s=self._timeout_s) as database:
            links = _links(self._bridge(database), database)
            ours = [port for port in _plugged_ports(links, database) if port.ours]
        indexes = self._indexes(port.name for port in ours)
        return {
            port.name: port.port_id
            for port in ours
            if port.port_id is not None and not is_stale(port, indexes)
        }

    def list_zones(self) -> dict[str, int]:
        """The zones of connections that ovn-controller gave: to ports, by their ids, and two to each datapath, by its id
        with `_snat` and `_dnat`; none while there is no bridge. Raises Unreachable.
        """
        marks: dict[str, str] = {}
        with self._connection.reading(timeout_s=self._timeout_s) as database:
            for bridge in database.rows("Bridge"):
                if database.value(bridge, "Bridge", "name") == self._bridge_name:
                    marks = _pairs(database.value(bridge, "Bridge", "external_ids"))
        return {
            key.removeprefix(ZONE): int(number)
            for key, number in marks.items()
            if key.startswith(ZONE) and number.isdecimal()
        }

    def _change(self, plan: Callable[[Iterable[PluggedPort]], Iterable[Action]]) -> None:
        def change(database: ovsdb.ReplicaTransaction) -> None:
            bridge = self._bridge(database)
            links = _links(bridge, database)
            _apply(tuple(plan(tuple(_plugged_ports(links, database)))), bridge, links, database)

        self._connection.transact(change, timeout_s=self._timeout_s)

    def _indexes(self, names: Iterable[str]) -> dict[str, int]:
        found = ((name, self._link_index(name)) for name in names)
        return {name: index for name, index in found if index is not None}

    def _late_indexes(self, names: Collection[str]) -> dict[str, int]:
        """Indexes of links that are being made right now, as soon as they exist."""
        deadline = time.monotonic() + LINK_WAIT_S
        while True:
            found = self._indexes(names)
            if len(found) == len(names) or time.monotonic() >= deadline:
                return found
            time.sleep(LINK_POLL_S)

    def _bridge(self, database: ovsdb.Replica) -> ovsdb.Row:
        for bridge in database.rows("Bridge"):
            if database.value(bridge, "Bridge", "name") == self._bridge_name:
                return bridge
        raise Transient(f"the switch has no bridge {self._bridge_name} yet")


def _has_caught_up(database: ovsdb.Replica) -> bool:
    """Whether ovs-vswitchd has done everything that was committed."""
    return all(row.cur_cfg >= row.next_cfg for row in database.rows("Open_vSwitch"))


def _links(bridge: ovsdb.Row, database: ovsdb.Replica) -> dict[str, ovsdb.Row]:
    """The bridge's Port rows by name."""
    return {row.name: row for row in _rows(database.value(bridge, "Bridge", "ports"))}


def _plugged_ports(
    links: Mapping[str, ovsdb.Row], database: ovsdb.Replica
) -> Iterable[PluggedPort]:
    for name, row in links.items():
        port_id = None
        for interface in _rows(database.value(row, "Port", "interfaces")):
            ids = _pairs(database.value(interface, "Interface", "external_ids"))
            port_id = ids.get(IFACE_ID, port_id)
        marks = _pairs(database.value(row, "Port", "external_ids"))
        index = marks.get(LINK_INDEX, "")
        yield PluggedPort(
            name,
            port_id,
            ours=marks.get(KIND) == PORT,
            link_index=int(index) if index.isdecimal() else None,
        )


def _apply(
    actions: Collection[Action],
    bridge: ovsdb.Row,
    links: Mapping[str, ovsdb.Row],
    database: ovsdb.ReplicaTransaction,
) -> None:
    for action in actions:
        match action:
            case PlugLink():
                _plug(action, bridge, database)
            case MarkLink():
                port = links[action.name]
                for key, value in _marks(action):
                    database.write_key(port, "external_ids", key, value)
                for interface in _rows(database.value(port, "Port", "interfaces")):
                    database.write_key(interface, "external_ids", IFACE_ID, action.port_id)
            case UnplugLink():
                port = links[action.name]
                database.remove(bridge, "ports", port)
                database.delete(port)
    if any(isinstance(action, UnplugLink) for action in actions):
        # As ovs-vsctl does: ovs-vswitchd sets cur_cfg to this number once it is done.
        for row in database.rows("Open_vSwitch"):
            database.write(row, "Open_vSwitch", "next_cfg", row.next_cfg + 1)


def _plug(action: PlugLink, bridge: ovsdb.Row, database: ovsdb.ReplicaTransaction) -> None:
    interface = database.insert("Interface")
    database.write(interface, "Interface", "name", action.name)
    ids = frozenset({(IFACE_ID, action.port_id)})
    database.write(interface, "Interface", "external_ids", ids)
    port = database.insert("Port")
    database.write(port, "Port", "name", action.name)
    database.write(port, "Port", "interfaces", frozenset({interface}))
    database.write(port, "Port", "external_ids", _marks(action))
    database.add(bridge, "ports", port)


def _marks(action: PlugLink | MarkLink) -> frozenset[tuple[str, str]]:
    marks = {(KIND, PORT)}
    if action.link_index is not None:
        marks.add((LINK_INDEX, str(action.link_index)))
    return frozenset(marks)


def _rows(value: Any) -> Iterable[ovsdb.Row]:
    return value or ()


def _pairs(value: Any) -> dict[str, str]:
    return dict(value)
