"""Whether this machine and the place chosen on it will do, asked by `up` before anything is
changed.
"""

from __future__ import annotations

import shutil
import stat
from pathlib import Path

from kumoi.base import process
from kumoi.base.errors import Invalid

RAM_MIN_MIB = 1_900  # A machine sold as 2 GiB shows a little less.
DISK_MIN_GIB = 5
MEMINFO = Path("/proc/meminfo")


def check_size(state: Path, *, meminfo: Path = MEMINFO, disk_min_gib: int = DISK_MIN_GIB) -> None:
    """Raises Invalid when the machine has too little memory or disk."""
    total = next(line for line in meminfo.read_text().splitlines() if line.startswith("MemTotal:"))
    ram_mib = int(total.split()[1]) >> 10
    if ram_mib < RAM_MIN_MIB:
        raise Invalid(f"this machine has {ram_mib} MiB of memory: 2 GiB at least are needed")
    there = next(path for path in (state, *state.parents) if path.exists())
    free_gib = shutil.disk_usage(there).free >> 30
    if free_gib < disk_min_gib and not state.exists():
        raise Invalid(
            f"{there} has {free_gib} GiB free, and {disk_min_gib} GiB at least are needed: "
            "make room, or choose another place with --state-dir"
        )


def check_passable(state: Path) -> None:
    """Raises Invalid where an unprivileged user could not reach the state directory: the root user
    of a server is one on this machine, and must reach its files.
    """
    for path in (state, *state.parents):
        if path.exists() and not path.is_dir():
            raise Invalid(f"{path} is no directory: choose another place with --state-dir")
    for path in state.parents:
        if path.exists() and not path.stat().st_mode & stat.S_IXOTH:
            raise Invalid(
                f"servers could not get to their files through {path}: chmod o+x {path}, "
                "or choose another place with --state-dir"
            )


def check_python(program: Path) -> None:
    """Raises Invalid when the users that roles run as could not reach this Python."""
    for path in program.resolve().parents:
        if not path.stat().st_mode & stat.S_IXOTH:
            raise Invalid(
                f"the users that roles run as could not get to the Python {program.resolve()} "
                f"through {path}: chmod o+x {path}, or use Debian's Python"
            )


def check_user_namespaces() -> None:
    """Raises Invalid where the kernel makes none: the root user of a server lives in one."""
    done = process.run(["unshare", "--user", "true"], check=False)
    if done.status != 0:
        raise Invalid(
            f"this machine makes no user namespaces, which servers need ({done.err.strip()}): see `sysctl "
            "user.max_user_namespaces`. In a chroot the kernel never makes them: boot that tree, "
            "or enter it with pivot_root"
        )
