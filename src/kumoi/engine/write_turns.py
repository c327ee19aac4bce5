"""Whose turn it is to write: of those that wait, one whose client has not just written, so that a client
with many writes waits for itself. Called by Database.write.

app.py says for which client a request is; what loops write is a client of its own.
"""

from __future__ import annotations

import collections
import contextlib
import threading
from collections.abc import Iterator
from contextvars import ContextVar

from kumoi.base.errors import Transient

CLIENT: ContextVar[str] = ContextVar("client", default="")
"""The caller's project, user or host, as http/turns.py has it."""


class WriteTurns:
    """Of the threads of this process. Who ends a turn hands it on; nobody comes in between."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._is_taken = False
        self._last = ""
        self._waiting: dict[str, collections.deque[threading.Lock]] = {}  # Who waits longest first.

    @contextlib.contextmanager
    def turn(self, wait_max_s: float) -> Iterator[None]:
        """Raises Transient when it was others' turn for so long."""
        client = CLIENT.get()
        if not self._take(client, wait_max_s):
            raise Transient("write to the store: others keep writing")
        try:
            yield
        finally:
            self._hand_on()

    def _take(self, client: str, wait_max_s: float) -> bool:
        turn = threading.Lock()
        with self._lock:
            if not self._is_taken:
                self._is_taken, self._last = True, client
                return True
            turn.acquire()
            self._waiting.setdefault(client, collections.deque()).append(turn)
        return turn.acquire(timeout=wait_max_s) or not self._gives_up(client, turn)

    def _gives_up(self, client: str, turn: threading.Lock) -> bool:
        """False when it has become its turn after all."""
        with self._lock:
            waiting = self._waiting.get(client)
            if waiting is None or turn not in waiting:
                return False
            waiting.remove(turn)
            if not waiting:
                del self._waiting[client]
            return True

    def _hand_on(self) -> None:
        with self._lock:
            others = (client for client in self._waiting if client != self._last)
            client = next(others, self._last)
            waiting = self._waiting.pop(client, None)
            if waiting is None:
                self._is_taken = False
                return
            turn = waiting.popleft()
            if waiting:
                self._waiting[client] = waiting  # Behind all others.
            self._last = client
            turn.release()
