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
    """Of one database, in this process. `longest_s` is that of the longest transaction so far."""

    def __init__(self) -> None:
        self.longest_s = 0.0

    def ended(self, spent_s: float) -> None:
        """A transaction that was open for so long has ended, committed or not."""
        self.longest_s = max(self.longest_s, spent_s)
        if spent_s > LONG_S:
            log.warning("store.write_long", doing=DOING.get(), ms=round(spent_s * 1_000))
