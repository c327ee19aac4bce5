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
from kumoi.cloud.hostapi.client import Upstream
from kumoi.cloud.hostapi.hello import Inventory
from kumoi.cloud.hostapi.messages import read_images
from kumoi.cloud.hostapi.things import ThingReport, Wanted

LONG_POLL_S = 25.0
HEARTBEAT_S = 10.0
UNREACHED = Backoff(first_s=0.2, most_s=5.0)


class Agent:
    """`kinds` are the things that this host can be told of; `inventory` says what the host has,
    given the ids of the images that are ready.
    """

    def __init__(
        self,
        *,
        kinds: Sequence[AnyKind],
        upstream: Upstream,
        files: ThingFiles,
        trust: TrustFile,
        images: Images,
        inventory: Callable[[frozenset[str]], Inventory],
        clock: Clock,
    ) -> None:
        self._kinds = kinds
        self._upstream = upstream
        self._trust = trust
        self._images = images
        self._inventory = inventory
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
            try:
                self._hear(await self._upstream.wanted(self._hearing.since, LONG_POLL_S))
                failures = 0
            except KumoiError as error:
                if not failures:
                    log.failure("control_plane.not_reached", error)
                failures += 1
            self._asked.set()
            await asyncio.sleep(UNREACHED.after(failures))

    def _hear(self, wanted: Wanted) -> None:
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
                taken = await asyncio.to_thread(self._inventory, self._images.ready_ids())
                await self._upstream.inventory(taken)
            except (KumoiError, OSError) as error:
                log.failure("host.not_announced", error)
            await wait(self._images.changed, HEARTBEAT_S)

    def _reported(self, reports: Sequence[ThingReport]) -> None:
        self._tending.reported(reports)
