"""Replaces files as a whole: a reader finds all of the old content or all of the new.

The content is written to a draft beside the file, which is then renamed. How much of this must
survive a power failure is the caller's choice of a `Promise`, since waiting for the disk costs
time. A draft has one writer at a time; the next writer removes one that a killed process left.
"""

from __future__ import annotations

import contextlib
import enum
import errno
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

DRAFT_SUFFIX = ".part"
RESERVE_FRACTION = 20  # One twentieth of a file system,
RESERVE_BYTES_MAX = 1 << 30  # but no more than this.
PRIVATE = 0o600
OPEN = 0o644


class Promise(enum.Enum):
    """What a file survives, once the call that replaces it has returned."""

    KILL = enum.auto()
    """The end of our process at any moment. After a power failure the file may be the old one, the
    new one or empty: for files that can be made again."""

    OLD_OR_NEW = enum.auto()
    """A power failure, too: the file is the old one or the new one, never a part. The call waits
    until the content is on the disk, but not the rename."""

    NEW = enum.auto()
    """A power failure, too: the file is the new one. The call waits for content and rename."""


def draft_of(path: Path) -> Path:
    """The draft's path: in the same directory, so that a rename is enough."""
    return path.with_name(f".{path.name}{DRAFT_SUFFIX}")


def replace(
    path: Path,
    content: str | bytes,
    *,
    promise: Promise,
    mode: int = PRIVATE,
    owner: tuple[int, int] | None = None,
) -> None:
    """Give a file this content, mode and (user, group). An error leaves the old file. A link at the
    draft's path is not followed.
    """
    draft = draft_of(path)
    draft.unlink(missing_ok=True)
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, PRIVATE)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content.encode() if isinstance(content, str) else content)
            if owner is not None:
                os.fchown(descriptor, *owner)
            os.fchmod(descriptor, mode)
        publish(draft, path, promise=promise)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise


def publish(draft: Path, path: Path, *, promise: Promise) -> None:
    """Rename a draft that the caller filled (by a program, a download) to its final name."""
    if promise is not Promise.KILL:
        sync(draft)
    draft.replace(path)
    if promise is Promise.NEW:
        sync(path.parent)


@contextlib.contextmanager
def locked(directory: Path) -> Iterator[None]:
    """For one process and thread at a time, among those that lock it. Files that are replaced cannot be locked
    themselves, and no file of the lock is left.
    """
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def is_disk_full(error: OSError) -> bool:
    """Whether a call failed for want of space: the file system's, or that of a quota."""
    return error.errno in (errno.ENOSPC, errno.EDQUOT)


def leaves_reserve(space: os.statvfs_result, more_bytes: int) -> bool:
    """Whether so much more leaves a file system the reserve that no tenant's content takes: that of
    databases and logs.
    """
    return beyond_reserve(space) >= more_bytes


def beyond_reserve(space: os.statvfs_result) -> int:
    """How much more tenants' content may take of a file system. Below 0 where it took some of the reserve."""
    reserve = min(space.f_blocks * space.f_frsize // RESERVE_FRACTION, RESERVE_BYTES_MAX)
    return space.f_bavail * space.f_frsize - reserve


def sync(path: Path) -> None:
    """Wait until a file's content, or a directory's names, would survive a power failure."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def in_memory(text: str) -> Iterator[int]:
    """The descriptor of a file that has no name, with this in it: what reads files alone, reads this."""
    descriptor = os.memfd_create("in-memory", os.MFD_CLOEXEC)
    try:
        with open(descriptor, "w", closefd=False) as file:
            file.write(text)
        yield descriptor
    finally:
        os.close(descriptor)
