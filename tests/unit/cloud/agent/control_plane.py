"""A control plane in this process, as an agent sees it, and an agent on a fake driver."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path

from kumoi.base.clock import Clock
from kumoi.base.errors import Transient
from kumoi.cloud.agent.agent import Agent
from kumoi.cloud.agent.images import Images
from kumoi.cloud.agent.snapshots import Snapshots
from kumoi.cloud.agent.state import StateDir
from kumoi.cloud.agent.trust import Trust
from kumoi.cloud.drivers.instance.fake import FakeDriver
from kumoi.cloud.hostapi.messages import (
    Image,
    Inventory,
    Power,
    Report,
    Reports,
    Server,
    State,
    Wanted,
)

BOUND_S = 10.0
IMAGE_FILE = b"an image"
IMAGE = Image(
    id="image-1",
    sha256=hashlib.sha256(IMAGE_FILE).hexdigest(),
    size=len(IMAGE_FILE),
    disk_format="root-tar",
)


def server(number: int, *, generation: int = 1, power: Power = Power.RUNNING) -> Server:
    server_id = f"00000000-0000-4000-8000-{number:012d}"
    return Server(id=server_id, generation=generation, power=power, image=IMAGE, id_slot=number)


@dataclass
class FakeControlPlane:
    """Holds what is wanted and what was told; can be unreachable."""

    servers: dict[str, Server] = field(default_factory=dict)
    images: list[Image] = field(default_factory=list)
    revision: int = 1
    store: str = "store-1"
    reachable: bool = True
    image_file: bytes = IMAGE_FILE
    told: dict[str, Report] = field(default_factory=dict)
    told_often: list[Report] = field(default_factory=list)
    inventories: list[Inventory] = field(default_factory=list)
    sent: dict[str, bytes] = field(default_factory=dict)
    given_up: list[str] = field(default_factory=list)
    consoles: dict[str, str] = field(default_factory=dict)
    fetched: list[str] = field(default_factory=list)
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    def want(self, *servers: Server) -> None:
        for one in servers:
            self.servers[one.id] = one
        self.revision += 1
        self.changed.set()

    def drop(self, *server_ids: str) -> None:
        """As if the rows were gone: only a complete answer tells."""
        for server_id in server_ids:
            self.servers.pop(server_id)

    async def wanted(self, since: int, wait_s: float) -> Wanted:
        self._check()
        if since >= self.revision:
            self.changed.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    await self.changed.wait()
            self._check()
        return Wanted(
            revision=self.revision,
            complete=since == 0,
            servers=list(self.servers.values()),
            store=self.store,
            images=self.images,
        )

    async def report(self, reports: Reports) -> None:
        self._check()
        for one in reports.reports:
            self.told[one.server_id] = one
            self.told_often.append(one)

    async def inventory(self, inventory: Inventory) -> None:
        self._check()
        self.inventories.append(inventory)

    async def fetch_image(self, image: Image, path: Path) -> None:
        self._check()
        self.fetched.append(image.id)
        path.write_bytes(self.image_file)  # noqa: ASYNC240 - a few bytes, in a test

    async def send_image(self, image_id: str, path: Path) -> None:
        self._check()
        self.sent[image_id] = path.read_bytes()  # noqa: ASYNC240 - a few bytes, in a test

    async def give_up_image(self, image_id: str) -> None:
        self._check()
        self.given_up.append(image_id)

    async def console(self, server_id: str, text: str) -> None:
        self._check()
        self.consoles[server_id] = text

    def state_of(self, one: Server) -> State | None:
        told = self.told.get(one.id)
        return told.state if told else None

    def _check(self) -> None:
        if not self.reachable:
            raise Transient("reach the control plane: it was told to be away")


@dataclass
class Host:
    """One host with its agent; `running` starts an agent on what is there."""

    directory: Path
    control: FakeControlPlane = field(default_factory=FakeControlPlane)
    driver: FakeDriver = field(default_factory=FakeDriver)
    clock: Clock = field(default_factory=Clock)

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[Agent]:
        agent = Agent(
            driver=self.driver,
            upstream=self.control,
            state=StateDir(self.directory / "wanted"),
            trust=Trust(self.directory / "control-plane.json"),
            images=Images(
                driver=self.driver,
                upstream=self.control,
                directory=self.directory / "downloads",
                clock=self.clock,
            ),
            snapshots=Snapshots(
                driver=self.driver, upstream=self.control, directory=self.directory / "snapshots"
            ),
            inventory=lambda ready: Inventory(
                version="0",
                hostname="host",
                drivers=["lxc"],
                vcpus=1,
                ram_mib=1,
                disk_gib=1,
                ready_images=sorted(ready),
            ),
            host_boot=self.driver.host_boot,
            clock=self.clock,
        )
        task = asyncio.create_task(agent.run())
        try:
            yield agent
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task


async def until(level: Callable[[], object]) -> None:
    """Wait for a level, with a bound."""
    deadline = time.monotonic() + BOUND_S
    while not level():
        assert time.monotonic() < deadline, "it did not come about"
        await asyncio.sleep(0.002)
