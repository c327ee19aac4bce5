"""How long to wait for a database that does not answer.

Used by db.py where a transaction begins, by any number of threads at once: they wait together, and
give up together when the outage has lasted. Whoever comes later in the same outage tries once and
is told at once, so a long outage does not pile up requests.
"""

from __future__ import annotations

import threading
import time

from kumoi.base import log
from kumoi.base.backoff import Backoff

PAUSES = Backoff(first_s=0.02, most_s=0.25)


class Outage:
    """Of one database."""

    def __init__(self, *, wait_s: float) -> None:
        self._wait_s = wait_s
        self._lock = threading.Lock()
        self._began_s: float | None = None
        self._seen_s = 0.0
        self._failures = 0

    def goes_on(self) -> bool:
        """After an attempt that failed: pause, and say whether another one is worth it."""
        now_s = time.monotonic()
        with self._lock:
            if self._began_s is None or now_s - self._seen_s > self._wait_s:
                log.warning("store.lost")
                self._began_s, self._failures = now_s, 0
            self._seen_s = now_s
            self._failures += 1
            left_s = self._began_s + self._wait_s - now_s
            pause_s = min(PAUSES.after(self._failures), left_s)
        if left_s <= 0:
            return False
        time.sleep(pause_s)
        return True

    def is_over(self) -> None:
        """After an attempt that succeeded."""
        if self._began_s is None:
            return
        with self._lock:
            if self._began_s is not None:
                log.event("store.found", after_s=round(time.monotonic() - self._began_s, 3))
                self._began_s = None
