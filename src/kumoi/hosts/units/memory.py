"""What a process takes of this machine's memory, for `status` and the figures."""

from __future__ import annotations

from pathlib import Path


def pss_kib(pid: int) -> int:
    """Its proportional share: memory that several processes share counts once in their sum. 0 when
    the process is gone.
    """
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("Pss:")), 0)
