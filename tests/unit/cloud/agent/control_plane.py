"""A control plane in this process, as an agent sees it, and an agent on a fake driver."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
from tests import host_messages
from tests.host_messages import ServerReport

from kumoi.base.clock import Clock
from kumoi.base.errors import Transient
from kumoi.cloud.agent.agent import Agent
from kumoi.cloud.agent.consoles import Consoles
from kumoi.cloud.agent.fenced import Fenced, NoFence
from kumoi.cloud.agent.files import ThingFiles
from kumoi.cloud.agent.images import Images
from kumoi.cloud.agent.kinds.interface import AnyKind
from kumoi.cloud.agent.kinds.server import ServerKind
from kumoi.cloud.agent.snapshots import Snapshots
from kumoi.cloud.agent.trust import TrustFile
from kumoi.cloud.drivers.instance.fake import FakeDriver
from kumoi.cloud.drivers.instance.interface import InstanceDriver
from kumoi.cloud.hostapi.client import HostRefused
from kumoi.cloud.hostapi.hello import Hello, HostHello
from kumoi.cloud.hostapi.messages import (
    SERVER,
    ImageContent,
    InstanceSpec,
    InstanceState,
    Power,
    server_thing,
)
from kumoi.cloud.hostapi.things import (
    Thing,
    ThingKey,
    ThingReport,
    WantedThings,
    raw,
)
from kumoi.cloud.hostapi.witness import Question, WitnessAnswer
from kumoi.engine.position import Position

BOUND_S = 10.0
IMAGE_FILE = b"an image"
IMAGE = ImageContent(
    id="image-1",
    sha256=hashlib.sha256(IMAGE_FILE).hexdigest(),
    disk_format="root-tar",
)


def server(number: int, *, generation: int = 1, power: Power = Power.RUNNING) -> InstanceSpec:
    server_id = f"00000000-0000-4000-8000-{number:012d}"
    return InstanceSpec(
        id=server_id, generation=generation, power=power, image=IMAGE, id_slot=number
    )


@dataclass
class FakeControlPlane:
    """Holds what is wanted and what was reported; can be unreachable."""

    things: dict[ThingKey, bytes] = field(default_factory=dict)
    images: list[ImageContent] = field(default_factory=list)
    revision: int = 1
    epoch: str = "epoch-1"
    reachable: bool = True
    refusal: str = ""
    image_file: bytes = IMAGE_FILE
    server_reports: dict[str, ServerReport] = field(default_factory=dict)
    all_server_reports: list[ServerReport] = field(default_factory=list)
    reports: dict[ThingKey, ThingReport] = field(default_factory=dict)
    hellos: list[HostHello] = field(default_factory=list)
    sent: dict[str, bytes] = field(default_factory=dict)
    given_up: list[str] = field(default_factory=list)
    consoles: dict[str, str] = field(default_factory=dict)
    fetched: list[str] = field(default_factory=list)
    held_images: dict[str, asyncio.Event] = field(default_factory=dict)
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    questions: list[Question] = field(default_factory=list)
    answers: list[WitnessAnswer] = field(default_factory=list)

    def want(self, *servers: InstanceSpec) -> None:
        self.want_things(*map(server_thing, servers))

    def want_things(self, *things: Thing) -> None:
        for thing in things:
            self.want_words(thing.key, raw(thing))

    def want_words(self, key: ThingKey, words: bytes) -> None:
        """A thing in words of its own."""
        self.things[key] = bytes(words)
        self.revision += 1
        self.changed.set()

    def drop(self, *server_ids: str) -> None:
        """As if the rows were gone: only a complete answer tells."""
        for server_id in server_ids:
            self.things.pop(ThingKey(SERVER, server_id))

    async def wanted(self, since: Position, wait_s: float) -> WantedThings:
        self._check()
        if self.refusal:
            raise HostRefused(self.refusal)
        if since.revision >= self.revision:
            self.changed.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    await self.changed.wait()
            self._check()
        return WantedThings(
            epoch=self.epoch,
            revision=self.revision,
            complete=since.revision == 0,
            things=[msgspec.Raw(words) for words in self.things.values()],
            images=[raw(image) for image in self.images],
            questions=[raw(question) for question in self.questions],
        )

    async def witness(self, answer: WitnessAnswer) -> None:
        self._check()
        self.questions = [each for each in self.questions if each.host != answer.host]
        self.answers.append(answer)

    async def report(self, reports: Sequence[ThingReport]) -> None:
        self._check()
        for report in reports:
            self.reports[report.key] = report
            if report.kind == SERVER:
                self.server_reports[report.id] = host_messages.server_report(report)
                self.all_server_reports.append(self.server_reports[report.id])

    async def hello(self, hello: HostHello) -> Hello:
        self._check()
        self.hellos.append(hello)
        if self.refusal:
            raise HostRefused(self.refusal)
        return Hello(release="0", epoch=self.epoch)

    async def fetch_image(self, image: ImageContent, path: Path) -> None:
        self._check()
        self.fetched.append(image.id)
        if held := self.held_images.get(image.id):
            await held.wait()
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

    def state_of(self, server: InstanceSpec) -> InstanceState | None:
        report = self.server_reports.get(server.id)
        return report.state if report else None

    def _check(self) -> None:
        if not self.reachable:
            raise Transient("reach the control plane: it was told to be away")


@dataclass
class Host:
    """One host with its agent; `running` starts an agent on what is there."""

    directory: Path
    control: FakeControlPlane = field(default_factory=FakeControlPlane)
    driver: FakeDriver = field(default_factory=FakeDriver)
    drivers: dict[str, FakeDriver] = field(default_factory=dict)
    clock: Clock = field(default_factory=Clock)
    kinds: list[AnyKind] = field(default_factory=list)
    fenced: Fenced | None = None

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[Agent]:
        drivers: dict[str, InstanceDriver] = {self.driver.name: self.driver, **self.drivers}
        images = Images(
            drivers=drivers,
            upstream=self.control,
            directory=self.directory / "downloads",
            clock=self.clock,
        )
        servers = ServerKind(
            drivers=drivers,
            images=images,
            snapshots=Snapshots(
                drivers=drivers, upstream=self.control, directory=self.directory / "snapshots"
            ),
            consoles=Consoles(drivers=drivers, upstream=self.control),
            host_boot=self.driver.host_boot,
            fenced=self.fenced or NoFence(),
        )
        agent = Agent(
            kinds=[servers, *self.kinds],
            upstream=self.control,
            files=ThingFiles(self.directory / "wanted"),
            trust=TrustFile(self.directory / "control-plane.json"),
            images=images,
            hello=lambda epoch, ready: HostHello(
                release="0",
                epoch=epoch,
                hostname="host",
                drivers=["lxc"],
                vcpus=1,
                ram_mib=1,
                disk_gib=1,
                ready_images=tuple(sorted(ready)),
            ),
            clock=self.clock,
            fenced=self.fenced,
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
