"""What a unit is held to: as whom it runs and what it may reach. units/table.py fills it in."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Confinement:
    """No capability, no other group, no new privilege. `writes` are directories in which it may do
    as it likes, `reads` files and directories; both beside what every program reads of the system.
    """

    user: str
    group: str
    writes: tuple[str, ...] = ()
    reads: tuple[str, ...] = ()
