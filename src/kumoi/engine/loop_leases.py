"""The leases of this process's loops: renewed together, by one write, and where others have them looked at
together, by one read.

A lease is held for its time from before its renewal was sent, so no longer than the store says; whoever must
not act a moment too long asks the store once more, in the transaction in which it acts. A loop whose round
does not end keeps nothing: its lease is not renewed with the others'.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from kumoi.engine import lease
from kumoi.engine.db import Database
from kumoi.engine.lease import TakenLease

TTL_S = 10.0
RENEWED_S = TTL_S / 2  # Before the end, at the latest.
MISSED_S = 3.0  # Whoever renews, and looks each second, does so before so little is left.
LOOK_EVERY_S = 2.0


def _seconds() -> float:
    """Of a clock that goes on while the machine sleeps."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


@dataclass(slots=True)
class _LoopLease:
    """`until_s` is 0.0 where it is not ours; `began_s` is when the round began that runs now."""

    token: str
    until_s: float = 0.0
    began_s: float | None = None


class LoopLeases:
    """Of one store, in this process. Loops call it in threads of their own."""

    def __init__(self, database: Database, *, seconds: Callable[[], float] = _seconds) -> None:
        self._database = database
        self._seconds = seconds
        self._lock = threading.Lock()
        self._loops: dict[str, _LoopLease] = {}
        self._taken: dict[str, TakenLease] = {}
        self._looked_at: frozenset[str] = frozenset()
        self._looked_s = 0.0

    def begin(self, name: str, token: str) -> bool:
        """Whether this process has the lease of that loop, by `token`; then a round may begin, and `end` follows it.
        Writes only when half of the time is over, so an idle loop writes rarely, and one that another process
        runs does not write.
        """
        own = self._loops.setdefault(name, _LoopLease(token))
        if own.until_s - self._seconds() < RENEWED_S:
            with self._lock:
                is_old = own.until_s - self._seconds() < RENEWED_S  # A sibling may have renewed it.
                if is_old and not self._claim(name, own):
                    return False
        own.began_s = self._seconds()
        return True

    def end(self, name: str) -> None:
        """The round is over."""
        if own := self._loops.get(name):
            own.began_s = None

    def may_come(self, name: str) -> bool:
        """Whether this process has that lease, or may have it soon: nobody has it, or whoever has it is late. By
        what was seen last.
        """
        at_s = self._seconds()
        own, found = self._loops.get(name), self._taken.get(name)
        if found is None or (own is not None and own.until_s > at_s):
            return True
        return found.left_s - (at_s - self._looked_s) < MISSED_S

    def release(self, name: str) -> None:
        """Give it back, if it is ours."""
        with self._lock:
            own = self._loops.pop(name, None)
        if own is not None and own.until_s:
            with self._database.write(wakes=False) as connection:
                lease.release(connection, name, token=own.token)

    def _claim(self, name: str, own: _LoopLease) -> bool:
        """And renew all others of ours on the way."""
        if self._is_taken(name, own):
            return False
        with self._database.write(wakes=False) as connection:
            sent_s = self._seconds()
            is_ours = lease.claim(connection, name, token=own.token, ttl_s=TTL_S)
            others = {
                other: each.token
                for other, each in [*self._loops.items()]
                if each is not own and _goes_on(each, sent_s)
            }
            kept = lease.renew(connection, others, ttl_s=TTL_S) if others else frozenset()
        own.until_s = sent_s + TTL_S if is_ours else 0.0
        for other in others:
            if each := self._loops.get(other):
                each.until_s = sent_s + TTL_S if other in kept else 0.0
        if not is_ours:
            self._looked_at = frozenset()
        return own.until_s > self._seconds()

    def _is_taken(self, name: str, own: _LoopLease) -> bool:
        """By another process, which has not ended."""
        if name not in self._looked_at or self._seconds() - self._looked_s >= LOOK_EVERY_S:
            names = frozenset(self._loops)
            with self._database.read() as connection:
                self._taken = lease.taken(connection, names)
            self._looked_at, self._looked_s = names, self._seconds()
        found = self._taken.get(name)
        return found is not None and found.token != own.token


def _goes_on(each: _LoopLease, at_s: float) -> bool:
    """It is ours, as far as we know, and its round ends."""
    return each.until_s > 0.0 and (each.began_s is None or at_s - each.began_s < TTL_S)
