"""Pushes to one repository, one after the other: what a push leaves behind for its runs is then its own."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from weakref import WeakValueDictionary

from kumoi.base.errors import Conflict

WAIT_S = 30.0


class _Turn:
    def __init__(self) -> None:
        self.lock = threading.Lock()


class Pushes:
    def __init__(self) -> None:
        self._turns: WeakValueDictionary[str, _Turn] = WeakValueDictionary()
        self._lock = threading.Lock()

    def is_under_way(self, repository_id: str) -> bool:
        turn = self._turns.get(repository_id)
        return turn is not None and turn.lock.locked()

    @contextlib.contextmanager
    def one_at_a_time(self, repository_id: str) -> Iterator[None]:
        """Raises Conflict when another push takes too long."""
        with self._lock:
            turn = self._turns.setdefault(repository_id, _Turn())
        if not turn.lock.acquire(timeout=WAIT_S):
            raise Conflict("another push to this repository is under way: try again")
        try:
            yield
        finally:
            turn.lock.release()
