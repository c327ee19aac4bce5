"""An outage of the database: which errors announce it, and how long to wait for its end.

Used by db.py where a transaction begins, by any number of threads at once: they wait together, and
give up together when the outage has lasted too long. A thread that comes later in the same outage
tries once and gives up at once, so a long outage does not pile up requests.
"""

from __future__ import annotations

import threading
import time

from kumoi.base import log
from kumoi.base.backoff import Backoff

PAUSES = Backoff(first_s=0.02, most_s=0.25)

# SQLSTATE codes of PostgreSQL.
GOING_DOWN = "57P"  # The class: it shuts down, it crashed, or it does not serve yet.
READ_ONLY = "25006"  # It was the primary, and is no more.


def serves_no_more(error: BaseException) -> bool:
    """Whether the server announces that it goes down, which it does before the connection breaks."""
    state = str(getattr(error, "sqlstate", None) or "")
    return state.startswith(GOING_DOWN) or state == READ_ONLY


class Outage:
    """The present outage of one database, if there is one."""

    def __init__(self, *, wait_s: float) -> None:
        self._wait_s = wait_s
        self._lock = threading.Lock()
        self._began_s: float | None = None
        self._seen_s = 0.0
        self._failures = 0

    def goes_on(self) -> bool:
        """Called after a failed attempt: pauses; whether to make another one."""
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
        """Called after an attempt that succeeded."""
        if self._began_s is None:
            return
        with self._lock:
            if self._began_s is not None:
                log.event("store.found", after_s=round(time.monotonic() - self._began_s, 3))
                self._began_s = None
