"""Named network namespaces: which processes are in one, a socket in one, and its end."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import socket
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from kumoi.base import process

Found = TypeVar("Found")

NAMESPACES = Path("/run/netns")
CLONE_NEWNET = 0x40000000
END_S = 2.0
POLL_S = 0.005


def open_socket(family: int, name: str | None) -> socket.socket:
    """A socket for streams that belongs to the namespace of that name, or to our own; whatever it is told later
    may come from anywhere. Raises OSError where there is no such namespace.
    """
    if name is None:
        return socket.socket(family, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    return within(NAMESPACES / name, lambda: open_socket(family, None))


def within(path: Path, work: Callable[[], Found]) -> Found:
    """What `work` gives in the namespace of that file, in a thread. Raises OSError where there is none, and what
    `work` raises.
    """

    def enter() -> Found:
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            if ctypes.CDLL(None, use_errno=True).setns(handle, CLONE_NEWNET) != 0:
                number = ctypes.get_errno()
                raise OSError(number, f"setns {path}: {os.strerror(number)}")
        finally:
            os.close(handle)
        return work()

    with ThreadPoolExecutor(1) as thread:  # A thread may enter a namespace alone, and ends there.
        return thread.submit(enter).result()


def processes(path: Path) -> list[int]:
    """All that are in the namespace."""
    with contextlib.suppress(OSError):
        wanted = path.stat().st_ino
        return [
            int(entry.name)
            for entry in Path("/proc").iterdir()
            if entry.name.isdigit() and of_process(int(entry.name)) == wanted
        ]
    return []


def of_process(pid: int) -> int:
    """The inode of the namespace that a process is in; 0 when it has ended."""
    try:
        return Path(f"/proc/{pid}/ns/net").stat().st_ino
    except OSError:
        return 0


def remove(path: Path) -> None:
    """With all processes in it, where it exists."""
    if not path.exists():
        return
    end(processes(path))
    process.run(["ip", "netns", "delete", path.name])


def end(pids: list[int]) -> None:
    """Kill them, and wait for a while until they are gone."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    deadline = time.monotonic() + END_S
    while time.monotonic() < deadline and any(_lives(pid) for pid in pids):
        time.sleep(POLL_S)


def _lives(pid: int) -> bool:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] not in "ZX"
