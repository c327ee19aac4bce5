"""What a program is given that reads what tenants wrote: ids that nobody has, files by mounts, no right.

Such a program is root of a user namespace and nobody on the host: owners and modes of files are its to set
where it was given a directory, and only there. An idmapped mount shows it files with the ids that they
have on the disk, whatever its own are. It is held to these mounts as any unit is (hosts/units/sandbox.py);
the mounts are of the thread that makes them, and end with the program.
"""

from __future__ import annotations

import json
import os
import resource
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from kumoi.cloud.drivers.instance import kernel
from kumoi.hosts.units import launch, sandbox
from kumoi.hosts.units.confinement import ROOT, Confinement

MEMORY_BYTES = 1 << 30
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


def command(module: str, confined: Confinement, *, users: int, **given: Any) -> list[str]:
    """What starts a program of ours, which holds itself to that by `begin`: what it imports, it could not
    read afterwards. `given` are further arguments, as JSON has them.
    """
    arguments = {"users": path_of(users), "confined": asdict(confined), **given}
    return [sys.executable, "-I", "-m", module, json.dumps(arguments)]


def begin(argument: str) -> Any:
    """In the program, before it reads anything; its further arguments."""
    given = json.loads(argument)
    launch.protect("self", launch.OOM_OF_HELPERS)
    launch.enter(given.pop("users"), launch.CLONE_NEWUSER)
    confined = Confinement(**given.pop("confined"))
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    launch.become(confined)
    sandbox.apply(confined, sys.executable)
    return given
