"""What servers write to their consoles, told to the control plane when it has changed.

A loop without an end: it looks every few seconds and remembers only what it has told.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection

from kumoi.base import log
from kumoi.base.errors import KumoiError
from kumoi.cloud.agent.upstream import Upstream
from kumoi.cloud.drivers.instance.interface import InstanceDriver

LOOK_S = 3.0
BYTES_MAX = 64 << 10


class Consoles:
    """`servers` says which servers there are."""

    def __init__(
        self,
        *,
        driver: InstanceDriver,
        upstream: Upstream,
        servers: Callable[[], Collection[str]],
    ) -> None:
        self._driver = driver
        self._upstream = upstream
        self._servers = servers
        self._told: dict[str, int] = {}

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            try:
                await self._tell()
            except (KumoiError, OSError) as error:
                log.failure("consoles.not_told", error)
            await asyncio.sleep(LOOK_S)

    async def _tell(self) -> None:
        servers = list(self._servers())
        for server_id in self._told.keys() - set(servers):
            del self._told[server_id]
        for server_id, text in (await asyncio.to_thread(self._changed, servers)).items():
            await self._upstream.console(server_id, text)
            self._told[server_id] = hash(text)

    def _changed(self, servers: list[str]) -> dict[str, str]:
        texts = {one: self._driver.console(one, bytes_max=BYTES_MAX) for one in servers}
        return {one: text for one, text in texts.items() if hash(text) != self._told.get(one, 0)}
