"""Sends the end of each server's console to the control plane when it has changed.

A loop without an end: it reads every console each few seconds, and remembers a hash of what it sent.
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
    """`servers` are the ids of this host's servers, each with the name of its driver."""

    def __init__(self, *, drivers: Mapping[str, InstanceDriver], upstream: Upstream) -> None:
        self._drivers = drivers
        self._upstream = upstream
        self._sent: dict[str, int] = {}
        self.servers: dict[str, str] = {}

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            servers = dict(self.servers)
            self._sent = {key: sent for key, sent in self._sent.items() if key in servers}
            try:
                for server_id, driver in servers.items():
                    read = self._drivers[driver].console
                    text = await asyncio.to_thread(read, server_id, bytes_max=BYTES_MAX)
                    if hash(text) != self._sent.get(server_id, hash("")):
                        await self._upstream.console(server_id, text)
                        self._sent[server_id] = hash(text)
            except (KumoiError, OSError) as error:
                log.failure("consoles.not_told", error)
            await asyncio.sleep(LOOK_S)
