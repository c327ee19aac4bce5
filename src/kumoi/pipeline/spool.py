"""Bodies of git's requests and answers, on disk: a push and a clone cost no memory, and who reads slowly
holds no program.

They leave the disk its reserve, and a project holds so many answers at a time: each may be as large as a
repository, for as long as its reader takes. What it sends is bounded in bytes, in all that it sends at once.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from kumoi.base import files
from kumoi.base.errors import StoreFull, Transient
from kumoi.base.held import Held

ANSWERS_MAX = 8  # Of a project, to pushes, and as many to others.
SENT_MAX_BYTES = 1 << 30  # By a project at once: two pushes as large as they may be.
AGAIN_S = 2.0
FULL = "the disk of this cloud is full, and nothing was changed: try again when there is room"


class SentBody:
    """What is sent of one request. `file` has what came of it."""

    def __init__(self, spool: Spool, project_id: str, file: IO[bytes]) -> None:
        self.file = file
        self._spool, self._project_id = spool, project_id
        self._size = 0

    def write(self, part: bytes) -> None:
        """Raises StoreFull, and Transient where the project sends too much at once."""
        self._spool.require_room(len(part))
        self._spool.take_sent(self._project_id, len(part))
        self._size += len(part)
        self.file.write(part)

    def end(self) -> None:
        self._spool.sent_ended(self._project_id, self._size)
        self.file.close()


class Spool:
    """In one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._sent = Held()  # Bytes, by project.
        self._answers = Held()

    def body(self) -> IO[bytes]:
        """A file for a request. It is gone when it is closed."""
        return tempfile.TemporaryFile(dir=self._made())

    @contextlib.contextmanager
    def sent(self, project_id: str) -> Iterator[SentBody]:
        """For a request's body, as it comes. Nothing is left of it afterwards."""
        body = SentBody(self, project_id, self.body())
        try:
            yield body
        finally:
            body.end()

    def take_sent(self, project_id: str, more_bytes: int) -> None:
        """Raises Transient."""
        if not self._sent.take(project_id, more_bytes, most=SENT_MAX_BYTES):
            raise Transient(
                f"pushes of this project send more than {SENT_MAX_BYTES >> 20} MiB at once: try again",
                retry_after_s=AGAIN_S,
            )

    def sent_ended(self, project_id: str, size: int) -> None:
        self._sent.give_back(project_id, size)

    def answer(self, project_id: str, *, is_push: bool = False) -> IO[bytes]:
        """A file for an answer, likewise. Raises Transient when the project holds too many: of pushes, which are short,
        or of others, so that who clones keeps nobody from pushing.
        """
        holder = (project_id, is_push)
        if not self._answers.take(holder, 1, most=ANSWERS_MAX):
            what = "pushes" if is_push else "clones"
            raise Transient(
                f"{ANSWERS_MAX} {what} of this project are being read: try again",
                retry_after_s=AGAIN_S,
            )
        try:
            file = self.body()
        except BaseException:
            self._answers.give_back(holder, 1)
            raise
        weakref.finalize(file, self._answers.give_back, holder, 1).atexit = False
        return file

    def require_room(self, more_bytes: int = 0) -> None:
        """Raises StoreFull where that much more would take the reserve."""
        if not files.leaves_reserve(os.statvfs(self._made()), more_bytes):
            raise StoreFull(FULL)

    def _made(self) -> Path:
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        return self.folder
