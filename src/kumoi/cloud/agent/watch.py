"""Notice at once when a server's processes have ended: the kernel says so on a descriptor."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable


class EndWatch:
    """Used inside the event loop only."""

    def __init__(self, ended: Callable[[str], None]) -> None:
        self._ended = ended
        self._watched: dict[str, tuple[int, int]] = {}

    def watch(self, server_id: str, pid: int) -> None:
        """Say so once when this process ends. 0 is none."""
        watched = self._watched.get(server_id)
        if watched and watched[0] == pid:
            return
        self._drop(server_id)
        if pid == 0:
            return
        try:
            descriptor = os.pidfd_open(pid)
        except OSError:
            return  # Ended already, or nothing that can be watched: the next look finds it.
        self._watched[server_id] = (pid, descriptor)
        asyncio.get_running_loop().add_reader(descriptor, self._fire, server_id)

    def close(self) -> None:
        for server_id in list(self._watched):
            self._drop(server_id)

    def _fire(self, server_id: str) -> None:
        self._drop(server_id)
        self._ended(server_id)

    def _drop(self, server_id: str) -> None:
        watched = self._watched.pop(server_id, None)
        if watched:
            asyncio.get_running_loop().remove_reader(watched[1])
            os.close(watched[1])
