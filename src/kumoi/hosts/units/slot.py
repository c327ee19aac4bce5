"""The supervisor's state of one unit: its process, and the one that it replaces.

Data without decisions, which supervisor.py makes.
"""

from __future__ import annotations

import enum
import os
import subprocess
from dataclasses import dataclass
from typing import Any

from kumoi.hosts.units.running import Running, has_ended
from kumoi.hosts.units.table import Unit


class SlotState(enum.StrEnum):
    WAITING = "waiting"
    STARTING = "starting"
    RUNNING = "running"
    KEPT = "kept"  # The new process does not start; the one before it goes on.


@dataclass(slots=True)
class WatchedProcess:
    """A process that is watched: `handle` is a pidfd."""

    pid: int
    handle: int
    since: float
    child: subprocess.Popen[bytes] | None = None

    @classmethod
    def of(cls, unit: Running) -> WatchedProcess | None:
        """One that runs already. None when it has just ended."""
        try:
            return cls(unit.pid, os.pidfd_open(unit.pid), unit.since)
        except ProcessLookupError:
            return None

    def ended(self) -> bool:
        return has_ended(self.handle)

    def close(self) -> int | None:
        """Release the handle of a process that has ended; its status, where we are its parent."""
        os.close(self.handle)
        return self.child.poll() if self.child else None


@dataclass(slots=True)
class Slot:
    """`before` is a process of the unit's former release or settings, which serves until the new
    process does. `attempts` counts the failed starts of the new one.
    """

    unit: Unit
    state: SlotState = SlotState.WAITING
    process: WatchedProcess | None = None
    before: WatchedProcess | None = None
    told_ready: bool = False
    attempts: int = 0
    restarts: int = 0
    why: str = ""
    failures: int = 0  # Ends and failed starts in a row.
    next_at: float = 0.0
    ready_at: float = 0.0

    def shown(self) -> dict[str, Any]:
        """The unit as `status` shows it, with the process that serves now."""
        serving = self.process or self.before
        return {
            "kind": self.unit.kind.value,
            "state": self.state.value,
            "pid": serving.pid if serving else 0,
            "since": serving.since if serving else 0.0,
            "restarts": self.restarts,
            "why": self.why,
            "listens": self.unit.listens,
            "namespace": self.unit.namespace or "",
        }
