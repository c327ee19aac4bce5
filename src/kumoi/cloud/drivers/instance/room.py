"""Whether the host's disk has room for anything new: the servers that run on it need some.

Called by drivers before they make or enlarge a server's disk, and while an image is unpacked. They
check beforehand because a sparse file may be larger than the space that is free: a write to it through
a loop device then fails as on a broken disk, perhaps only once the server runs.
"""

from __future__ import annotations

import os
from pathlib import Path

from kumoi.base.errors import Permanent

FREE_BYTES_MIN = 256 << 20
FREE_FILES_MIN = 20_000
"""Bytes and files that must stay free."""


def is_short(space: os.statvfs_result) -> bool:
    """Whether a file system has less than that free."""
    counts_files = space.f_files > 0  # Some have no limit of files, and say 0.
    return space.f_bavail * space.f_frsize < FREE_BYTES_MIN or (
        counts_files and space.f_favail < FREE_FILES_MIN
    )


def check(directory: Path, what: str) -> None:
    """Raises Permanent when the file system of this directory has too little room."""
    if is_short(os.statvfs(directory)):
        raise Permanent(f"{what}: the host's disk is full")
