"""A server's disk: a sparse ext4 file of the flavor's size, so that a full one hurts nobody else.

It holds the overlay's upper and work directories, ids as the server sees them. A new one is a copy
of an empty template of that size (7 ms here, mkfs takes 11 and many more writes). The journal
stays: without it the host's power failure would need a full check of every server's disk.

What has a disk's final name is whole after a power failure: its content is waited for before the
rename, and the rename before anybody is told of the server. That takes 10 to 20 ms of waiting here,
no processor, and the kernel makes one of the waits of many servers; to sync the whole host's file
system instead would wait for all that anybody writes. With the content written some time later, as
the kernel likes it, a host that lost its power within half a minute had a disk of zeros there, and
a server that its owner had been told was ACTIVE could never start again.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator
from pathlib import Path

from kumoi.base import files, process
from kumoi.base.errors import Permanent, Transient
from kumoi.base.files import Promise
from kumoi.base.ids import new_hex_id
from kumoi.cloud.drivers.instance import kernel, loop, sparse
from kumoi.cloud.drivers.instance.lxc.paths import PART

JOURNAL_MIB = 16
RESIZE_TIMEOUT_S = 600.0
MOUNT_OPTIONS = "noinit_itable,discard"
"""A sparse file reads as zeros already: no zeroing of inode tables in the background. What is
deleted inside becomes a hole again."""

_BLOCK_BYTES = 4_096
_BLOCK_COUNT_AT = 1_024 + 4  # In the superblock.
_E2FSCK_GOOD = (0, 1)  # Clean; and mended.


def ensure_template(templates: Path, disk_gib: int) -> Path:
    """An empty file system of this size."""
    path = templates / f"{disk_gib}.ext4"
    if not path.exists():
        templates.mkdir(parents=True, exist_ok=True, mode=0o700)
        part = templates / f"{disk_gib}.{new_hex_id()}{PART}"
        with part.open("wb") as file:
            file.truncate(disk_gib << 30)
        options = "lazy_itable_init=1,lazy_journal_init=1,nodiscard"
        journal = f"size={JOURNAL_MIB}"
        process.run(["mkfs.ext4", "-q", "-F", "-m0", "-E", options, "-J", journal, part])
        files.publish(part, path, promise=Promise.NEW)
    return path


@contextlib.contextmanager
def draft(part: Path) -> Iterator[None]:
    """A file that is made inside and gets its final name there, or takes no room afterwards."""
    try:
        yield
    finally:
        part.unlink(missing_ok=True)


def keep(part: Path, final: Path) -> None:
    """Give a file whose content is on the disk its final name, and wait until it has it."""
    part.replace(final)
    files.sync(final.parent)


def mount(file: Path, target: Path) -> None:
    """Mount a disk for the calling thread. Raises Permanent when it is damaged."""
    with loop.attached(file) as device:
        try:
            kernel.mount(device, target, kind="ext4", flags=kernel.MS_NODEV, data=MOUNT_OPTIONS)
        except OSError as cause:
            if cause.errno in (errno.EUCLEAN, errno.EINVAL, errno.EIO):
                raise Permanent("the server's disk is damaged") from cause
            raise Transient("mount a server's disk") from cause


def is_smaller(file: Path, disk_gib: int) -> bool:
    """Whether a disk that nobody uses is smaller than this."""
    with file.open("rb") as opened:
        count = int.from_bytes(os.pread(opened.fileno(), 4, _BLOCK_COUNT_AT), "little")
    return count * _BLOCK_BYTES < disk_gib << 30


def enlarge(file: Path, disk_gib: int) -> None:
    """Give a disk that nobody uses this size: a copy, so that a kill leaves it as it was. Growing
    it mounted would take a right that root in a container lacks.
    """
    part = file.with_name(file.name + PART)
    with draft(part):
        sparse.copy(file, part)
        os.truncate(part, disk_gib << 30)
        checked = process.run(["e2fsck", "-f", "-p", part], timeout_s=RESIZE_TIMEOUT_S, check=False)
        if checked.status not in _E2FSCK_GOOD:
            raise Permanent("the server's disk is damaged")
        process.run(["resize2fs", part], timeout_s=RESIZE_TIMEOUT_S)
        files.publish(part, file, promise=Promise.NEW)
