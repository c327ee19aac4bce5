"""Keeps the host's disk its reserve: servers' disks share what is left beyond it, look by look.

The reserve is that of base/files.py, which uploads and pushes leave as well: databases and logs have it for
themselves. Design note 0026.
"""

from __future__ import annotations

import os
from collections.abc import Collection
from pathlib import Path

from kumoi.base import files, log
from kumoi.cloud.agent import looks
from kumoi.cloud.drivers.instance.interface import InstanceDriver


class DiskRoom:
    """Of the file system of `host_dir`, for all drivers of a host."""

    def __init__(self, host_dir: Path, drivers: Collection[InstanceDriver]) -> None:
        self._host_dir = host_dir
        self._drivers = drivers
        self._held = 0

    async def run(self) -> None:
        """Until cancelled."""
        await looks.again_and_again(self.round, failure="disk.room_not_shared")

    def round(self) -> None:
        held = sum(driver.share_room(self._each) for driver in self._drivers)
        if bool(held) != bool(self._held):
            say = log.warning if held else log.event
            say(
                "disk.nearly_full" if held else "disk.has_room",
                left_mib=self._left() >> 20,
                held=held,
            )
        self._held = held

    def _each(self) -> int:
        return self._left() // len(self._drivers)

    def _left(self) -> int:
        return max(0, files.beyond_reserve(os.statvfs(self._host_dir)))
