"""Room for who is at which MAC, which Linux counts for all network namespaces of a machine together.

A server's root names 1,024 in a moment, as many as there is room for by default: its neighbours, and the machine, find
nobody new then. Called where a machine's virtual hosts are wired, and by agents: only the machine's own namespace has
these settings.
"""

from __future__ import annotations

import contextlib
from pathlib import Path

SYSTEM = Path("/proc/sys")
MOST = {"gc_thresh2": 1 << 16, "gc_thresh3": 1 << 20}
"""Beyond the first, those go that were not used for 5 s; what is named in that time has to have room."""


def raise_most(system: Path = SYSTEM) -> None:
    """A higher limit stays, and one that may not be changed, or is not there."""
    for version in ("ipv4", "ipv6"):
        for name, wanted in MOST.items():
            file = system / "net" / version / "neigh/default" / name
            with contextlib.suppress(OSError):
                if int(file.read_text()) < wanted:
                    file.write_text(f"{wanted}\n")
