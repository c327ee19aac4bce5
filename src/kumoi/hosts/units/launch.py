"""Become a unit's user, without any right that it does not need, and then the unit's program.

The supervisor starts this as root in place of a program that is confined; its pid, descriptors and
environment go on to the program. It decides nothing: who and what stands in its first argument, which
units/table.py made. What fails ends it before the program begins.
"""

from __future__ import annotations

import ctypes
import grp
import json
import os
import pwd
import sys
from pathlib import Path

from kumoi.hosts.units.confinement import Confinement

UMASK = 0o007  # Whoever has the group of a role works on the same files.
PR_CAPBSET_DROP = 24
PR_SET_NO_NEW_PRIVS = 38
LAST_CAPABILITY = Path("/proc/sys/kernel/cap_last_cap")


def main(argv: list[str]) -> None:
    confined = Confinement(**json.loads(argv[0]))
    become(confined.user, confined.group)
    os.execv(argv[1], argv[1:])  # noqa: S606 - this process becomes the program


def become(user: str, group: str) -> None:
    """Once, and never back: no capability is left, and no program gives one."""
    uid, gid = pwd.getpwnam(user).pw_uid, grp.getgrnam(group).gr_gid
    for capability in range(int(LAST_CAPABILITY.read_text()) + 1):
        _prctl(PR_CAPBSET_DROP, capability)
    os.setgroups([])
    os.setresgid(gid, gid, gid)
    os.setresuid(uid, uid, uid)
    _prctl(PR_SET_NO_NEW_PRIVS, 1)
    os.umask(UMASK)


def _prctl(option: int, value: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    zero = ctypes.c_ulong(0)
    if libc.prctl(option, ctypes.c_ulong(value), zero, zero, zero) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"prctl {option}: {os.strerror(number)}")


if __name__ == "__main__":
    main(sys.argv[1:])
