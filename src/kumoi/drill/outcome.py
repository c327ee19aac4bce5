"""What a fault cost, as a row."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from kumoi.drill.plan import Drilled

NEVER = -1.0


@dataclass(frozen=True, slots=True)
class DrillOutcome:
    """`held_s` is how long the fault was there; `redundant_s`, how long after its end something was missing, or
    NEVER within the time that a drill waits. `lost_elsewhere` are packets between ends that are not on
    the drilled host. `skipped` says why nothing was done.
    """

    drilled: Drilled
    skipped: str = ""
    held_s: float = 0.0
    calls: int = 0
    failed: int = 0
    slowest_s: float = 0.0
    slowest: str = ""
    packets_lost: int = 0
    lost_elsewhere: int = 0
    redundant_s: float = 0.0
    missing: tuple[str, ...] = ()
    writes_lost: tuple[str, ...] = ()
    servers_twice: int = 0
    troubles: tuple[str, ...] = ()

    @property
    def document(self) -> dict[str, Any]:
        """For programs."""
        return {
            "fault": self.drilled.fault.value,
            "component": self.drilled.component,
            "host": self.drilled.host,
            **{name: getattr(self, name) for name in self.__slots__ if name != "drilled"},
        }

    @property
    def row(self) -> dict[str, str]:
        """For people."""
        if self.skipped:
            figures = dict.fromkeys(COLUMNS, "-") | {"calls failed": f"skipped: {self.skipped}"}
        else:
            redundant = "never" if self.redundant_s == NEVER else f"{self.redundant_s:.1f}"
            figures = {
                "calls failed": f"{self.failed} of {self.calls}",
                "slowest call s": f"{self.slowest_s:.1f}",
                "packets lost": f"{self.packets_lost}",
                "of other hosts": f"{self.lost_elsewhere}",
                "redundant again s": redundant,
                "writes lost": f"{len(self.writes_lost)}",
                "servers twice": f"{self.servers_twice}",
            }
        where = {"fault": self.drilled.fault.value, "component": self.drilled.component or "-"}
        return {**where, "host": self.drilled.host or "-", **figures}


COLUMNS = (
    "calls failed",
    "slowest call s",
    "packets lost",
    "of other hosts",
    "redundant again s",
    "writes lost",
    "servers twice",
)


def is_good(outcomes: Sequence[DrillOutcome]) -> bool:
    """Whether nothing was lost that may not be: an acknowledged write, the one place of a server, what was
    redundant before.
    """
    return not any(
        each.writes_lost or each.servers_twice or each.redundant_s == NEVER for each in outcomes
    )
