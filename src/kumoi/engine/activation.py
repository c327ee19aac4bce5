"""Socket activation: the listening sockets that a role inherits, and its report that it is ready.

Both are protocols of systemd, which our own supervisor speaks, too: LISTEN_FDS of sd_listen_fds(3)
and READY=1 of sd_notify(3). Sockets that outlive the process let the next release of a role accept
before the one before it stops. A role that inherits none, as in a test, opens its own.
"""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

FIRST_DESCRIPTOR = 3  # Of LISTEN_FDS, as sd_listen_fds(3) has it.
OUR_LISTEN_FDS = "KUMOI_LISTEN_FDS"
"""Our supervisor's variable: the numbers of inherited descriptors, separated by commas. Unlike
LISTEN_FDS it does not need the child's pid, which the supervisor does not know in time.
"""


class Activation:
    """The inherited sockets of one process. A socket belongs to its first taker; clients of one
    that nobody takes wait. The functions in `on_drain` are called together when the process is to
    stop accepting, and to end once its connected clients have their answers.
    """

    def __init__(self, environment: Mapping[str, str], *, pid: int) -> None:
        self._sockets = [socket.socket(fileno=number) for number in _descriptors(environment, pid)]
        self._notify = environment.get("NOTIFY_SOCKET", "")
        self.on_drain: list[Callable[[], Coroutine[Any, Any, None]]] = []

    @classmethod
    def of_process(cls) -> Activation:
        """From this process's environment, whose variables are removed: they are not for its own
        children.
        """
        found = cls(os.environ, pid=os.getpid())
        for name in (OUR_LISTEN_FDS, "LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES", "NOTIFY_SOCKET"):
            os.environ.pop(name, None)
        return found

    @classmethod
    def none(cls) -> Activation:
        """For a process that opens its own sockets and reports to nobody."""
        return cls({}, pid=0)

    def take(self, address: str, port: int) -> socket.socket | None:
        """The socket that listens on this address, or None."""
        for inherited in self._sockets:
            if inherited.getsockname()[:2] == (address, port):
                self._sockets.remove(inherited)
                return inherited
        return None

    def tell_ready(self) -> None:
        """Report that this process serves now. A supervisor that does not listen is no error."""
        if not self._notify:
            return
        name = self._notify
        address = f"\0{name[1:]}" if name.startswith("@") else name
        supervisor_is_gone = contextlib.suppress(OSError)  # The next one finds out by itself.
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender, supervisor_is_gone:
            sender.sendto(b"READY=1", address)

    async def drain(self) -> None:
        import asyncio  # noqa: PLC0415 - 3 MiB, and the supervisor, which reads a name of this, has no event loop

        async with asyncio.TaskGroup() as tasks:
            for draining in self.on_drain:
                tasks.create_task(draining())


def _descriptors(environment: Mapping[str, str], pid: int) -> list[int]:
    """The numbers of the inherited descriptors, by our supervisor's variable or by systemd's."""
    if environment.get(OUR_LISTEN_FDS):
        return [int(number) for number in environment[OUR_LISTEN_FDS].split(",")]
    if environment.get("LISTEN_PID") != str(pid):
        return []
    count = int(environment.get("LISTEN_FDS", "0"))
    return list(range(FIRST_DESCRIPTOR, FIRST_DESCRIPTOR + count))
