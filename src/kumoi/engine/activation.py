"""What a role is handed by whoever started it: listening sockets, and where to say that it is ready.

Both are systemd's protocols, which our own supervisor speaks too: LISTEN_FDS of sd_listen_fds(3)
and READY=1 of sd_notify(3). Sockets that outlive the process let the next release of a role accept
before the one before it stops. A role that nobody started this way, as in a test, opens its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

FIRST_DESCRIPTOR = 3  # Of LISTEN_FDS, as sd_listen_fds(3) has it.
HANDED = "KUMOI_LISTEN_FDS"
"""Our supervisor's: numbers of descriptors, with commas. It need not know its child's pid before
the child is there, as LISTEN_PID asks for.
"""


class Activation:
    """Of one process. Taking a socket makes it the taker's; on one that nobody takes, whoever
    connects waits. `on_drain` are called, all together, when the process is asked to let others
    serve and to end when those who are connected have their answers.
    """

    def __init__(self, environment: Mapping[str, str], *, pid: int) -> None:
        self._sockets = [socket.socket(fileno=number) for number in _numbers(environment, pid)]
        self._notify = environment.get("NOTIFY_SOCKET", "")
        self.on_drain: list[Callable[[], Coroutine[Any, Any, None]]] = []

    @classmethod
    def of_process(cls) -> Activation:
        """What this one was given. The variables go: what it starts must not take them for its own."""
        found = cls(os.environ, pid=os.getpid())
        for name in (HANDED, "LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES", "NOTIFY_SOCKET"):
            os.environ.pop(name, None)
        return found

    @classmethod
    def none(cls) -> Activation:
        """Of a process that opens its own sockets, with nobody to tell."""
        return cls({}, pid=0)

    def take(self, address: str, port: int) -> socket.socket | None:
        """The socket that listens on this address, or None."""
        for one in self._sockets:
            if one.getsockname()[:2] == (address, port):
                self._sockets.remove(one)
                return one
        return None

    def tell_ready(self) -> None:
        """Say that this process answers now. Nobody to hear it is no error."""
        if not self._notify:
            return
        name = self._notify
        whoever_started_us_is_gone = contextlib.suppress(OSError)  # Then the next one looks.
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as told, whoever_started_us_is_gone:
            told.sendto(b"READY=1", f"\0{name[1:]}" if name.startswith("@") else name)

    async def drain(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            for draining in self.on_drain:
                tasks.create_task(draining())


def _numbers(environment: Mapping[str, str], pid: int) -> list[int]:
    ours = environment.get(HANDED, "")
    if ours:
        return [int(number) for number in ours.split(",")]
    if environment.get("LISTEN_PID") != str(pid):
        return []
    return [FIRST_DESCRIPTOR + one for one in range(int(environment.get("LISTEN_FDS", "0")))]
