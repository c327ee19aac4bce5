"""Whether the host's disk has room left for anything new: servers run on it, and need what is free.

Called by drivers before they make a server's disk or make it larger, and while an image is unpacked.
It is looked at beforehand since a sparse file promises what the host may not have: what is written to
it through a loop device fails as a broken disk would, or not before the server runs.
"""

from __future__ import annotations

import os
from pathlib import Path

from kumoi.base.errors import Permanent

FREE_BYTES_MIN = 256 << 20
FREE_FILES_MIN = 20_000
"""What stays free."""


def is_short(space: os.statvfs_result) -> bool:
    """Whether a file system has less than that."""
    return space.f_bavail * space.f_frsize < FREE_BYTES_MIN or _lacks_files(space)


def check(directory: Path, what: str) -> None:
    """Raises Permanent when the file system of this directory has too little room."""
    if is_short(os.statvfs(directory)):
        raise Permanent(f"{what}: the host's disk is full")


def _lacks_files(space: os.statvfs_result) -> bool:
    """Some file systems have no number of files that they can hold, and say 0."""
    return space.f_files > 0 and space.f_favail < FREE_FILES_MIN
