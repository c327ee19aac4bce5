"""Become a unit's user, with no right that it does not need, and then the unit's program.

The supervisor starts this as root in place of a unit's program; its pid and descriptors go on to the
program, and of its environment what a unit needs. It decides nothing: who and what stands in its
first argument, which units/table.py made. What fails ends it before the program begins.
"""

from __future__ import annotations

import contextlib
import ctypes
import grp
import json
import os
import pwd
import signal
import sys
from pathlib import Path

from kumoi.hosts.units import sandbox
from kumoi.hosts.units.confinement import Confinement

PASSED = frozenset({
    "LANG", "LC_ALL", "TZ", "KUMOI_UNIT", "KUMOI_LISTEN_FDS", "NOTIFY_SOCKET", "LISTEN_FDS",
    "LISTEN_PID", "LISTEN_FDNAMES",
})  # fmt: skip
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
CAPABILITIES = {
    "CAP_CHOWN": 0,
    "CAP_DAC_OVERRIDE": 1,
    "CAP_DAC_READ_SEARCH": 2,
    "CAP_FOWNER": 3,
    "CAP_FSETID": 4,
    "CAP_KILL": 5,
    "CAP_NET_ADMIN": 12,
    "CAP_NET_RAW": 13,
    "CAP_IPC_LOCK": 14,
    "CAP_SYS_NICE": 23,
    "CAP_SETFCAP": 31,
}
OOM_OF_UNITS, OOM_OF_PROXIES, OOM_OF_HELPERS = -900, 600, 900
PR_SET_PDEATHSIG = 1
CAPABILITY_VERSION = 0x20080522
PR_SET_KEEPCAPS = 8
PR_CAPBSET_DROP = 24
PR_SET_NO_NEW_PRIVS = 38
PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE = 47, 2
LAST_CAPABILITY = Path("/proc/sys/kernel/cap_last_cap")
CLONE_NEWNET, CLONE_NEWUSER = 0x40000000, 0x10000000


def main(argv: list[str]) -> None:
    wanted = json.loads(argv[0])
    confined = Confinement(**wanted["confined"])
    protect("self", score_of(confined))
    if wanted["namespace"]:
        enter(wanted["namespace"], CLONE_NEWNET)
    if wanted["users"]:
        enter(wanted["users"], CLONE_NEWUSER)
    become(confined)
    sandbox.apply(confined, argv[1])
    passed = PASSED.union(wanted["variables"])
    environment = {key: value for key, value in os.environ.items() if key in passed}
    os.execve(argv[1], argv[1:], {"PATH": PATH, **environment})  # noqa: S606 - this process becomes the program


def score_of(confined: Confinement | None) -> int:
    """Where the machine runs out of memory, what reads a tenant's file ends first, then balancers' proxies, then
    servers, then units: neither a file of one tenant's nor a balancer of his ends a server of another's.
    """
    if confined is None:
        return OOM_OF_UNITS
    reads = confined.reads_tenants or confined.forks_readers
    return OOM_OF_HELPERS if reads else OOM_OF_UNITS


def protect(pid: str, score: int) -> None:
    """In a container nobody may make it less likely to end."""
    with contextlib.suppress(OSError):
        Path(f"/proc/{pid}/oom_score_adj").write_text(f"{score}\n")


def enter(namespace: str, kind: int) -> None:
    """A network, or users. Never mounts: what a host agent mounts must be seen by everybody."""
    handle = os.open(namespace, os.O_RDONLY | os.O_CLOEXEC)
    if _libc().setns(handle, kind) != 0:
        _fail("setns")
    os.close(handle)


def become(confined: Confinement) -> None:
    """Once, and never back: no capability is left but those named, and no program gives one."""
    os.umask(confined.umask)
    if not confined.is_bounded:
        return
    if confined.user:
        _change_user(confined)
    _prctl(PR_SET_NO_NEW_PRIVS, 1)
    if confined.reads_tenants:  # After the changes of user, which forget it.
        _prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def _change_user(confined: Confinement) -> None:
    uid, gid = pwd.getpwnam(confined.user).pw_uid, grp.getgrnam(confined.group).gr_gid
    numbers = [CAPABILITIES[name] for name in confined.capabilities]
    for capability in range(int(LAST_CAPABILITY.read_text()) + 1):
        if capability not in numbers:
            _prctl(PR_CAPBSET_DROP, capability)
    os.setgroups([grp.getgrnam(name).gr_gid for name in confined.groups])
    os.setresgid(gid, gid, gid)
    _prctl(PR_SET_KEEPCAPS, 1 if numbers else 0)
    os.setresuid(uid, uid, uid)
    if numbers:
        _hold(numbers)


def _hold(capabilities: list[int]) -> None:
    """Across the change of user, and into the program."""
    mask = sum(1 << capability for capability in capabilities)
    header = (ctypes.c_uint32 * 2)(CAPABILITY_VERSION, 0)
    data = (ctypes.c_uint32 * 6)(mask, mask, mask, 0, 0, 0)  # All of them are below 32.
    if _libc().capset(header, data) != 0:
        _fail("capset")
    for capability in capabilities:
        _prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, capability)


def _prctl(option: int, *values: int) -> None:
    arguments = [ctypes.c_ulong(value) for value in (*values, 0, 0, 0, 0)[:4]]
    if _libc().prctl(option, *arguments) != 0:
        _fail(f"prctl {option}")


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _fail(what: str) -> None:
    number = ctypes.get_errno()
    raise OSError(number, f"{what}: {os.strerror(number)}")


if __name__ == "__main__":
    main(sys.argv[1:])
