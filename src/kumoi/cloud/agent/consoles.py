"""What servers write to their consoles, told to the control plane when it has changed.

A loop without an end: it looks every few seconds and remembers only what it has told.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from kumoi.base import log
from kumoi.base.errors import KumoiError
from kumoi.cloud.drivers.instance.interface import InstanceDriver
from kumoi.cloud.hostapi.client import Upstream

LOOK_S = 3.0
BYTES_MAX = 64 << 10


class Consoles:
    """`servers` are those there are, each with the name of its driver."""

    def __init__(self, *, drivers: Mapping[str, InstanceDriver], upstream: Upstream) -> None:
        self._drivers = drivers
        self._upstream = upstream
        self._told: dict[str, int] = {}
        self.servers: dict[str, str] = {}

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            try:
                await self._tell()
            except (KumoiError, OSError) as error:
                log.failure("consoles.not_told", error)
            await asyncio.sleep(LOOK_S)

    async def _tell(self) -> None:
        servers = dict(self.servers)
        for server_id in self._told.keys() - servers.keys():
            del self._told[server_id]
        for server_id, text in (await asyncio.to_thread(self._changed, servers)).items():
            await self._upstream.console(server_id, text)
            self._told[server_id] = hash(text)

    def _changed(self, servers: Mapping[str, str]) -> dict[str, str]:
        texts = {
            server_id: self._drivers[driver].console(server_id, bytes_max=BYTES_MAX)
            for server_id, driver in servers.items()
        }
        return {one: text for one, text in texts.items() if hash(text) != self._told.get(one, 0)}
