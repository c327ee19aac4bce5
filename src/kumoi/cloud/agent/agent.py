"""The host agent: hears what is wanted, makes the host match, reports what is.

hearing.py knows what is wanted here, tending.py makes it so, outbox.py tells what is; this connects
them with the control plane and says that the host is alive. With the control plane gone the host
goes on with what it knows.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from kumoi.base import log
from kumoi.base.backoff import Backoff
from kumoi.base.clock import Clock
from kumoi.base.errors import KumoiError
from kumoi.cloud.agent.files import ThingFiles
from kumoi.cloud.agent.hearing import Hearing
from kumoi.cloud.agent.images import Images
from kumoi.cloud.agent.kinds.interface import AnyKind
from kumoi.cloud.agent.outbox import Outbox
from kumoi.cloud.agent.tending import Tending, wait
from kumoi.cloud.agent.trust import TrustFile
from kumoi.cloud.hostapi.client import HostRefused, Upstream
from kumoi.cloud.hostapi.hello import HostHello
from kumoi.cloud.hostapi.messages import read_images
from kumoi.cloud.hostapi.things import ThingReport, WantedThings

LONG_POLL_S = 25.0
HEARTBEAT_S = 10.0
UNREACHED = Backoff(first_s=0.2, most_s=5.0)


class Agent:
    """`kinds` are the things that this host can be told of; `hello` says what the host is and has,
    given the epoch that was heard last and the ids of the images that are ready.
    """

    def __init__(
        self,
        *,
        kinds: Sequence[AnyKind],
        upstream: Upstream,
        files: ThingFiles,
        trust: TrustFile,
        images: Images,
        hello: Callable[[str, frozenset[str]], HostHello],
        clock: Clock,
    ) -> None:
        self._kinds = kinds
        self._upstream = upstream
        self._trust = trust
        self._images = images
        self._hello = hello
        self._hearing = Hearing(files.load(), trust.read())
        self._outbox = Outbox(upstream, self._reported)
        self._tending = Tending(
            kinds={kind.name: kind for kind in kinds},
            hearing=self._hearing,
            files=files,
            outbox=self._outbox,
            clock=clock,
        )
        self._asked = asyncio.Event()
        self._accepted = asyncio.Event()
        self._was_refused = False

    async def run(self) -> None:
        """Until cancelled. Things run on."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._tending.run(self._asked))  # First: it takes what is heard.
            group.create_task(self._listen())
            group.create_task(self._beat())
            group.create_task(self._outbox.run())
            for kind in self._kinds:
                for task in kind.tasks():
                    group.create_task(task)

    async def _listen(self) -> None:
        failures = 0
        while True:
            await self._accepted.wait()
            try:
                wanted = await self._upstream.wanted(self._hearing.since, LONG_POLL_S)
                failures = 0
                if self._accepted.is_set():  # Else it was refused meanwhile, and is told again.
                    self._hear(wanted)
            except HostRefused as why:
                self._hold(why)
                continue
            except KumoiError as error:
                if not failures:
                    log.failure("control_plane.not_reached", error)
                failures += 1
            self._asked.set()
            await asyncio.sleep(UNREACHED.after(failures))

    def _hear(self, wanted: WantedThings) -> None:
        before = self._hearing.trust
        news = self._hearing.hear(wanted)
        after = self._hearing.trust
        if after.doubted and (wanted.complete or not before.doubted):
            log.warning("control_plane.doubted", why=after.why(wanted), file=self._trust.file)
        if after != before:
            self._trust.write(after)
        for refused in news.refused:
            log.warning("wanted.refused", thing=refused.what, why=refused.why)
        self._tending.take(news)
        if wanted.images:
            self._images.prefetch(read_images(wanted.images))

    async def _beat(self) -> None:
        while True:
            self._images.changed.clear()
            try:
                epoch = self._hearing.since.epoch
                hello = await asyncio.to_thread(self._hello, epoch, self._images.ready_ids())
                answer = await self._upstream.hello(hello)
                self._go_on(answer.release)
            except HostRefused as why:
                self._hold(why)
            except (KumoiError, OSError) as error:
                log.failure("host.not_announced", error)
                self._go_on("")  # With nobody there it makes its host match what it knows.
            await wait(self._images.changed, HEARTBEAT_S)

    def _hold(self, why: HostRefused) -> None:
        """Change nothing on this host until the control plane accepts it; what runs goes on."""
        log.warning("host.refused", why=why.message)
        self._was_refused = True
        self._accepted.clear()
        self._tending.allowed.clear()

    def _go_on(self, release: str) -> None:
        """A host that was refused stays so while nobody answers; one that begins knows no better."""
        if release and not self._tending.allowed.is_set():
            log.event("control_plane.met", release=release)
        if release:
            self._was_refused = False
        if not self._was_refused:
            self._accepted.set()
            self._tending.allowed.set()

    def _reported(self, reports: Sequence[ThingReport]) -> None:
        self._tending.reported(reports)
