"""Time, passed to whoever needs it, so that a test can set it."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta


class Clock:
    """The machine's clock."""

    def now(self) -> datetime:
        """The time in UTC, with its zone."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Seconds that only grow."""
        return time.monotonic()


@dataclass
class SetClock(Clock):
    """A clock that moves only by `advance`. For tests."""

    at: datetime = field(default_factory=lambda: datetime(2026, 1, 1, tzinfo=UTC))
    ticks_s: float = 0.0

    def now(self) -> datetime:
        return self.at

    def monotonic(self) -> float:
        return self.ticks_s

    def advance(self, seconds: float) -> None:
        self.at += timedelta(seconds=seconds)
        self.ticks_s += seconds
