"""An outage of the database: which errors announce it, and how long to wait for its end.

Used by db.py where a transaction begins, by any number of threads at once: one of them tries again, the
others wait for it, and all give up together when the outage has lasted too long. A thread that comes
later in the same outage tries once and gives up at once, so a long outage does not pile up requests.
"""

from __future__ import annotations

import threading
import time

from kumoi.base import log
from kumoi.base.backoff import Backoff

TRIED_S = 5.0
"""Whoever need not wait for the end looks for it where nobody has tried for so long."""
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
        self._changed = threading.Condition()
        self._began_s: float | None = None
        self._seen_s = 0.0
        self._failures = 0
        self._trying: int | None = None  # The thread that does.

    def goes_on(self) -> bool:
        """Called after a failed attempt: pauses; whether to make another one. Where many connect at once,
        a database that is coming back has no time for that.
        """
        me = threading.get_ident()
        with self._changed:
            ends_s = self._note_failure()
            if self._trying not in {None, me}:
                self._changed.wait_for(self._may_try, timeout=ends_s - time.monotonic())
                if self._began_s is None:
                    return True
            left_s = ends_s - time.monotonic()
            if left_s <= 0:
                self._let_others_try(me)
                return False
            self._trying = me
            self._failures += 1
            pause_s = min(PAUSES.after(self._failures), left_s)
        time.sleep(pause_s)
        return True

    def goes_on_now(self) -> bool:
        """Whether it has begun, and its end was not seen."""
        return self._began_s is not None

    def is_to_be_tried(self) -> bool:
        """Whether nobody has for some time. Whoever is told so does, and no other one is told meanwhile."""
        with self._changed:
            is_due = time.monotonic() - self._seen_s > TRIED_S
            if is_due:
                self._seen_s = time.monotonic()
            return is_due

    def note_failure(self) -> None:
        """Of an attempt by who does not wait."""
        with self._changed:
            self._note_failure()

    def is_over(self) -> None:
        """Called after an attempt that succeeded."""
        if self._began_s is None:
            return
        with self._changed:
            if self._began_s is not None:
                log.event("store.found", after_s=round(time.monotonic() - self._began_s, 3))
                self._began_s = self._trying = None
                self._changed.notify_all()

    def _note_failure(self) -> float:
        """When this outage has lasted too long."""
        now_s = time.monotonic()
        if self._began_s is None or now_s - self._seen_s > self._wait_s:
            log.warning("store.lost")
            self._began_s, self._failures, self._trying = now_s, 0, None
        self._seen_s = now_s
        return self._began_s + self._wait_s

    def _may_try(self) -> bool:
        return self._began_s is None or self._trying is None

    def _let_others_try(self, me: int) -> None:
        if self._trying == me:
            self._trying = None
            self._changed.notify_all()
