"""The control group that all proxies of a host are in, and what they may take together.

How many connections a balancer has its clients decide, and how many balancers there are their projects. So what proxies
take has a bound: where they meet it the kernel ends one of them, which begins again, and nothing else of the host. Control
groups have version 1 (a tree for each controller), version 2 (one tree), or both.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from kumoi.base import log
from kumoi.cloud.drivers.instance import fence

PART, RAM_MIB_MIN = 8, 256
"""An eighth of the machine's memory."""
PROXY_MIB = 8
"""Of one that has nothing to do: there are no more than have room."""
TCP_PART = 2
"""What connections hold that nobody has read counts apart in version 1, as fence.py has it."""
CONTROLLERS = ("memory", "pids")


@dataclass(frozen=True, slots=True)
class ProxyGroup:
    """Of that host; `ram_mib` is its memory."""

    host_name: str
    ram_mib: int
    root: Path = fence.ROOT

    @property
    def name(self) -> str:
        return f"{self.host_name}.proxies"

    @property
    def most_mib(self) -> int:
        return max(RAM_MIB_MIN, self.ram_mib // PART)

    @property
    def most_proxies(self) -> int:
        return self.most_mib // PROXY_MIB

    def ensure(self) -> None:
        """Make it and bound it. Raises Permanent where the machine lacks a controller."""
        fence.make(self.name, CONTROLLERS, root=self.root)
        fence.limit(self._limits(), failure="proxies.not_bounded")

    def join(self, pid: int) -> None:
        """What it takes from now on counts here. One that has ended is let be."""
        for tree in self._trees():
            try:
                (tree / "cgroup.procs").write_text(f"{pid}\n")
            except ProcessLookupError:
                return
            except OSError as error:
                log.warning("proxy.not_bounded", group=str(tree), error=str(error))

    def has_room(self) -> bool:
        """Whether there may be one more."""
        found = 0
        for tree in self._trees():
            with contextlib.suppress(OSError):
                listed = (tree / "cgroup.procs").read_text().split()
                found = max(found, sum(1 for pid in listed if _runs(pid)))
        return found < self.most_proxies

    def remove(self) -> None:
        """Where nobody is in it any more."""
        for tree in self._trees():
            with contextlib.suppress(OSError):
                tree.rmdir()

    def _trees(self) -> list[Path]:
        trees = (self.root, *(self.root / name for name in CONTROLLERS))
        return [tree / self.name for tree in trees if (tree / self.name / "cgroup.procs").exists()]

    def _limits(self) -> Iterator[tuple[Path, int]]:
        most = self.most_mib << 20
        memory, pids = (self.root / name / self.name for name in CONTROLLERS)
        whole = self.root / self.name
        yield memory / "memory.limit_in_bytes", most
        yield memory / "memory.memsw.limit_in_bytes", most
        yield memory / fence.TCP_LIMIT, most // TCP_PART
        yield pids / "pids.max", self.most_proxies
        yield whole / "memory.max", most
        yield whole / "memory.swap.max", 0
        yield whole / "pids.max", self.most_proxies


def _runs(pid: str) -> bool:
    """Whether it has not ended: one whose parent has not looked is listed still."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False
