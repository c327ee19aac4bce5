"""Snapshots: images that the control plane wants made of servers here.

Each is written to a file, sent, and the file removed; one at a time, for it reads a whole disk, each project's in its
turn (turns.py). A
snapshot stays wanted until its content has arrived, so one that a kill interrupts begins anew.
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Mapping
from pathlib import Path

from kumoi.base import log
from kumoi.base.errors import KumoiError, Permanent, Transient
from kumoi.cloud.agent.turns import TurnOrder
from kumoi.cloud.drivers.instance.interface import InstanceDriver
from kumoi.cloud.hostapi.client import Upstream
from kumoi.cloud.hostapi.messages import InstanceSpec

ATTEMPTS_MAX = 3
RETRY_S = 1.0
REMEMBERED_MAX = 1_000


class Snapshots:
    """`directory` holds files that are being made or sent and nothing else."""

    def __init__(
        self, *, drivers: Mapping[str, InstanceDriver], upstream: Upstream, directory: Path
    ) -> None:
        self._drivers = drivers
        self._upstream = upstream
        self._directory = directory
        self._waiting: list[tuple[str, InstanceSpec]] = []
        self._order = TurnOrder()
        self._asked = asyncio.Event()
        self._begun: dict[str, None] = {}
        shutil.rmtree(directory, ignore_errors=True)

    def want(self, server: InstanceSpec) -> None:
        """Make those of a server's wanted snapshots that were not begun yet."""
        for image_id in server.snapshots:
            if image_id not in self._begun:
                self._begun[image_id] = None
                self._waiting.append((image_id, server))
                self._asked.set()
        while len(self._begun) > REMEMBERED_MAX:
            self._begun.pop(next(iter(self._begun)))

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            image_id, server = await self._next()
            for attempt in range(1, ATTEMPTS_MAX + 1):
                try:
                    await self._make(image_id, server)
                except KumoiError as error:
                    log.failure("snapshot.not_made", error, image=image_id, attempt=attempt)
                    if isinstance(error, Permanent) or attempt == ATTEMPTS_MAX:
                        await self._give_up(image_id)
                        break
                    retry_s = error.retry_after_s if isinstance(error, Transient) else RETRY_S
                    await asyncio.sleep(retry_s)
                else:
                    log.event("snapshot.made", image=image_id, server=server.id)
                    break

    async def _next(self) -> tuple[str, InstanceSpec]:
        while not self._waiting:
            self._asked.clear()
            await self._asked.wait()
        chosen = self._order.choose(self._waiting, lambda waiting: waiting[1].owner)
        self._waiting.remove(chosen)
        return chosen

    async def _make(self, image_id: str, server: InstanceSpec) -> None:
        self._directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        path = self._directory / "image"
        try:
            await asyncio.to_thread(self._drivers[server.driver].write_image, server, path)
            await self._upstream.send_image(image_id, path)
        finally:
            path.unlink(missing_ok=True)

    async def _give_up(self, image_id: str) -> None:
        """When even this cannot be sent, the snapshot is still wanted, and begun anew with the next
        spec of its server.
        """
        try:
            await self._upstream.give_up_image(image_id)
        except KumoiError as error:
            log.failure("snapshot.not_given_up", error, image=image_id)
            self._begun.pop(image_id, None)
