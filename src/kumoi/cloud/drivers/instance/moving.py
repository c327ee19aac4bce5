"""What a driver does with disks that move from host to host, for the agent. In threads, beside all else."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class DepartingDisk:
    """An open file, which its reader does not close; the image below it; the end of the server's console."""

    file: int
    image_sha256: str
    console: str


@dataclass(frozen=True, slots=True)
class ArrivedDisk:
    """Of a server that is not here yet. Until it is `complete` it is of no use."""

    server_id: str
    build: int
    complete: bool


class MovingDisks(Protocol):
    """Raises Transient and Permanent, as a driver does."""

    def departing(
        self, server_id: str, *, build: int, final_generation: int | None
    ) -> AbstractContextManager[DepartingDisk]:
        """A server's disk, for another host to copy; it changes while the server runs. With a generation the
        server must have stopped, and does not start here again by that one or an older one. Raises Transient
        while it has not stopped.
        """
        ...

    def listed(self) -> dict[str, ArrivedDisk]:
        """By server id, the disks that have come from other hosts, whole or in part, and were not taken yet."""
        ...

    def open_part(self, server_id: str, *, build: int) -> int:
        """A file to fill with a disk from another host; what came earlier is in it. The caller closes it."""
        ...

    def keep(self, server_id: str, *, build: int, image_sha256: str, console: str) -> None:
        """It is all there, and `ensure_built` takes it for a spec that says `arrived`."""
        ...

    def forget(self, server_id: str) -> None:
        """Remove what has come of it and was not taken."""
        ...
