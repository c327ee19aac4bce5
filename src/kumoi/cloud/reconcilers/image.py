"""Image files that no image's row names are removed: a reconciler.

An upload that ends in order leaves none, whatever its outcome (domain/image/content.py); one whose
process was killed does.
"""

from __future__ import annotations

from kumoi.base import log
from kumoi.base.clock import Clock
from kumoi.cloud.domain.image import content
from kumoi.cloud.drivers.image.files import ImageFiles
from kumoi.engine.db import Database

SWEEP_S = 15.0  # Every write to the store wakes the loop; a directory need not be read as often.


class ImageReconciler:
    """Run by the worker, which shares the directory with the API."""

    def __init__(self, database: Database, files: ImageFiles, clock: Clock) -> None:
        self._database = database
        self._files = files
        self._clock = clock
        self._swept_at_s: float | None = None

    def round(self) -> None:
        """A file that is being written is locked, and stays."""
        now_s = self._clock.monotonic()
        if self._swept_at_s is not None and now_s - self._swept_at_s < SWEEP_S:
            return
        removed = content.sweep(self._database, self._files)
        self._swept_at_s = now_s
        if removed:
            log.event("image.files_swept", files=removed)
