"""Image files: one per content, named by its sha256, in one directory.

An upload is written to a draft in the same directory and renamed when it is complete. Whoever writes
a row that names a content, or removes a content's file, holds `lock` meanwhile, so that no file is
removed that a row is about to name. A draft is locked while it is written: an unlocked one is left
over from a process that died.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import os
import tempfile
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Self

from kumoi.base.errors import NotFound, TooLarge, Transient
from kumoi.base.files import is_disk_full, leaves_reserve, sync
from kumoi.base.held import Held

DRAFT = ".draft-"
LOCK = ".lock"
CONTENT_MODE = (
    0o640  # Whoever else has the directory's group looks whether a draft is being written,
)
LOCK_MODE = 0o660  # and takes the lock.


@dataclass(frozen=True, slots=True)
class Content:
    """A complete upload."""

    size: int
    sha256: str
    sha512: str
    md5: str


@dataclass(frozen=True, slots=True)
class DraftRoom:
    """For whom a draft is, how many bytes that project's images have, and how many they may have."""

    project_id: str
    has_bytes: int
    most_bytes: int


class Draft:
    """An upload that is being written. A context manager: a draft that `keep` did not put in its
    place is removed at the end.
    """

    def __init__(
        self, directory: Path, most_bytes: int, drafted: Held, room: DraftRoom | None
    ) -> None:
        self._directory = directory
        self._most_bytes = most_bytes
        self._drafted, self._room, self._taken = drafted, room, 0
        handle, name = tempfile.mkstemp(prefix=DRAFT, dir=directory)
        os.fchmod(handle, CONTENT_MODE)
        self._file, self._path = os.fdopen(handle, "wb", buffering=0), Path(name)
        fcntl.flock(handle, fcntl.LOCK_EX)
        self._hashes = (hashlib.sha256(), hashlib.sha512(), hashlib.md5(usedforsecurity=False))
        self.size = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._path.unlink(missing_ok=True)
        self._file.close()
        if self._room is not None:
            self._drafted.give_back(self._room.project_id, self._taken)
            self._taken = 0

    def write(self, block: bytes) -> None:
        """Raises TooLarge when it is more than allowed, by itself or with others of its project, or the disk
        is full.
        """
        self.size += len(block)
        if self.size > self._most_bytes:
            raise TooLarge(f"The image is too large: at most {self._most_bytes} bytes are allowed")
        if self._room is not None:
            self._take(self._room, len(block))
        if not leaves_reserve(os.fstatvfs(self._file.fileno()), len(block)):
            raise TooLarge("Image storage media is full: there is not enough disk space.")
        for digest in self._hashes:
            digest.update(block)
        try:
            rest = memoryview(block)
            while rest:
                rest = rest[self._file.write(rest) or 0 :]
        except OSError as cause:
            raise _failed(cause) from cause

    def _take(self, room: DraftRoom, more: int) -> None:
        most = room.most_bytes - room.has_bytes
        if not self._drafted.take(room.project_id, more, most=most):
            has = room.has_bytes + self._drafted.of(room.project_id)
            raise TooLarge(
                f"The project's images may have {room.most_bytes} bytes together, and have {has} "
                "already, with what is being uploaded."
            )
        self._taken += more

    def finish(self) -> Content:
        """Wait until everything is on the disk. Raises TooLarge when the disk is full."""
        try:
            os.fsync(self._file.fileno())
        except OSError as cause:
            raise _failed(cause) from cause
        sha256, sha512, md5 = (digest.hexdigest() for digest in self._hashes)
        return Content(self.size, sha256, sha512, md5)

    def opened(self) -> IO[bytes]:
        """To read what was written."""
        return self._path.open("rb", buffering=0)

    def keep(self, sha256: str) -> None:
        """Put it in its place, even if the same content is there already. While holding `lock`."""
        self._path.rename(self._directory / sha256)
        sync(self._directory)


class ImageFiles:
    """The contents of a cloud's images. The API role owns them: it writes and serves them; the worker
    removes those that no row names. Nobody else knows where they are: in one directory of this host. `bring` has one
    brought there that another host has; it raises NotFound, and Transient.
    """

    def __init__(self, directory: Path, *, bring: Callable[[str], None] | None = None) -> None:
        self._directory = directory
        self._bring = bring
        self._drafted = Held()  # By project: until an upload is whole no row says what it takes.

    def draft(self, most_bytes: int, room: DraftRoom | None = None) -> Draft:
        """Begin an upload. Raises TooLarge when the disk is full."""
        try:
            with self.lock():  # Until the draft itself is locked it looks like a left-over.
                return Draft(self._directory, most_bytes, self._drafted, room)
        except OSError as cause:
            raise _failed(cause) from cause

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """Held by one thread of one process at a time."""
        self._directory.mkdir(parents=True, exist_ok=True)
        path = self._directory / LOCK
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, LOCK_MODE)
        try:
            if os.geteuid() == 0:  # A command may have created it: give it to the group.
                os.fchown(handle, -1, self._directory.stat().st_gid)
                os.fchmod(handle, LOCK_MODE)
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield
        finally:
            os.close(handle)

    def open(self, sha256: str) -> IO[bytes]:
        """A content, unbuffered. It stays readable if its file is removed meanwhile. Raises
        FileNotFoundError, and Transient where another host has it and does not give it.
        """
        path = self._directory / sha256
        try:
            return path.open("rb", buffering=0)
        except FileNotFoundError:
            if self._bring is None:
                raise
        try:
            self._bring(sha256)
        except NotFound as cause:
            raise FileNotFoundError(str(path)) from cause
        return path.open("rb", buffering=0)

    def contents(self) -> list[str]:
        """The names of all that are whole."""
        self._directory.mkdir(parents=True, exist_ok=True)
        return [path.name for path in self._directory.iterdir() if not path.name.startswith(".")]

    def link_all(self, target: Path) -> None:
        """Hard-link each content into a directory of the same file system. While holding `lock`."""
        for name in self.contents():
            os.link(self._directory / name, target / name)

    def delete(self, sha256: str) -> None:
        """While holding `lock`. Whoever has it open can read on."""
        (self._directory / sha256).unlink(missing_ok=True)

    def delete_orphans(self, named: Collection[str]) -> list[str]:
        """Remove contents that are not in `named` and drafts that nobody writes; gives the names of
        the removed files. While holding `lock`.
        """
        removed: list[str] = []
        for path in sorted(self._directory.iterdir()):
            if path.name == LOCK or path.name in named:
                continue
            if path.name.startswith(DRAFT) and _is_being_written(path):
                continue
            path.unlink(missing_ok=True)
            removed.append(path.name)
        return removed


def _is_being_written(path: Path) -> bool:
    try:
        handle = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return True  # It was put in its place or removed just now.
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(handle)
    return False


def _failed(cause: OSError) -> TooLarge | Transient:
    if is_disk_full(cause) or cause.errno == errno.EFBIG:
        return TooLarge("Image storage media is full: there is not enough disk space.")
    return Transient("write an image file")
