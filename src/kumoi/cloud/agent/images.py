"""Images on this host: each is fetched and made ready once, however many servers need it.

Servers wait for the image they need, each project's for its turn (turns.py). Images that the control plane names as worth having are
prefetched, one at a time. One that no server has used for a while is removed, sooner when the disk is
getting full.
"""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path

from kumoi.base import log
from kumoi.base.clock import Clock
from kumoi.base.errors import KumoiError, Permanent
from kumoi.cloud.agent.turns import Turns
from kumoi.cloud.drivers.instance.interface import InstanceDriver
from kumoi.cloud.hostapi.client import Upstream
from kumoi.cloud.hostapi.messages import ImageContent

FETCHES_MAX = 2
PREFETCHING = "prefetching"  # Has turns as a project has.
UNUSED_KEPT_S = 3_600.0
UNUSED_KEPT_FULL_S = 30.0  # When the disk is getting full.
FREE_FRACTION_MIN = 0.1
_SHA256_DIGITS = frozenset("0123456789abcdef")
_SHA256_LENGTH = 64


class Images:
    """Each is made ready by the driver that needs it. `directory` holds files that are being fetched
    and nothing else.
    """

    def __init__(
        self,
        *,
        drivers: Mapping[str, InstanceDriver],
        upstream: Upstream,
        directory: Path,
        clock: Clock,
    ) -> None:
        self._drivers = drivers
        self._upstream = upstream
        self._directory = directory
        self._clock = clock
        self._used_at_s: dict[str, float] = {}
        self._prefetched: frozenset[str] = frozenset()
        self._locks: dict[str, asyncio.Lock] = {}
        self._turns = Turns(FETCHES_MAX)
        self._ids: dict[str, set[str]] = {}
        self._ready = {name: driver.ready_images() for name, driver in drivers.items()}
        self._prefetch: asyncio.Queue[Sequence[ImageContent]] = asyncio.Queue(maxsize=1)
        self.changed = asyncio.Event()
        shutil.rmtree(directory, ignore_errors=True)

    def ready_ids(self) -> frozenset[str]:
        """Ids of the images that are ready for some driver. A content may have several ids; those are
        reported that the control plane has named to this host.
        """
        ready = frozenset[str]().union(*self._ready.values())
        return frozenset(
            image_id for sha256, ids in self._ids.items() if sha256 in ready for image_id in ids
        )

    def learn_id(self, image: ImageContent) -> None:
        """Its id is reported as ready once its content is."""
        ids = self._ids.setdefault(image.sha256, set())
        if image.id not in ids:
            ids.add(image.id)
            if any(image.sha256 in ready for ready in self._ready.values()):
                self.changed.set()

    def is_ready(self, image: ImageContent, driver: str) -> bool:
        """Whether `ensure` has nothing to wait for."""
        return image.sha256 in self._ready[driver]

    async def ensure(self, image: ImageContent, driver: str, *, owner: str) -> None:
        """Have it ready for that driver, in a turn of the project `owner`; of an image's own where a control
        plane of an earlier release names none. Raises Transient or Permanent.
        """
        if len(image.sha256) != _SHA256_LENGTH or not _SHA256_DIGITS.issuperset(image.sha256):
            raise Permanent(f"image {image.id} has no proper content hash")
        self._used_at_s[image.sha256] = self._clock.monotonic()
        if self.is_ready(image, driver):
            return
        async with (
            self._turns.turn((image.sha256, driver), owner or image.sha256),
            self._locks.setdefault(image.sha256, asyncio.Lock()),
        ):
            if not self.is_ready(image, driver):
                await self._fetch(image, driver)

    def prefetch(self, images: Sequence[ImageContent]) -> None:
        """Have these ready some time, instead of those named here before."""
        for image in images:
            self.learn_id(image)
        if self._prefetch.full():
            self._prefetch.get_nowait()
        self._prefetch.put_nowait(images)

    async def run(self) -> None:
        """Prefetch, one after the other, until cancelled. A failure is only logged: a server that
        needs the image will meet it again and report it.
        """
        while True:
            images = await self._prefetch.get()
            self._prefetched = frozenset(image.sha256 for image in images)
            for image in images:
                for name, driver in self._drivers.items():
                    if image.disk_format not in driver.offer.formats:
                        continue
                    try:
                        await self.ensure(image, name, owner=PREFETCHING)
                    except KumoiError as error:
                        log.failure("image.not_prefetched", error, image=image.id, driver=name)

    async def tidy(self, wanted: Callable[[], Collection[str]]) -> None:
        """Remove images that nobody uses any more. `wanted` gives the hashes of the images that
        servers here are to be made from; a driver does not delete one that a disk still needs.
        """
        space = os.statvfs(self._directory.parent)
        has_room = space.f_bavail >= space.f_blocks * FREE_FRACTION_MIN
        kept_s = UNUSED_KEPT_S if has_room else UNUSED_KEPT_FULL_S
        for name, driver in self._drivers.items():
            for sha256 in sorted(self._ready[name]):
                async with self._locks.setdefault(sha256, asyncio.Lock()):
                    if not self._is_unused(sha256, wanted(), kept_s):
                        continue
                    self._ready[name] -= {sha256}  # Whoever wants it now waits and fetches it anew.
                    if await asyncio.to_thread(driver.delete_image, sha256):
                        log.event("image.removed", sha256=sha256, driver=name)
                        self.changed.set()
                    else:
                        self._ready[name] |= {sha256}

    def _is_unused(self, sha256: str, wanted: Collection[str], kept_s: float) -> bool:
        """An image that is seen for the first time counts as just used."""
        now_s = self._clock.monotonic()
        used_at_s = self._used_at_s.setdefault(sha256, now_s)
        needed = self._prefetched.union(wanted)
        return now_s - used_at_s >= kept_s and sha256 not in needed

    async def _fetch(self, image: ImageContent, driver: str) -> None:
        self._directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        path = self._directory / image.sha256
        try:
            await self._upstream.fetch_image(image, path)
            await asyncio.to_thread(self._drivers[driver].ensure_image, image, path)
        finally:
            path.unlink(missing_ok=True)
        self._ready[driver] = await asyncio.to_thread(self._drivers[driver].ready_images)
        self.changed.set()
        log.event("image.made_ready", image=image.id, sha256=image.sha256)
