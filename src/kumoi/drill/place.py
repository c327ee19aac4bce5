"""The hosts of a drill: all that are on this machine, with what runs on each."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from kumoi import members
from kumoi.config import CloudSettings, HostSettings
from kumoi.drill.plan import POSTGRES
from kumoi.hosts.units import keeper, releases, running, table
from kumoi.hosts.wires import virtual

BACK = "its units are not as they were"


@dataclass(frozen=True, slots=True)
class DrillHost:
    """One host, with the settings that are in its directory."""

    cloud: CloudSettings
    host: HostSettings

    def components(self) -> list[str]:
        """From the table of units; and who keeps them, where that is ours."""
        units = table.all_units(self.cloud, self.host, releases.running(), only_engines=False)
        names = [unit.name for unit in units]
        if members.PATRONI in names:
            names.insert(names.index(members.PATRONI) + 1, POSTGRES)
        if not keeper.is_systemd(self.host):
            names.insert(0, running.SUPERVISOR)
        return names

    def pids(self, component: str) -> list[int]:
        """Of the component's first process; none while it does not run."""
        if component == POSTGRES:
            return self._postgres()
        found = running.found(self.host.state_dir)
        return [unit.pid for unit in found if unit.name == component]

    def every_pid(self) -> list[int]:
        """Of all units and of what they started: all that would stop with the machine, but for servers."""
        leaders = {unit.pid for unit in running.found(self.host.state_dir)}
        return [*sorted({*leaders, *_of_sessions(leaders), *self._postgres(with_children=True)})]

    def links(self) -> list[str]:
        """In the machine's namespace; cut, nobody beyond this machine hears of the host."""
        found = [veth.name for veth in virtual.veths(self.cloud, self.host) if not veth.namespace]
        if self.host.control_namespace and self.cloud.control_host(self.host.name):
            found.append(virtual.control_veth(self.cloud, self.host).name)
        return found

    def _postgres(self, *, with_children: bool = False) -> list[int]:
        file = members.postgres_dir(self.host) / "data/postmaster.pid"
        with contextlib.suppress(OSError, ValueError, IndexError):
            first = int(file.read_text().split()[0])
            return [first, *(_children(first) if with_children else ())]
        return []


def _of_sessions(leaders: Iterable[int]) -> list[int]:
    wanted = set(leaders)
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                if os.getsid(int(entry.name)) in wanted:
                    found.append(int(entry.name))
    return found


def _children(pid: int) -> list[int]:
    with contextlib.suppress(OSError):
        return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return []
