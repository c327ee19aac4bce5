"""Named network namespaces: which processes are in one, and its end."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from pathlib import Path

from kumoi.base import process

NAMESPACES = Path("/run/netns")
END_S = 2.0
POLL_S = 0.005


def processes(path: Path) -> list[int]:
    """All that are in the namespace."""
    with contextlib.suppress(OSError):
        wanted = path.stat().st_ino
        return [
            int(entry.name)
            for entry in Path("/proc").iterdir()
            if entry.name.isdigit() and _network_of(entry) == wanted
        ]
    return []


def remove(path: Path) -> None:
    """With all processes in it, where it exists."""
    if not path.exists():
        return
    end(processes(path))
    process.run(["ip", "netns", "delete", path.name])


def end(pids: list[int]) -> None:
    """Kill them, and wait for a while until they are gone."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    deadline = time.monotonic() + END_S
    while time.monotonic() < deadline and any(_lives(pid) for pid in pids):
        time.sleep(POLL_S)


def _lives(pid: int) -> bool:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] not in "ZX"


def _network_of(entry: Path) -> int:
    try:
        return (entry / "ns/net").stat().st_ino
    except OSError:
        return 0
