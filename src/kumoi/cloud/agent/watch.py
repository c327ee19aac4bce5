"""Notice at once when a thing's process has ended: a pidfd becomes readable then."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable

from kumoi.cloud.hostapi.things import ThingKey


class EndWatch:
    """Calls `ended` when a watched process has ended. Used inside the event loop only."""

    def __init__(self, ended: Callable[[ThingKey], None]) -> None:
        self._ended = ended
        self._watched: dict[ThingKey, tuple[int, int]] = {}

    def watch(self, key: ThingKey, pid: int) -> None:
        """Watch this process instead of the thing's last one. 0 is none."""
        watched = self._watched.get(key)
        if watched and watched[0] == pid:
            return
        self._drop(key)
        if pid == 0:
            return
        try:
            descriptor = os.pidfd_open(pid)
        except OSError:
            return  # Ended already, or not to be watched: the next look around finds it.
        self._watched[key] = (pid, descriptor)
        asyncio.get_running_loop().add_reader(descriptor, self._fire, key)

    def close(self) -> None:
        for key in list(self._watched):
            self._drop(key)

    def _fire(self, key: ThingKey) -> None:
        self._drop(key)
        self._ended(key)

    def _drop(self, key: ThingKey) -> None:
        watched = self._watched.pop(key, None)
        if watched:
            asyncio.get_running_loop().remove_reader(watched[1])
            os.close(watched[1])
