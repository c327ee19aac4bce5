"""Many hosts in one process, as the host API sees them: each holds its long poll and makes every
server so as soon as it hears of it. Nothing runs; what they know is kept and can be asked for.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import httpx
import msgspec

from kumoi.cloud.hostapi.hello import PATH, HostHello
from kumoi.cloud.hostapi.messages import InstanceSpec, Power
from kumoi.cloud.hostapi.things import Message, WantedThings
from kumoi.engine.position import Position
from tests import host_messages
from tests.running_cloud import HOST_HEADER

POLL_S = 20.0
CONNECT_S = 30.0


@dataclass
class FleetHost:
    """One host: the servers it was sent, and how many answers it got."""

    name: str
    client: httpx.AsyncClient
    servers: dict[str, InstanceSpec] = field(default_factory=dict)
    answers: int = 0

    async def register(self) -> None:
        hello = HostHello(
            release="0",
            hostname=self.name,
            drivers=["lxc"],
            vcpus=64,
            ram_mib=65_536,
            disk_gib=1_000,
        )
        await self._send("PUT", "hello", hello)

    async def run(self) -> None:
        """Until cancelled."""
        since = Position()
        while True:
            wanted = await self._wanted(since)
            since = Position(wanted.epoch, wanted.revision)
            self.answers += 1
            if servers := host_messages.servers(wanted):
                await self._make(servers)

    async def _make(self, servers: list[InstanceSpec]) -> None:
        for server in servers:
            if server.power is Power.ABSENT:
                self.servers.pop(server.id, None)
            else:
                self.servers[server.id] = server
        reports = [host_messages.report(server) for server in servers]
        await self._send("POST", "reports", host_messages.reports(reports))

    async def _wanted(self, since: Position) -> WantedThings:
        answer = await self.client.get(
            f"{PATH}/wanted",
            params={"epoch": since.epoch, "since": since.revision, "wait_s": POLL_S},
            headers={HOST_HEADER: self.name},
        )
        answer.raise_for_status()
        return msgspec.json.decode(answer.content, type=WantedThings)

    async def _send(self, method: str, what: str, message: Message) -> None:
        answer = await self.client.request(
            method,
            f"{PATH}/{what}",
            content=msgspec.json.encode(message),
            headers={HOST_HEADER: self.name},
        )
        answer.raise_for_status()


@contextlib.asynccontextmanager
async def fleet(url: str, count: int) -> AsyncIterator[list[FleetHost]]:
    """`count` hosts, registered and listening."""
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=None)
    timeout = httpx.Timeout(POLL_S + CONNECT_S)
    async with httpx.AsyncClient(base_url=url, limits=limits, timeout=timeout) as client:
        hosts = [FleetHost(f"fleet-{number:03}", client) for number in range(count)]
        for host in hosts:
            await host.register()
        tasks = [asyncio.create_task(host.run(), name=host.name) for host in hosts]
        try:
            yield hosts
        finally:
            for task in tasks:
                task.cancel()
            ended = await asyncio.gather(*tasks, return_exceptions=True)
            for outcome in ended:
                if isinstance(outcome, Exception):
                    raise outcome
