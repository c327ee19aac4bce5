"""Copies of sparse files, holes as holes: a disk of 10 GiB that holds 10 MiB takes 10 MiB."""

from __future__ import annotations

import ctypes
import errno
import os
from collections.abc import Iterator
from pathlib import Path

from kumoi.base import files
from kumoi.base.errors import Permanent, Transient

_COPY_BYTES = 1 << 20
_KEEP_SIZE, _PUNCH_HOLE = 1, 2
_LIBC = ctypes.CDLL(None, use_errno=True)


def copy(source: Path, target: Path) -> None:
    """Copy a file, holes as holes. Raises Permanent when the disk is full."""
    try:
        with source.open("rb") as from_, target.open("wb") as to:
            size = os.fstat(from_.fileno()).st_size
            os.ftruncate(to.fileno(), size)
            for start, end in data_ranges(from_.fileno(), size):
                _copy_range(from_.fileno(), to.fileno(), start, end)
    except OSError as cause:
        target.unlink(missing_ok=True)
        if files.is_disk_full(cause):
            raise Permanent("the host's disk is full: no room for a server's disk") from cause
        raise Transient("copy an empty disk") from cause


def punch(file: int, offset: int, length: int) -> None:
    """Make a part of a file a hole."""
    modes = _KEEP_SIZE | _PUNCH_HOLE
    place = (ctypes.c_int64(offset), ctypes.c_int64(length))
    if _LIBC.fallocate(file, modes, *place) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def data_ranges(file: int, size: int) -> Iterator[tuple[int, int]]:
    """Start and end of each part of a sparse file that has data."""
    end = 0
    while end < size:
        try:
            start = os.lseek(file, end, os.SEEK_DATA)
        except OSError as cause:
            if cause.errno == errno.ENXIO:  # Nothing but holes from here on.
                return
            raise
        end = os.lseek(file, start, os.SEEK_HOLE)
        yield start, end


def _copy_range(source: int, target: int, start: int, end: int) -> None:
    while start < end:
        count = min(_COPY_BYTES, end - start)
        copied = os.copy_file_range(source, target, count, start, start)
        if copied == 0:
            raise OSError(errno.EIO, "a template became shorter")
        start += copied
