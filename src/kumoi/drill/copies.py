"""How often each server runs, counted from outside by its control groups on all hosts."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field

from kumoi.cloud.drivers.instance import fence

EVERY_S = 0.1


@dataclass(slots=True)
class Copies:
    """Looks ten times a second. `twice` are the servers that were seen on two hosts at once, each time anew."""

    servers: Sequence[str]
    hosts: Sequence[str]
    twice: list[str] = field(default_factory=list)
    _over: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def start(self) -> None:
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._over.set()
        if self._thread is not None:
            self._thread.join()

    def look(self) -> list[str]:
        """Those that run twice now."""
        return [
            server
            for server in self.servers
            if sum(fence.processes(host, server) > 0 for host in self.hosts) > 1
        ]

    def _watch(self) -> None:
        while not self._over.wait(EVERY_S):
            self.twice += self.look()
