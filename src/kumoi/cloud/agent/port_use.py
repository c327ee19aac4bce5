"""Who uses the ports of TCP of a server, as the kernel counts: read from outside, so that nothing in the server is
asked.
"""

from __future__ import annotations

import contextlib
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

LISTEN, ENDED = "0A", frozenset({"06", "07", "0A"})
"""TIME_WAIT, CLOSE and LISTEN are no connections."""
PROC = Path("/proc")


@dataclass(frozen=True, slots=True)
class PortUse:
    connections: int = 0
    listening: tuple[int, ...] = ()


def of_tables(tables: Collection[str], ports: Collection[int]) -> PortUse:
    """From the texts of /proc/net/tcp and /proc/net/tcp6. Pure."""
    connections, listening = 0, set()
    for table in tables:
        for line in table.splitlines()[1:]:
            words = line.split()
            port, state = int(words[1].rpartition(":")[2], 16), words[3]
            if port in ports:
                connections += state not in ENDED
                if state == LISTEN:
                    listening.add(port)
    return PortUse(connections, tuple(sorted(listening)))


def of_process(pid: int, ports: Collection[int], *, proc: Path = PROC) -> PortUse:
    """In the network of a process; nothing once it has ended."""
    tables = []
    for name in ("tcp", "tcp6"):
        with contextlib.suppress(OSError):
            tables.append((proc / str(pid) / "net" / name).read_text())
    return of_tables(tables, ports)
