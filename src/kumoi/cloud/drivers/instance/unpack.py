"""Unpack an image's file: a tar archive or a squashfs file of a root file system.

Called by image.py. An image is not trusted: the program that unpacks it is a helper, which reads that
file and writes the target and reaches nothing else (hosts/units/sandbox.py): no other path, no socket,
no other process, no device, and of root's rights those about files. It is killed when it takes more
space than an image may or the host can spare. Device nodes are removed, and extended attributes other
than file capabilities, for overlayfs has attributes of its own.

A squashfs file is read by squashfs-tools and never mounted: a malformed one then harms a program of
little memory, not the kernel that all servers share.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from kumoi.base import process
from kumoi.base.errors import Permanent
from kumoi.base.process import ProcessFailed
from kumoi.cloud.drivers.instance import kernel, room
from kumoi.hosts.units.confinement import ROOT, Confinement, launched

TIMEOUT_S = 900.0
BYTES_MAX = 64 << 30
FILES_MAX = 4_000_000
"""What an image may unpack to. A crafted file of a few hundred KiB would fill any disk."""

_COMPRESSIONS = {
    b"\x28\xb5\x2f\xfd": "--zstd",
    b"\x1f\x8b": "--gzip",
    b"\xfd7zXZ\x00": "--xz",
}
_SQUASHFS = b"hsqs"
_SQUASHFS_TOOL = "unsquashfs"
_SQUASHFS_MEMORY_BYTES = 1 << 30
_SQUASHFS_CACHE_MIB = "32"
_SQUASHFS_THREADS = "2"
_MAGIC_BYTES = 8
_XZ_MEMORY_BYTES = 256 << 20  # A file may ask for 4 GiB; the best compression asks for 65 MiB.
DIE_WITH_AGENT = ("setpriv", "--pdeathsig=KILL")
"""Otherwise a killed agent's programs would write on while the next agent removes what they made."""
_CAPABILITY = "security.capability"
_OWNERS_AND_MODES = ("CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FOWNER", "CAP_FSETID", "CAP_SETFCAP")
_NODES = "CAP_MKNOD"  # They are made and then removed: without, the programs refuse the image.
ATTRIBUTES = (
    "CAP_SYS_ADMIN"  # Likewise those named trusted. The filter refuses what else it is for.
)


def formats() -> frozenset[str]:
    """The image formats that this host can unpack, in the image API's words."""
    has_squashfs = shutil.which(_SQUASHFS_TOOL) is not None
    return frozenset({"root-tar", "squashfs"} if has_squashfs else {"root-tar"})


def unpack(file: Path, target: Path) -> None:
    """Runs in a thread with mounts of its own. Raises Permanent when the file cannot be unpacked."""
    with file.open("rb") as opened:
        magic = opened.read(_MAGIC_BYTES)
    shut_in(target)
    if magic.startswith(_SQUASHFS):
        _unsquash(file, target)
        _remove_attributes(target)
    else:
        _untar(file, target, magic)
    _remove_devices(target)


def shut_in(target: Path) -> None:
    """Of this thread's mounts only the target can be written, and no device is opened in it."""
    kernel.clone_mount(target, target, attributes=kernel.MOUNT_ATTR_NODEV)
    kernel.forbid_writing("/")
    kernel.allow_writing(target)


def helper(file: Path, target: Path, *more: str) -> Confinement:
    """What the program may that unpacks this file there; `more` are further capabilities."""
    return Confinement(
        user=ROOT,
        group=ROOT,
        state=str(target),
        reads=(str(file),),
        writes=(str(target),),
        capabilities=(*_OWNERS_AND_MODES, _NODES, *more),
        families=(),
        starts_programs=True,
        umask=0o022,
        reads_tenants=True,
    )


@dataclass(slots=True)
class SpaceTaken:
    """The space that an unpacking takes of its file system; what others write there meanwhile counts
    as well. `refusal` says why it must end.
    """

    target: Path
    before: os.statvfs_result
    refusal: str = ""

    def is_exceeded(self) -> bool:
        now = os.statvfs(self.target)
        taken_bytes = (self.before.f_bfree - now.f_bfree) * now.f_frsize
        if taken_bytes > BYTES_MAX or self.before.f_ffree - now.f_ffree > FILES_MAX:
            self.refusal = (
                f"the image unpacks to more than an image may: {BYTES_MAX >> 30} GiB in "
                f"{FILES_MAX} files"
            )
        elif room.is_short(now):
            self.refusal = "the host's disk is full: the image does not fit"
        return bool(self.refusal)


def _untar(file: Path, target: Path, magic: bytes) -> None:
    options = [option for start, option in _COMPRESSIONS.items() if magic.startswith(start)]
    with _bounded(target, "the image is not a tar archive of a root file system") as space:
        argv = (
            "/usr/bin/tar", "--extract", "--preserve-permissions", "--numeric-owner", "--same-owner",
            "--xattrs", f"--xattrs-include={_CAPABILITY}", "--delay-directory-restore",
            "--exclude=./dev/*", "--exclude=dev/*", *options,
            f"--file={file}", f"--directory={target}",
        )  # fmt: skip
        process.run(
            launched(helper(file, target), argv, variables=["XZ_DEFAULTS"]),
            env={"XZ_DEFAULTS": f"--memlimit-decompress={_XZ_MEMORY_BYTES}"},
            timeout_s=TIMEOUT_S,
            give_up=space.is_exceeded,
        )


def _unsquash(file: Path, target: Path) -> None:
    """Any error is a failure: a file that cannot be read completely is no image."""
    if shutil.which(_SQUASHFS_TOOL) is None:
        raise Permanent("the host cannot unpack squashfs images: squashfs-tools is missing there")
    with _bounded(target, "the image is no squashfs file, or a damaged one") as space:
        argv = (
            "/usr/bin/prlimit", f"--as={_SQUASHFS_MEMORY_BYTES}",
            _SQUASHFS_TOOL, "-strict-errors", "-no-progress", "-quiet",
            "-processors", _SQUASHFS_THREADS, "-da", _SQUASHFS_CACHE_MIB,
            "-fr", _SQUASHFS_CACHE_MIB, "-force", "-dest", str(target), str(file),
        )  # fmt: skip
        process.run(
            launched(helper(file, target, ATTRIBUTES), argv),
            timeout_s=TIMEOUT_S,
            give_up=space.is_exceeded,
        )


@contextlib.contextmanager
def _bounded(target: Path, otherwise: str) -> Iterator[SpaceTaken]:
    """Raises Permanent when the program fails: for the space it took, or with the text `otherwise`."""
    space = SpaceTaken(target, os.statvfs(target))
    try:
        yield space
    except ProcessFailed as cause:
        space.is_exceeded()
        raise Permanent(space.refusal or otherwise) from cause


def _remove_devices(root: Path) -> None:
    """A server could not open them anyway: its mounts forbid it."""
    for directory, _, names in os.walk(root):
        for name in names:
            path = Path(directory, name)
            mode = path.lstat().st_mode
            if stat.S_ISBLK(mode) or stat.S_ISCHR(mode):
                path.unlink()


def _remove_attributes(root: Path) -> None:
    """Remove all but file capabilities: unlike tar, unsquashfs makes all that an image has."""
    for directory, directories, names in os.walk(root):
        for name in (".", *directories, *names):
            path = Path(directory, name)
            for attribute in os.listxattr(path, follow_symlinks=False):
                if attribute != _CAPABILITY:
                    os.removexattr(path, attribute, follow_symlinks=False)
