"""Removes a tree of many files, several at a time.

A file system that discards freed blocks waits for the disk at each file: 12,000 files took 10 to 15
s one by one, and 1.8 s with several at a time. `down` and image builds call this.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from kumoi.base.errors import Transient

THREADS = 16
FILES_PER_TURN = 64


def remove(top: Path) -> None:
    """Remove a directory with all its content, or a file, if it exists. Links are not followed.

    Raises Transient when a part of it cannot be removed.
    """
    if not top.is_dir() or top.is_symlink():
        top.unlink(missing_ok=True)
        return
    directories: list[str] = []
    try:
        with ThreadPoolExecutor(THREADS) as threads:
            for _ in threads.map(_unlink, _turns(top, directories)):
                pass
        for directory in reversed(directories):
            os.rmdir(directory)  # noqa: PTH106 - tens of thousands of them
    except OSError as cause:
        raise Transient(f"remove {top}") from cause


def _turns(top: Path, directories: list[str]) -> Iterator[list[str]]:
    """Files in portions. `directories` gets every directory, outer ones first."""
    portion: list[str] = []
    for directory, inner, files in os.walk(top, onerror=_refuse):
        directories.append(directory)
        links = [name for name in inner if os.path.islink(f"{directory}/{name}")]  # noqa: PTH114
        inner[:] = [name for name in inner if name not in links]
        portion += [f"{directory}/{name}" for name in (*files, *links)]
        while len(portion) >= FILES_PER_TURN:
            yield portion[:FILES_PER_TURN]
            portion = portion[FILES_PER_TURN:]
    yield portion


def _refuse(error: OSError) -> None:
    raise error


def _unlink(paths: list[str]) -> None:
    for path in paths:
        os.unlink(path)  # noqa: PTH108 - tens of thousands of them
