"""Images as this driver uses them: unpacked once per content, for all the servers made from it.

The files keep the image's own ids; the directory above is root's alone, so that nobody on the host
reaches an image's programs with special rights. How a file becomes files, see unpack.py.

A power failure must not leave empty files under an image's final name. To wait for the disk takes
as long as the machine has anything to write (28 s after everything had been installed), so an image
is used at once and carries a mark until it is settled: with one of an earlier boot it is no image.
"""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path

from kumoi.base import files, process
from kumoi.base.errors import Permanent, Transient
from kumoi.base.files import Promise
from kumoi.base.ids import new_hex_id
from kumoi.cloud.drivers.instance import kernel, unpack
from kumoi.cloud.drivers.instance.lxc import rootfs
from kumoi.cloud.drivers.instance.lxc.paths import PART, Paths
from kumoi.cloud.hostapi.messages import ImageContent

PACK_TIMEOUT_S = 900.0
UNSETTLED = "unsettled"
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")

_OWN = ("./dev/*", "./etc/ssh/ssh_host_*", "./var/lib/cloud/*", "./proc/*", "./sys/*", "./run/*")
_TAR_CHANGED = 1  # A file changed while it was read: a running server's do.
_INITS = ("sbin/init", "usr/sbin/init", "usr/lib/systemd/systemd")


def ready(paths: Paths) -> frozenset[str]:
    """Content hashes of the images unpacked here."""
    if not paths.images.is_dir():
        return frozenset()
    return frozenset(
        entry.name
        for entry in paths.images.iterdir()
        if entry.is_dir() and "." not in entry.name and not _is_lost(entry)
    )


def ensure(paths: Paths, image: ImageContent, file: Path) -> None:
    """Unpack an image, unless it is there. Raises Permanent when it is none that could run."""
    if paths.rootfs(image.sha256).is_dir():
        return
    paths.images.mkdir(parents=True, exist_ok=True)
    paths.images.chmod(0o700)
    part = paths.images / f"{image.sha256}.{new_hex_id()}{PART}"
    try:
        (part / "rootfs").mkdir(parents=True)
        rootfs.privately(lambda: unpack.unpack(file, part / "rootfs"))
        _check(part / "rootfs")
        _mark_unsettled(part)
        part.rename(paths.images / image.sha256)
    except OSError as cause:
        if cause.errno in (errno.ENOTEMPTY, errno.EEXIST):
            return  # Somebody else was faster.
        raise Transient("unpack an image") from cause
    finally:
        shutil.rmtree(part, ignore_errors=True)


def delete(paths: Paths, sha256: str) -> None:
    """Remove an unpacked image. Nobody ever finds half of it."""
    part = paths.images / f"{sha256}.{new_hex_id()}{PART}"
    try:
        (paths.images / sha256).rename(part)
    except FileNotFoundError:
        return
    shutil.rmtree(part, ignore_errors=True)


def write(mounts: rootfs.Mounts, base: Path, disk_file: Path, target: Path) -> None:
    """Write a server's files as an image, while it runs or not. What is its own stays out: its
    host keys and its seed; its names are written anew for each server anyway.
    """

    def inside() -> None:
        rootfs.open_disk(mounts, disk_file)
        rootfs.show_stored(mounts, base)
        done = process.run(
            [
                *unpack.ENDS_WITH_US, "tar", "--create", "--use-compress-program=zstd -1", "--numeric-owner",
                "--xattrs", "--xattrs-include=security.capability", "--one-file-system",
                "--sparse", *(f"--exclude={path}" for path in _OWN),
                f"--file={target}", f"--directory={mounts.root}", ".",
            ],
            timeout_s=PACK_TIMEOUT_S,
            check=False,
        )  # fmt: skip
        if done.status not in (0, _TAR_CHANGED):
            raise Transient("write a server's files as an image")

    rootfs.privately(inside)


def settle(paths: Paths) -> None:
    """Wait until unpacked images are on the disk. Servers need not: it takes as long as all that
    anybody has written lately.
    """
    marks = [mark for mark in paths.images.glob(f"*/{UNSETTLED}") if not _is_lost(mark.parent)]
    if marks:
        descriptor = os.open(paths.images, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            kernel.sync_file_system(descriptor)
        finally:
            os.close(descriptor)
    for mark in marks:
        mark.unlink(missing_ok=True)


def sweep(paths: Paths) -> None:
    """Remove what an interrupted unpacking left, and what a power failure may have spoilt. Only
    while nobody unpacks.
    """
    lost = [mark.parent for mark in paths.images.glob(f"*/{UNSETTLED}") if _is_lost(mark.parent)]
    for directory in (*paths.images.glob(f"*{PART}"), *lost):
        if directory.is_dir():
            shutil.rmtree(directory, ignore_errors=True)


def _check(root: Path) -> None:
    descriptor = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        if not any(_exists(descriptor, path) for path in _INITS):
            raise Permanent("the image has no /sbin/init to start")
        rootfs.find_login(descriptor)
    finally:
        os.close(descriptor)


def _mark_unsettled(directory: Path) -> None:
    """The name of this boot of the machine: after another one, files may be empty."""
    files.replace(directory / UNSETTLED, BOOT_ID.read_text(), promise=Promise.OLD_OR_NEW)


def _is_lost(directory: Path) -> bool:
    mark = directory / UNSETTLED
    try:
        return mark.read_text() != BOOT_ID.read_text()
    except FileNotFoundError:
        return False


def _exists(root: int, path: str) -> bool:
    try:
        os.close(kernel.open_inside(root, path, flags=os.O_PATH))
    except OSError:
        return False
    return True
