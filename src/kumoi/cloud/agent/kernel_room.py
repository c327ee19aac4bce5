"""Holds servers to a bound of the kernel's memory that counts for nobody, look by look.

What a server's root tells the kernel of networks takes such memory, and nothing limits it; drivers know how much each
server has. To look at all of them costs more than to look at the machine: as long as its kernel has taken little
more, nobody can have. Design note 0037.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from kumoi.cloud.agent import looks
from kumoi.cloud.drivers.instance.interface import InstanceDriver

MUCH_KIB, MORE_KIB = 16 << 10, 1 << 10
LOOK_AGAIN_ROUNDS = 20
"""Where the kernel has taken much, all servers are looked at at once; where it has taken more, after so many looks at the
machine.
"""
MEMINFO = Path("/proc/meminfo")
_TAKEN = {"SUnreclaim:": 1, "VmallocUsed:": 1, "Percpu:": 1, "KernelStack:": -1}
"""Small things, large ones, those of which each processor has one; stacks are among the large ones, and are counted for
whose they are.
"""


class KernelRoom:
    """Of a host, for all of its drivers."""

    def __init__(self, drivers: Collection[InstanceDriver], *, meminfo: Path = MEMINFO) -> None:
        self._drivers = drivers
        self._meminfo = meminfo
        self._known_kib = 0
        self._rounds = 0

    async def run(self) -> None:
        """Until cancelled."""
        await looks.again_and_again(self.round, failure="servers.kernel_memory_not_held")

    def round(self) -> None:
        kept = self._kept_kib()
        self._rounds += 1
        more = MORE_KIB if self._rounds >= LOOK_AGAIN_ROUNDS else MUCH_KIB
        if kept <= self._known_kib + more:
            self._known_kib = min(kept, self._known_kib)
            return
        self._rounds = 0
        held = [server for driver in self._drivers for server in driver.hold_network_tables()]
        # Where somebody was held it is looked again: freed memory is not free at once.
        self._known_kib = 0 if held else kept

    def _kept_kib(self) -> int:
        """Of the kernel's own memory what it cannot give back."""
        kept = 0
        for line in self._meminfo.read_text().splitlines():
            name, *words = line.split()
            if name in _TAKEN:
                kept += _TAKEN[name] * int(words[0])
        return kept
