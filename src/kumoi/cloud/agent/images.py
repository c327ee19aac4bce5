"""Images on this host: fetched and made ready once, whoever asks and however often.

Servers that need one wait for it; those worth having ready come one at a time when nothing else is
being fetched. One that nobody has used for a while is removed, sooner when the disk is getting full.
"""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Callable, Collection, Sequence
from pathlib import Path

from kumoi.base import log
from kumoi.base.clock import Clock
from kumoi.base.errors import KumoiError, Permanent
from kumoi.cloud.agent.upstream import Upstream
from kumoi.cloud.drivers.instance.interface import InstanceDriver
from kumoi.cloud.hostapi.messages import Image

FETCHES_MAX = 2
UNUSED_KEPT_S = 3_600.0
UNUSED_KEPT_FULL_S = 30.0  # When the disk is getting full.
FREE_FRACTION_MIN = 0.1
_SHA256_DIGITS = frozenset("0123456789abcdef")
_SHA256_LENGTH = 64


class Images:
    """`directory` holds files on their way and nothing else."""

    def __init__(
        self, *, driver: InstanceDriver, upstream: Upstream, directory: Path, clock: Clock
    ) -> None:
        self._driver = driver
        self._upstream = upstream
        self._directory = directory
        self._clock = clock
        self._used_at_s: dict[str, float] = {}
        self._worth: frozenset[str] = frozenset()
        self._locks: dict[str, asyncio.Lock] = {}
        self._slots = asyncio.Semaphore(FETCHES_MAX)
        self._ids: dict[str, set[str]] = {}
        self._ready = driver.ready_images()
        self.changed = asyncio.Event()
        shutil.rmtree(directory, ignore_errors=True)

    def ready_ids(self) -> frozenset[str]:
        """Ids of the images heard of that are ready."""
        return frozenset(
            image_id
            for sha256, ids in self._ids.items()
            if sha256 in self._ready
            for image_id in ids
        )

    def heard_of(self, image: Image) -> None:
        ids = self._ids.setdefault(image.sha256, set())
        if image.id not in ids:
            ids.add(image.id)
            if image.sha256 in self._ready:
                self.changed.set()

    async def ensure(self, image: Image) -> None:
        """Have it ready. Raises Transient or Permanent when it cannot be had."""
        if len(image.sha256) != _SHA256_LENGTH or not _SHA256_DIGITS.issuperset(image.sha256):
            raise Permanent(f"image {image.id} has no proper content hash")
        self._used_at_s[image.sha256] = self._clock.monotonic()
        if image.sha256 in self._ready:
            return
        async with self._locks.setdefault(image.sha256, asyncio.Lock()):
            if image.sha256 not in self._ready:
                async with self._slots:
                    await self._fetch(image)

    async def prefetch(self, images: Sequence[Image]) -> None:
        """Have these ready some time, one after the other. One that cannot be had is only logged:
        a server that needs it will say so.
        """
        self._worth = frozenset(image.sha256 for image in images)
        for image in images:
            try:
                await self.ensure(image)
            except KumoiError as error:
                log.failure("image.not_prefetched", error, image=image.id)

    async def tidy(self, wanted: Callable[[], Collection[str]]) -> None:
        """Remove what nobody uses any more. `wanted` gives the contents that servers here are wanted
        to be made from; those that disks lie on, the driver knows.
        """
        kept_s = UNUSED_KEPT_S if _has_room(self._directory.parent) else UNUSED_KEPT_FULL_S
        for sha256 in sorted(self._ready):
            async with self._locks.setdefault(sha256, asyncio.Lock()):
                if not self._is_unused(sha256, wanted(), kept_s):
                    continue
                self._ready -= {sha256}  # Whoever wants it now waits for us and fetches it anew.
                if await asyncio.to_thread(self._driver.delete_image, sha256):
                    del self._used_at_s[sha256]
                    log.event("image.removed", sha256=sha256)
                    self.changed.set()
                else:
                    self._ready |= {sha256}

    def _is_unused(self, sha256: str, wanted: Collection[str], kept_s: float) -> bool:
        """What is seen for the first time counts as just used."""
        now_s = self._clock.monotonic()
        used_at_s = self._used_at_s.setdefault(sha256, now_s)
        return now_s - used_at_s >= kept_s and sha256 not in self._worth and sha256 not in wanted

    async def _fetch(self, image: Image) -> None:
        self._directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        path = self._directory / image.sha256
        try:
            await self._upstream.fetch_image(image, path)
            await asyncio.to_thread(self._driver.ensure_image, image, path)
        finally:
            path.unlink(missing_ok=True)
        self._ready = await asyncio.to_thread(self._driver.ready_images)
        self.changed.set()
        log.event("image.made_ready", image=image.id, sha256=image.sha256)


def _has_room(directory: Path) -> bool:
    space = os.statvfs(directory)
    return space.f_bavail >= space.f_blocks * FREE_FRACTION_MIN
