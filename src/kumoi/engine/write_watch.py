"""Watches how long write transactions stay open: while one is, all other writers wait.

Database.write reports each one; app.py and loop.py say what this thread of work is doing. It stops
nothing: what a request may ask for is bounded where its body is read.
"""

from __future__ import annotations

from contextvars import ContextVar

from kumoi.base import log

LONG_S = 0.05

DOING: ContextVar[str] = ContextVar("doing", default="")
"""The route of a request ("POST /network/v2.0/ports"), or a loop's name."""


class WriteWatch:
    """Of one database, in this process."""

    def ended(self, open_s: float, computed_s: float) -> None:
        """A transaction that was open for so long, and computed for so much of it, has ended, committed
        or not. The rest of the time it waited for a disk, or for others on the machine.
        """
        if open_s > LONG_S:
            log.warning(
                "store.write_long",
                doing=DOING.get(),
                ms=round(open_s * 1_000),
                computed_ms=round(computed_s * 1_000),
            )
