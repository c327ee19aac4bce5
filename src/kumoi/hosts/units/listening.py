"""The listening sockets of units, which outlive the units' processes.

The supervisor opens them, passes them to the processes that it starts, and keeps them open: while a
role is replaced or restarted, clients wait and are not refused. The successor of a killed
supervisor copies them from the processes that have them, since nobody else can listen there while
they do.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import socket
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from kumoi.base import namespace
from kumoi.base.errors import Conflict

BACKLOG = 1_024
PIDFD_GETFD = 438  # The system call's number, the same on every architecture: pidfd_getfd(2).
SOCKET_MODE = 0o600
IP_FREEBIND = 15  # As ip(7) numbers it: an address that is not there, or not yet.


def open_all(
    addresses: Mapping[str, str | None], holders: Iterable[int]
) -> dict[str, socket.socket]:
    """A listening socket for each address, "tcp:ADDRESS:PORT" or "unix:PATH": a copy of the one
    that a process of `holders` has, or a new one in the network namespace that it is given with, where None is
    ours. Raises Conflict when another process listens there.
    """
    wanted = set(addresses)
    opened: dict[str, socket.socket] = {}
    for pid in holders if wanted else ():
        for found in _of_process(pid):
            address = address_of(found)
            if address in wanted and address not in opened:
                opened[address] = found
            else:
                found.close()
    for address in sorted(wanted - opened.keys()):
        opened[address] = _listen(address, addresses[address])
    return opened


def address_of(listener: socket.socket) -> str:
    bound = listener.getsockname()
    return f"unix:{bound}" if listener.family == socket.AF_UNIX else f"tcp:{bound[0]}:{bound[1]}"


def _listen(address: str, inside: str | None) -> socket.socket:
    kind, _, where = address.partition(":")
    family = socket.AF_UNIX if kind == "unix" else socket.AF_INET
    try:
        listener = namespace.open_socket(family, inside)
    except OSError as cause:
        raise Conflict(f"there is no network namespace {inside} to listen in") from cause
    try:
        if kind == "unix":
            Path(where).unlink(missing_ok=True)  # Of a process that is gone.
            listener.bind(where)
            Path(where).chmod(SOCKET_MODE)
        else:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.setsockopt(socket.IPPROTO_IP, IP_FREEBIND, 1)  # Who has it now may be another.
            host, _, port = where.rpartition(":")
            listener.bind((host, int(port)))
        listener.listen(BACKLOG)
    except OSError as cause:
        listener.close()
        raise Conflict(f"{where} cannot be listened on: another process may have it") from cause
    return listener


def _of_process(pid: int) -> Iterator[socket.socket]:
    """Copies of the listening sockets of a process; none when it ended."""
    libc = ctypes.CDLL(None, use_errno=True)
    with contextlib.suppress(OSError):
        handle = os.pidfd_open(pid)
        try:
            for entry in Path(f"/proc/{pid}/fd").iterdir():
                with contextlib.suppress(OSError):
                    if not str(entry.readlink()).startswith("socket:"):
                        continue
                    number = libc.syscall(PIDFD_GETFD, handle, int(entry.name), 0)
                    if number < 0:
                        continue
                    os.set_inheritable(number, False)  # noqa: FBT003 - the library's signature
                    found = socket.socket(fileno=number)
                    if _listens(found):
                        yield found
                    else:
                        found.close()
        finally:
            os.close(handle)


def _listens(found: socket.socket) -> bool:
    return (
        found.type == socket.SOCK_STREAM
        and found.family in (socket.AF_INET, socket.AF_UNIX)
        and bool(found.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN))
    )
