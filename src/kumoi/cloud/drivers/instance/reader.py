"""What a program is given that reads what tenants wrote: ids that nobody has, files by mounts, no right.

Such a program is root of a user namespace and nobody on the host: owners and modes of files are its to set
where it was given a directory, and only there. An idmapped mount shows it files with the ids that they
have on the disk, whatever its own are. It is held to these mounts as any unit is (hosts/units/sandbox.py);
the mounts are of the thread that makes them, and end with the program.
"""

from __future__ import annotations

import os
from pathlib import Path

from kumoi.cloud.drivers.instance import kernel
from kumoi.hosts.units.confinement import ROOT, Confinement

READS = ("CAP_DAC_READ_SEARCH",)
WRITES = ("CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FOWNER", "CAP_FSETID", "CAP_SETFCAP")


def show(path: Path, at: Path, *, users: int, writable: bool = False) -> None:
    """A file or directory, for the user namespace `users`. Call shut_in when all are shown."""
    at.touch() if path.is_file() else at.mkdir()
    attributes = kernel.MOUNT_ATTR_NODEV | kernel.MOUNT_ATTR_NOSUID
    if not writable:
        attributes |= kernel.MOUNT_ATTR_RDONLY
    kernel.clone_mount(path, at, attributes=attributes, userns_fd=users)


def shut_in(*writable: Path) -> None:
    """Of this thread's mounts only these can be written; where the kernel has no Landlock, nothing else
    says so.
    """
    kernel.forbid_writing("/")
    for path in writable:
        kernel.allow_writing(path)


def path_of(users: int) -> str:
    """Where a program that this process starts finds the namespace that is open here."""
    return f"/proc/{os.getpid()}/fd/{users}"


def rights(
    *, reads: tuple[Path, ...] = (), writes: tuple[Path, ...] = (), capabilities: tuple[str, ...]
) -> Confinement:
    """What such a program may, within its namespace."""
    return Confinement(
        user=ROOT,
        group=ROOT,
        reads=tuple(map(str, reads)),
        writes=tuple(map(str, writes)),
        capabilities=capabilities,
        families=(),
        starts_programs=True,
        umask=0o022,
        reads_tenants=True,
    )
