"""The host agent: asks what is wanted of this host, makes the host match, reports what is.

hearing.py holds what is wanted here, tending.py makes the host match, outbox.py sends the reports;
this connects them with the control plane and says hello as a sign of life. While the control plane
cannot be reached, the host goes on with what it was last sent.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
from collections.abc import Callable, Sequence

import msgspec

from kumoi.base import log
from kumoi.base.clock import Clock
from kumoi.base.errors import KumoiError
from kumoi.cloud.agent.fence_state import boottime_s
from kumoi.cloud.agent.fenced import Fenced
from kumoi.cloud.agent.files import ThingFiles
from kumoi.cloud.agent.hearing import Hearing
from kumoi.cloud.agent.images import Images
from kumoi.cloud.agent.kinds.interface import AnyKind
from kumoi.cloud.agent.outbox import Outbox
from kumoi.cloud.agent.tending import Tending, wait
from kumoi.cloud.agent.trust import TrustFile
from kumoi.cloud.agent.witness import WitnessStand
from kumoi.cloud.hostapi.client import RETRY, HostRefused, Upstream
from kumoi.cloud.hostapi.hello import HostHello
from kumoi.cloud.hostapi.messages import read_images
from kumoi.cloud.hostapi.things import ThingKey, WantedThings
from kumoi.cloud.hostapi.witness import Question

LONG_POLL_S = 25.0
HEARTBEAT_S = 10.0


class Agent:
    """`kinds` are the kinds of thing that this host can have. `hello` makes the host's hello from the
    store's epoch, as received last, and the ids of the images that are ready.
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
        fenced: Fenced | None = None,
        switch_remote: str = "",
    ) -> None:
        self._witness = WitnessStand(upstream, switch_remote)
        self._fenced = fenced
        self._kinds = kinds
        self._upstream = upstream
        self._trust = trust
        self._images = images
        self._hello = hello
        self._hearing = Hearing(files.load(), trust.read())
        self._outbox = Outbox(upstream)
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
        """Until cancelled. Things keep running."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._tending.run(self._asked))  # First: it gets what is received.
            group.create_task(self._listen())
            group.create_task(self._beat())
            group.create_task(self._outbox.run(delivered=self._tending.delivered))
            for kind in self._kinds:
                for task in kind.tasks(functools.partial(self._wake, kind.name)):
                    group.create_task(task)

    def _wake(self, kind: str, thing_id: str) -> None:
        self._tending.wake(ThingKey(kind, thing_id))

    async def _listen(self) -> None:
        failures = 0
        while True:
            await self._accepted.wait()
            try:
                asked_s = boottime_s()
                wanted = await self._ask()
                failures = 0
                if wanted is None:
                    continue
                if self._accepted.is_set():  # Else it was refused meanwhile, and will ask again.
                    self._receive(wanted)
                    if self._fenced is not None:
                        self._fenced.answered(asked_s)
            except HostRefused as why:
                self._suspend(why)
                continue
            except KumoiError as error:
                if not failures:
                    log.failure("control_plane.not_reached", error)
                failures += 1
            self._asked.set()
            await asyncio.sleep(RETRY.after(failures))

    async def _ask(self) -> WantedThings | None:
        """None where the host has got a lease meanwhile, and must hear anew what is wanted in it."""
        if self._fenced is None:
            return await self._upstream.wanted(self._hearing.since, LONG_POLL_S)
        wait_s = 0.0 if self._fenced.begun.is_set() else LONG_POLL_S
        self._fenced.begun.clear()
        asking = asyncio.ensure_future(self._upstream.wanted(self._hearing.since, wait_s))
        begun = asyncio.ensure_future(self._fenced.begun.wait())
        try:
            await asyncio.wait([asking, begun], return_when=asyncio.FIRST_COMPLETED)
            return asking.result() if asking.done() else None
        finally:
            for task in (asking, begun):
                task.cancel()

    def _receive(self, wanted: WantedThings) -> None:
        before = self._hearing.trust
        outcome = self._hearing.hear(wanted)
        after = self._hearing.trust
        if after.doubted and (wanted.complete or not before.doubted):
            log.warning("control_plane.doubted", why=after.why(wanted), file=self._trust.file)
        if after != before:
            self._trust.write(after)
        for refused in outcome.refused:
            log.warning("wanted.refused", thing=refused.what, why=refused.why)
        self._tending.take(outcome)
        for question in wanted.questions:
            with contextlib.suppress(msgspec.DecodeError):  # One of a newer control plane.
                self._witness.hear(msgspec.json.decode(question, type=Question))
        if wanted.images:
            self._images.prefetch(read_images(wanted.images))

    async def _beat(self) -> None:
        while True:
            self._images.changed.clear()
            try:
                epoch = self._hearing.since.epoch
                hello = await asyncio.to_thread(self._hello, epoch, self._images.ready_ids())
                answer = await self._upstream.hello(hello)
                self._resume(answer.release)
            except HostRefused as why:
                self._suspend(why)
            except (KumoiError, OSError) as error:
                log.failure("host.not_announced", error)
                self._resume("")  # Unreachable: make the host match what it was last sent.
            await wait(self._images.changed, HEARTBEAT_S)

    def _suspend(self, why: HostRefused) -> None:
        """Change nothing on this host until the control plane accepts it; its things keep running."""
        log.warning("host.refused", why=why.message)
        self._was_refused = True
        self._accepted.clear()
        self._tending.allowed.clear()

    def _resume(self, release: str) -> None:
        """Begin, or go on. `release` is the control plane's, and empty when it did not answer: then a
        host that was refused stays suspended, and one that was not goes on.
        """
        if release and not self._tending.allowed.is_set():
            log.event("control_plane.met", release=release)
        if release:
            self._was_refused = False
        if not self._was_refused:
            self._accepted.set()
            self._tending.allowed.set()
