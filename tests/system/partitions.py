"""Random partitions of a cloud's hosts, and who looks from outside where each server runs meanwhile."""

from __future__ import annotations

import contextlib
import enum
import os
import signal
import threading
import time
from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from kumoi.base import process
from kumoi.cloud.drivers.instance import fence
from kumoi.config import CloudSettings, HostSettings
from kumoi.hosts.units import running
from kumoi.hosts.wires import virtual

LOOK_EVERY_S = 0.1
TREES = (Path("/sys/fs/cgroup/pids"), Path("/sys/fs/cgroup"))
SHORT_S, LONG_S = (1.0, 9.0), (10.0, 26.0)
LONG_SHARE = 0.6


class Cut(enum.StrEnum):
    """Which links of a host."""

    NONE = "nothing"
    DATA = "data"
    CONTROL = "control"
    BOTH = "both"


CUTS = (Cut.DATA, Cut.CONTROL, Cut.BOTH, Cut.BOTH, Cut.NONE)
FREEZES: tuple[tuple[str, ...], ...] = ((), (), (), ("fence",), ("agent",), ("etcd",))
"""Fence and agent at once are what design note 0022 does not promise."""


@dataclass(frozen=True, slots=True)
class Partition:
    """What is done to one host: links that are cut, units that are frozen, and for how long."""

    cut: Cut
    frozen: tuple[str, ...]
    seconds: float


def chosen(dice: Random, *, has_control_link: bool) -> Partition:
    """Never one that does nothing. Without a link of its own the control plane is the machine's."""
    while True:
        cut, frozen = dice.choice(CUTS), dice.choice(FREEZES)
        if not has_control_link and cut is not Cut.NONE:
            cut = Cut.DATA
        if cut is not Cut.NONE or frozen:
            span = LONG_S if dice.random() < LONG_SHARE else SHORT_S
            return Partition(cut, frozen, round(dice.uniform(*span), 1))


def has_control_link(cloud: CloudSettings, host: HostSettings) -> bool:
    return host.control_namespace is not None and cloud.control_host(host.name) is not None


def links_of(cloud: CloudSettings, host: HostSettings, cut: Cut) -> list[str]:
    """In the machine's namespace."""
    data = [veth.name for veth in virtual.veths(cloud, host) if not veth.namespace]
    control = [virtual.control_veth(cloud, host).name] if has_control_link(cloud, host) else []
    of = {Cut.NONE: [], Cut.DATA: data, Cut.CONTROL: control, Cut.BOTH: [*data, *control]}
    return of[cut]


@contextlib.contextmanager
def partitioned(cloud: CloudSettings, host: HostSettings, wanted: Partition) -> Iterator[None]:
    """Inside the `with` block."""
    links = links_of(cloud, host, wanted.cut)
    pids = [unit.pid for unit in running.found(host.state_dir) if unit.name in wanted.frozen]
    try:
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        for link in links:
            process.run(["ip", "link", "set", "dev", link, "down"])
        yield
    finally:
        for link in links:
            process.run(["ip", "link", "set", "dev", link, "up"])
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)


@dataclass(slots=True)
class Sight:
    """Since when a server runs on these hosts."""

    at_s: float
    hosts: frozenset[str]


@dataclass
class Watcher:
    """Looks at the control groups of all hosts, and keeps what changed. `looks` is how often it looked,
    `widest_s` the longest time between two looks.
    """

    hosts: Sequence[str]
    seen: dict[str, list[Sight]] = field(default_factory=lambda: defaultdict(list))
    twice: list[str] = field(default_factory=list)
    looks: int = 0
    widest_s: float = 0.0

    @contextlib.contextmanager
    def looking(self) -> Iterator[None]:
        over = threading.Event()
        thread = threading.Thread(target=self._look_always, args=[over])
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()

    def hosts_of(self, server_id: str) -> frozenset[str]:
        sights = self.seen.get(server_id)
        return sights[-1].hosts if sights else frozenset()

    def stopped_after_s(self, server_id: str, host: str, since_s: float) -> float | None:
        """Until it did not run there any more."""
        return self._first(server_id, since_s, lambda hosts: host not in hosts)

    def elsewhere_after_s(self, server_id: str, host: str, since_s: float) -> float | None:
        return self._first(server_id, since_s, lambda hosts: bool(hosts - {host}))

    def _first(self, server_id: str, since_s: float, fits) -> float | None:  # type: ignore[no-untyped-def]
        return next(
            (
                sight.at_s - since_s
                for sight in self.seen[server_id]
                if sight.at_s >= since_s and fits(sight.hosts)
            ),
            None,
        )

    def _look_always(self, over: threading.Event) -> None:
        before_s = time.monotonic()
        while not over.is_set():
            at_s = time.monotonic()
            self.widest_s = max(self.widest_s, at_s - before_s)
            before_s = at_s
            self._look(at_s)
            over.wait(max(0.0, at_s + LOOK_EVERY_S - time.monotonic()))

    def _look(self, at_s: float) -> None:
        self.looks += 1
        found: dict[str, set[str]] = defaultdict(set)
        for host in self.hosts:
            for server_id in running_on(host):
                found[server_id].add(host)
        for server_id in {*found, *self.seen}:
            hosts = frozenset(found.get(server_id, ()))
            if len(hosts) > 1:
                self.twice.append(f"{server_id} on {', '.join(sorted(hosts))}")
            if hosts != self.hosts_of(server_id):
                self.seen[server_id].append(Sight(at_s, hosts))


def running_on(host: str) -> Collection[str]:
    """The servers with a process in their control group of that host."""
    tree = next(each for each in TREES if (each / "cgroup.procs").exists())
    found = set()
    with contextlib.suppress(OSError):
        for group in (tree / fence.of_servers(host)).iterdir():
            if group.is_dir() and _has_process(group):
                found.add(group.name)
    return found


def _has_process(group: Path) -> bool:
    for directory, _, files in os.walk(group):
        if "cgroup.procs" in files:
            with contextlib.suppress(OSError):
                if (Path(directory) / "cgroup.procs").read_text().strip():
                    return True
    return False
