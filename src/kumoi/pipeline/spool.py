"""Bodies of git's requests and answers, on disk: a push and a clone cost no memory, and who reads slowly
holds no program.

They leave the disk its reserve, and a project holds so many answers at a time: each may be as large as a
repository, for as long as its reader takes.
"""

from __future__ import annotations

import os
import tempfile
import threading
import weakref
from collections import Counter
from pathlib import Path
from typing import IO

from kumoi.base import files
from kumoi.base.errors import StoreFull, Transient

ANSWERS_MAX = 8  # Of a project, to pushes, and as many to others.
AGAIN_S = 2.0
FULL = "the disk of this cloud is full, and nothing was changed: try again when there is room"


class Spool:
    """In one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._held: Counter[tuple[str, bool]] = Counter()
        self._lock = threading.RLock()  # A file may be collected while it is held.

    def body(self) -> IO[bytes]:
        """A file for a request. It is gone when it is closed."""
        return tempfile.TemporaryFile(dir=self._made())

    def answer(self, project_id: str, *, is_push: bool = False) -> IO[bytes]:
        """A file for an answer, likewise. Raises Transient when the project holds too many: of pushes, which are short,
        or of others, so that who clones keeps nobody from pushing.
        """
        holder = (project_id, is_push)
        with self._lock:
            if self._held[holder] >= ANSWERS_MAX:
                what = "pushes" if is_push else "clones"
                raise Transient(
                    f"{ANSWERS_MAX} {what} of this project are being read: try again",
                    retry_after_s=AGAIN_S,
                )
            self._held[holder] += 1
        try:
            file = self.body()
        except BaseException:
            self._release(holder)
            raise
        weakref.finalize(file, self._release, holder).atexit = False
        return file

    def require_room(self, more_bytes: int = 0) -> None:
        """Raises StoreFull where that much more would take the reserve."""
        if not files.leaves_reserve(os.statvfs(self._made()), more_bytes):
            raise StoreFull(FULL)

    def _made(self) -> Path:
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        return self.folder

    def _release(self, holder: tuple[str, bool]) -> None:
        with self._lock:
            self._held[holder] -= 1
            if not self._held[holder]:
                del self._held[holder]
