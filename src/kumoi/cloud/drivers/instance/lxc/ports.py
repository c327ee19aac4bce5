"""The network of servers as seen from the host: their links, and the switch's ports.

apply.py calls this and writes the record; plan.py says what to do for a running server, network.py
what addresses and routes its links have inside.
"""

from __future__ import annotations

import concurrent.futures
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor

from kumoi.base import files
from kumoi.base.files import Promise
from kumoi.cloud.drivers.instance import wire
from kumoi.cloud.drivers.instance.lxc import link, network, plan
from kumoi.cloud.drivers.instance.lxc.paths import Paths
from kumoi.cloud.drivers.instance.record import InstanceRecord
from kumoi.cloud.drivers.instance.switchboard import Switchboard
from kumoi.cloud.drivers.instance.wire import Wire
from kumoi.cloud.drivers.network import veth
from kumoi.cloud.drivers.network.interface import Switch
from kumoi.cloud.drivers.network.mac_guard import MacTables
from kumoi.cloud.hostapi.messages import InstanceSpec

LINK_THREADS = 4


class PendingLinks:
    """Links that are being made and plugged by other threads."""

    def __init__(
        self, made: concurrent.futures.Future[None], plugged: concurrent.futures.Future[None]
    ) -> None:
        self._made, self._plugged = made, plugged

    def wait_made(self) -> None:
        self._made.result()

    def wait(self) -> None:
        self._made.result()
        self._plugged.result()

    def wait_ended(self) -> None:
        """Wait until both have ended, successfully or not."""
        self._made.exception()
        self._plugged.exception()


class Ports:
    def __init__(self, paths: Paths, switch: Switch) -> None:
        self._paths = paths
        self._board = Switchboard(switch)
        self._macs = MacTables()
        self._threads = ThreadPoolExecutor(LINK_THREADS, thread_name_prefix="links")

    def prepare(self) -> None:
        """Once, before any other method. In a thread of its own: the caller's runs the agent's loop."""
        self._threads.submit(lambda: self._macs.find(link.list_links())).result()

    def close(self) -> None:
        self._threads.shutdown()
        self._macs.close()

    def list_plugged(self) -> dict[str, str]:
        """Port ids by link, of all servers."""
        return {name: port for name, port in self._board.list_ports().items() if link.is_ours(name)}

    def begin(self, server: InstanceSpec, wires: Sequence[Wire]) -> PendingLinks:
        """Begin to make the links and ports of a server that does not run, and write the addresses and
        routes that it will have.
        """

        def make() -> None:
            for wire_ in wires:
                if veth.exists(wire_.link) and not veth.exists(wire_.peer):
                    veth.delete([wire_.link])  # Its other end was in a server that has ended.
                link.ensure(wire_, self._macs)

        path = self._paths.network(server.id)
        files.replace(path, network.at_start(wires), promise=Promise.KILL)
        made = self._threads.submit(make)  # First: a plug that has all threads waits for links.
        plugged = self._threads.submit(self._board.change, ensured=link_ports(wires), deleted=())
        return PendingLinks(made, plugged)

    def settle(self, server: InstanceSpec, known: InstanceRecord, *, pid: int) -> InstanceRecord:
        """Make a running server's links and ports as wanted; gives its record for that."""
        wires = wire.of(server)
        names = {*known.links, *(wire_.link for wire_ in wires)}
        present = [name for name in names if veth.exists(name)]
        plugged = {name: port for name, port in self.list_plugged().items() if name in names}
        actions = plan.plugging(wires, links=present, plugged=plugged)
        veth.delete(action.name for action in actions if isinstance(action, plan.DropLink))
        new_wires = [action.wire for action in actions if isinstance(action, plan.MakeLink)]
        for new_wire in new_wires:
            link.attach(new_wire, self._macs, pid=pid)
        self._board.change(
            ensured={
                action.name: action.port_id for action in actions if isinstance(action, plan.Plug)
            },
            deleted=[action.name for action in actions if isinstance(action, plan.Unplug)],
        )
        veth.set_up(wire_.link for wire_ in wires)
        link.guard(wires, self._macs)
        given = known.given
        if new_wires or known.wired != server.ports:
            file = self._paths.network(server.id)
            files.replace(file, network.change(wires, given), promise=Promise.KILL)
            network.apply(file, pid=pid)
            given = list(dict.fromkeys([*given, *network.statements(wires)]))
        return known.replace(
            links=link_ports(wires),
            wired=server.ports,
            guarded=wire.guarded(wires),
            bounded=wire.bounded(wires),
            given=given,
        )

    def remove(self, links: Iterable[str]) -> None:
        names = list(links)
        self._board.change(ensured={}, deleted=names)
        veth.delete(names)

    def sweep(self, wanted_ports: Callable[[], frozenset[str]]) -> None:
        links, plugged, macs = link.list_links(), self.list_plugged(), self._macs.listed()
        wanted = {wire.link_name(port_id) for port_id in wanted_ports()}
        self._board.change(ensured={}, deleted=set(plugged) - wanted)
        veth.delete(sorted(links - wanted))
        self._macs.keep_only(macs, wanted)


def link_ports(wires: Iterable[Wire]) -> dict[str, str]:
    """Port ids by the host's end of their links."""
    return {wire_.link: wire_.port_id for wire_ in wires}
