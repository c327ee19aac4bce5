"""Lease tokens that name the process which holds the lease, so that others can see whether it
lives.

A killed worker's lease need not expire where the next worker can see that its process has ended. A
process that cannot be seen from here, on another machine or in another container, counts as alive.
"""

from __future__ import annotations

import functools
import hashlib
import os
import secrets
from pathlib import Path

PROC = Path("/proc")
MACHINE_DIGITS = 8
_START_TICKS_FIELD = 19  # Counted from the state, which follows the program's name in parentheses.


def new_token() -> str:
    """A token of 36 characters at most: machine, process id, start of the process, random digits."""
    pid = os.getpid()
    return f"{_machine()}:{pid}:{_start_ticks(pid)}:{secrets.token_hex(3)}"


def is_gone(token: str) -> bool:
    """Whether the process that made the token has certainly ended."""
    parts = token.split(":")
    if len(parts) != 4 or parts[0] != _machine() or not parts[1].isdecimal():  # noqa: PLR2004
        return False
    return str(_start_ticks(int(parts[1]))) != parts[2]


@functools.cache
def _machine() -> str:
    """A hash of this boot of this machine and its namespace of process ids."""
    boot = (PROC / "sys/kernel/random/boot_id").read_text()
    pids = (PROC / "self/ns/pid").readlink()
    return hashlib.sha256(f"{boot} {pids}".encode()).hexdigest()[:MACHINE_DIGITS]


def _start_ticks(pid: int) -> int:
    """When a process started, in the kernel's ticks; 0 when no process of that id runs."""
    try:
        fields = (PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return 0 if fields[0] in "ZX" else int(fields[_START_TICKS_FIELD])
