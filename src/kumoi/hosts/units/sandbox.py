"""Hold this process to a row of rights.py, before it becomes the unit's program.

Called by launch.py once it is the unit's user. Three walls, each for itself: Landlock for paths, a
filter for system calls, limits for what it may take. What cannot be built ends the process before
the program begins; only where the kernel has no Landlock are there two walls, and `status` says so.
"""

from __future__ import annotations

import os
import resource
import sys
from pathlib import Path

from kumoi.hosts.units import landlock, syscalls
from kumoi.hosts.units.confinement import Confinement
from kumoi.hosts.units.landlock import DEVICE, READ, WRITE, Access

PROGRAMS = ("/usr", "/lib", "/lib64", "/bin", "/sbin", "/etc/ld.so.cache")
"""What a helper reads beside what it was given."""
SYSTEM = (*PROGRAMS, "/etc", "/proc", "/run/systemd/resolve")
"""What every program reads. In /etc and /proc, owners decide who reads what is not everybody's."""
CPUS = "/sys/devices/system/cpu"
DEVICES = ("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom", "/dev/tty")
LOADERS = ("lib64/ld-linux*", "lib/ld-linux*", "lib/*/ld-linux*")
OPEN_FILES_MAX = 65_536
PROCESSES_MAX = 2_048  # Threads too; of all processes of the unit's user.


def apply(confined: Confinement, program: str) -> None:
    """Raises OSError."""
    limit(confined)
    if not confined.is_bounded:
        _filter_agent()
        return
    abi = landlock.version()
    if abi:
        scopes = landlock.SCOPE_SOCKETS if confined.is_followed else landlock.SCOPE_ALL
        landlock.restrict(paths_of(confined, program), abi, scopes=scopes)
    _filter(confined)


def limit(confined: Confinement) -> None:
    """No core file, in which secrets would lie; and no more of the machine than a unit can use."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if not confined.is_bounded:
        return
    limits = [(resource.RLIMIT_NOFILE, OPEN_FILES_MAX)]
    # A helper of a user who is a person would count all that the person runs; a unit's has its limit.
    if confined.user or os.geteuid() == 0:
        limits.append((resource.RLIMIT_NPROC, PROCESSES_MAX))
    for kind, most in limits:
        hard = resource.getrlimit(kind)[1]
        value = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(kind, (value, value))


def paths_of(confined: Confinement, program: str) -> dict[str, Access]:
    """What Landlock leaves it. A file is reached by its directory: one that is replaced whole, as
    certificates are, is another file to Landlock. Its owner and mode say who reads it there.
    """
    execute = Access.EXECUTE if confined.starts_programs else Access(0)
    found: dict[str, Access] = {}

    def allow(path: str | Path, access: Access) -> None:
        found[str(path)] = found.get(str(path), Access(0)) | access

    system = PROGRAMS if confined.reads_tenants else (*SYSTEM, sys.prefix, sys.base_prefix)
    for path in system:
        allow(path, READ | execute)
    allow(CPUS, READ)
    for path in DEVICES:
        allow(path, DEVICE)
    for path in confined.reads:
        if Path(path).is_dir() or confined.reads_tenants:
            allow(path, READ | execute)
        else:
            allow(Path(path).parent, Access.READ_FILE)
    for path in confined.writes:
        allow(path, WRITE if Path(path).is_dir() else DEVICE)
    # The kernel starts a loader in place of a program, to load it.
    loaders = [path for pattern in LOADERS for path in Path("/").glob(pattern)]
    for own in (Path(program), *loaders):
        allow(own.resolve(), READ | Access.EXECUTE)
    return found


def _filter(confined: Confinement) -> None:
    built = syscalls.Filter()
    built.refuse(syscalls.OF_A_UNIT)
    built.refuse_namespaces()
    built.refuse_devices()
    built.refuse_families(but=confined.families)
    if confined.families:  # Python sets the timeouts of sockets by ioctl.
        built.refuse_typing()
    else:
        built.refuse(["ioctl"])
    built.load()


def _filter_agent() -> None:
    """Servers inherit it: nothing stands in it that a server could do. They gain privileges inside,
    by sudo as anywhere, so those stay open, and they may be of another architecture.
    """
    built = syscalls.Filter()
    built.cover_other_architectures(os.uname().machine)
    built.refuse(syscalls.OF_THE_MACHINE)
    built.refuse_sockets_of_the_machine()
    built.refuse_uncounted_memory()
    built.load(with_privileges=True)
