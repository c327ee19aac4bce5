"""A server's disk: a sparse ext4 file of the flavor's size, so that a full one hurts nobody else.

It has the overlay's upper and work directories, with ids as the server sees them. A new disk is a copy
of an empty template of that size (7 ms here; mkfs takes 11 and many more writes). It has a journal:
without one, a power failure of the host would need a full check of every server's disk.

A file with a disk's final name is complete even after a power failure: its content is synced before
the rename, and the rename before the server is reported. That takes 10 to 20 ms of waiting here and no
processor time, and the kernel joins the syncs of many servers; to sync the host's whole file system
instead would wait for everything that anybody writes. Without the sync, a host that lost its power
within half a minute had a disk of zeros, and a server reported ACTIVE could never start again.
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
from kumoi.cloud.drivers.instance import kernel, loop, room
from kumoi.cloud.drivers.instance.lxc.paths import PART

JOURNAL_MIB = 16
MOUNT_OPTIONS = "noinit_itable,discard"
"""A sparse file reads as zeros already: inode tables need no zeroing in the background. Blocks that a
server frees become holes again."""

BLOCK_BYTES = 4_096
_BLOCK_COUNT_AT = 1_024 + 4  # In the superblock.


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
    """Removes the file at the end, unless it was given its final name within the context."""
    try:
        yield
    finally:
        part.unlink(missing_ok=True)


def keep(part: Path, final: Path) -> None:
    """Give a synced file its final name, and sync the rename."""
    part.replace(final)
    files.sync(final.parent)


def mount(file: Path, target: Path) -> None:
    """Mount a disk for the calling thread. Raises Permanent when it is damaged, and when the host has
    no room for what mounting writes: a disk whose file cannot grow fails as a broken one does.
    """
    with loop.attached(file) as device:
        try:
            kernel.mount(device, target, kind="ext4", flags=kernel.MS_NODEV, data=MOUNT_OPTIONS)
        except OSError as cause:
            if cause.errno == errno.EIO and room.is_short(os.statvfs(file)):
                raise Permanent("mount a server's disk: the host's disk is full") from cause
            if cause.errno in (errno.EUCLEAN, errno.EINVAL, errno.EIO):
                raise Permanent("the server's disk is damaged") from cause
            raise Transient("mount a server's disk") from cause


def is_smaller(file: Path, disk_gib: int) -> bool:
    """Whether a disk that nobody uses is smaller than this."""
    with file.open("rb") as opened:
        count = int.from_bytes(os.pread(opened.fileno(), 4, _BLOCK_COUNT_AT), "little")
    return count * BLOCK_BYTES < disk_gib << 30
