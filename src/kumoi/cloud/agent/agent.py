"""The host agent: hears what is wanted, makes the host match, reports what is.

Level-driven. Whatever wakes it (news from the control plane, a server that ended, its own look
around every ten seconds) only names a server to look at; looking and doing is `_tend`, one at a time
per server and a bounded number together. With the control plane gone it goes on with what it knows.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TypeVar

import msgspec

from kumoi.base import log
from kumoi.base.clock import Clock
from kumoi.base.errors import Bug, KumoiError, Permanent, Transient
from kumoi.base.ids import is_uuid
from kumoi.cloud.agent import reconcile
from kumoi.cloud.agent.consoles import Consoles
from kumoi.cloud.agent.images import Images
from kumoi.cloud.agent.outbox import Outbox
from kumoi.cloud.agent.reconcile import Action, Build, Delete, Pause, Settle, Start, Stop
from kumoi.cloud.agent.snapshots import Snapshots
from kumoi.cloud.agent.state import Kept, StateDir
from kumoi.cloud.agent.trust import Trust
from kumoi.cloud.agent.upstream import Upstream
from kumoi.cloud.agent.watch import EndWatch
from kumoi.cloud.drivers.instance.interface import InstanceDriver, Observed
from kumoi.cloud.hostapi.messages import (
    GENERATION_LAST,
    Image,
    Inventory,
    Power,
    Report,
    Server,
    State,
    Wanted,
)

LONG_POLL_S = 25.0
LOOK_AROUND_S = 10.0
HEARTBEAT_S = 10.0
TOGETHER_MAX = 8
ATTEMPTS_MAX = 6
RETRY_MAX_S = 30.0
UPSTREAM_PAUSE_MIN_S = 0.2
UPSTREAM_PAUSE_MAX_S = 5.0

Result = TypeVar("Result")


@dataclass(slots=True)
class _Work:
    """What is going on with one server."""

    woken: asyncio.Event = field(default_factory=asyncio.Event)
    attempts: int = 0
    generation: int = 0


class Agent:
    """`host_boot` is the identity of this boot of the host; `inventory` says what the host has,
    given the ids of the images that are ready.
    """

    def __init__(
        self,
        *,
        driver: InstanceDriver,
        upstream: Upstream,
        state: StateDir,
        trust: Trust,
        images: Images,
        snapshots: Snapshots,
        inventory: Callable[[frozenset[str]], Inventory],
        host_boot: str,
        clock: Clock,
    ) -> None:
        self._driver = driver
        self._upstream = upstream
        self._state = state
        self._trust = trust
        self._images = images
        self._snapshots = snapshots
        self._inventory = inventory
        self._host_boot = host_boot
        self._clock = clock
        self._wanted: dict[str, Kept] = state.load()
        self._unlisted: set[str] = set()
        self._unsaved: set[str] = set()
        self._work: dict[str, _Work] = {}
        self._ends = EndWatch(self._wake)
        self._outbox = Outbox(upstream, self._reported)
        self._consoles = Consoles(driver=driver, upstream=upstream, servers=self._present)
        self._heard = asyncio.Event()
        self._complete = False
        self._slots = asyncio.Semaphore(TOGETHER_MAX)
        self._threads = ThreadPoolExecutor(TOGETHER_MAX + 2, thread_name_prefix="agent")
        self._disk = ThreadPoolExecutor(1, thread_name_prefix="state")
        self._prefetch: asyncio.Queue[Sequence[Image]] = asyncio.Queue(maxsize=1)
        self._group = asyncio.TaskGroup()

    async def run(self) -> None:
        """Until cancelled. Servers run on."""
        try:
            async with self._group:
                self._group.create_task(self._listen())
                self._group.create_task(self._look_around())
                self._group.create_task(self._beat())
                self._group.create_task(self._prefetch_images())
                self._group.create_task(self._outbox.run())
                self._group.create_task(self._consoles.run())
                self._group.create_task(self._snapshots.run())
        finally:
            self._ends.close()
            self._threads.shutdown(wait=False, cancel_futures=True)
            self._disk.shutdown()

    # Hearing what is wanted.

    async def _listen(self) -> None:
        since, pause_s = 0, 0.0
        while True:
            try:
                wanted = await self._upstream.wanted(since, LONG_POLL_S)
                pause_s = 0.0
                was_doubted = self._trust.doubted
                self._accept(wanted)
                is_news = self._trust.doubted and not (was_doubted or wanted.complete)
                since = 0 if is_news else wanted.revision
            except KumoiError as error:
                if not pause_s:
                    log.failure("control_plane.not_reached", error)
                pause_s = min(max(UPSTREAM_PAUSE_MIN_S, pause_s * 2), UPSTREAM_PAUSE_MAX_S)
            self._heard.set()
            await asyncio.sleep(pause_s * random.uniform(0.8, 1.2))  # noqa: S311 - no secret

    def _accept(self, wanted: Wanted) -> None:
        self._trust.hear(wanted, unknown=len(self._not_listed(wanted)))
        for server in wanted.servers:
            if self._trust.doubted and server.generation == GENERATION_LAST:
                log.warning("wanted.refused", server=server.id, why="its store is doubted")
            elif is_uuid(server.id):
                self._want(server)
            else:
                log.warning("wanted.refused", server=server.id, why="its id is no UUID")
        for image in wanted.images:
            self._images.heard_of(image)
        if wanted.complete and not self._trust.doubted:
            self._complete = True
            self._drop(self._not_listed(wanted))
        if wanted.images:
            if self._prefetch.full():
                self._prefetch.get_nowait()
            self._prefetch.put_nowait(wanted.images)

    def _want(self, server: Server) -> None:
        known = self._wanted.get(server.id)
        if known and server.generation < known.server.generation:
            log.warning(
                "wanted.refused",
                server=server.id,
                generation=server.generation,
                why=f"generation {known.server.generation} is known",
            )
            return
        if server.image:
            self._images.heard_of(server.image)
        self._unlisted.discard(server.id)
        self._snapshots.want(server)
        if known is None or known.server != server:
            self._keep(Kept(server=server))
        self._wake(server.id)

    def _not_listed(self, wanted: Wanted) -> list[str]:
        """Those here that it does not name, and that are not going anyway."""
        listed = {server.id for server in wanted.servers}
        return [
            server_id
            for server_id, kept in self._wanted.items()
            if server_id not in listed and server_id not in self._unlisted
        ]

    def _drop(self, unlisted: list[str]) -> None:
        """What a complete list does not name must go, and nobody waits to hear of it."""
        for server_id in unlisted:
            gone = msgspec.structs.replace(self._wanted[server_id].server, power=Power.ABSENT)
            self._unlisted.add(server_id)
            self._keep(Kept(server=gone))
            self._wake(server_id)

    def _keep(self, kept: Kept) -> None:
        self._wanted[kept.server.id] = kept
        self._disk.submit(self._save, kept)

    def _save(self, kept: Kept) -> None:
        """In the thread that has the disk."""
        try:
            self._state.save(kept)
        except OSError as error:
            self._unsaved.add(kept.server.id)
            log.failure("wanted.not_kept", error, server=kept.server.id)
        else:
            self._unsaved.discard(kept.server.id)

    def _forget(self, server_id: str) -> None:
        self._wanted.pop(server_id, None)
        self._unlisted.discard(server_id)
        self._outbox.forget(server_id)
        self._disk.submit(self._state.forget, server_id)

    # Looking around.

    async def _look_around(self) -> None:
        """Not before the control plane was asked once: what is kept here may be old."""
        await self._heard.wait()
        while True:
            try:
                seen = await self._in_thread(self._driver.list_instances)
                self._compare(seen)
                await self._in_thread(lambda: self._driver.sweep(self._wanted_ports))
                await self._images.tidy(self._wanted_images)
            except Exception as error:  # noqa: BLE001 - the agent's loop: the outermost place
                log.failure("host.not_observed", error)
            await asyncio.sleep(LOOK_AROUND_S)

    def _compare(self, seen: dict[str, Observed]) -> None:
        for server_id in self._unsaved & self._wanted.keys():
            self._disk.submit(self._save, self._wanted[server_id])
        for server_id, kept in self._wanted.items():
            observed = seen.get(server_id)
            if self._to_do(kept, observed) or not self._outbox.has_told(
                self._report(kept, observed)
            ):
                self._wake(server_id)
            elif observed:
                self._ends.watch(server_id, observed.keeper_pid)
        if self._complete:
            for server_id in seen.keys() - self._wanted.keys():
                log.warning("server.unknown", server=server_id)
                self._unlisted.add(server_id)
                gone = Server(id=server_id, generation=0, power=Power.ABSENT)
                self._wanted[server_id] = Kept(server=gone)
                self._wake(server_id)

    def _wanted_ports(self) -> frozenset[str]:
        return frozenset(
            port.id for kept in list(self._wanted.values()) for port in kept.server.ports
        )

    def _wanted_images(self) -> frozenset[str]:
        images = (kept.server.image for kept in self._wanted.values())
        return frozenset(image.sha256 for image in images if image)

    # Making it so.

    def _wake(self, server_id: str) -> None:
        """Look at this server, now or as soon as what is going on with it is done."""
        if server_id not in self._wanted:
            return
        if server_id not in self._work:
            self._work[server_id] = _Work()
            self._group.create_task(self._tend(server_id))
        self._work[server_id].woken.set()

    async def _tend(self, server_id: str) -> None:
        """All that is to be done for a server, until it is as wanted or has failed."""
        work = self._work[server_id]
        again_s: float | None = None
        try:
            while work.woken.is_set() or again_s is not None:
                if again_s is not None:
                    await _wait(work.woken, again_s)
                work.woken.clear()
                kept = self._wanted.get(server_id)
                if kept is None:
                    return
                with log.bound(server=server_id, generation=kept.server.generation):
                    async with self._slots:
                        again_s = await self._try(kept, work)
        finally:
            self._work.pop(server_id, None)

    async def _try(self, kept: Kept, work: _Work) -> float | None:
        """One attempt. How long to wait before the next, or None when there is nothing left."""
        if work.generation != kept.server.generation:
            work.generation, work.attempts = kept.server.generation, 0
        began = self._clock.monotonic()
        fresh = False
        try:
            seen, actions = await self._in_thread(self._look, kept)
            fresh = any(isinstance(action, Build) for action in actions)
            needed = any(isinstance(action, Build | Start) for action in actions)
            if needed and kept.server.image:
                await self._images.ensure(kept.server.image)
            if actions:
                seen = await self._in_thread(self._do, kept.server, actions)
                self._log_done(actions, began)
        except Exception as error:  # noqa: BLE001 - the agent's loop: the outermost place
            return await self._not_done(kept, work, error, fresh=fresh)
        work.attempts = 0
        self._converged(kept, seen)
        return None

    async def _not_done(
        self, kept: Kept, work: _Work, error: Exception, *, fresh: bool
    ) -> float | None:
        """Try again later, or give up. What must go is never given up."""
        work.attempts += 1
        log.failure("server.not_converged", error, attempt=work.attempts)
        hopeless = isinstance(error, Permanent) or work.attempts >= ATTEMPTS_MAX
        if hopeless and kept.server.power is not Power.ABSENT:
            await self._fail(kept, error, fresh=fresh)
            return None
        return _retry_after_s(error, work.attempts)

    def _look(self, kept: Kept) -> tuple[Observed | None, list[Action]]:
        seen = self._driver.observe(kept.server.id)
        return seen, self._to_do(kept, seen)

    def _to_do(self, kept: Kept, seen: Observed | None) -> list[Action]:
        """Nothing is tried again of what has failed, until something else is wanted."""
        if kept.fault and kept.server.power is not Power.ABSENT:
            return []
        return reconcile.plan(kept.server, seen, host_boot=self._host_boot)

    def _do(self, server: Server, actions: list[Action]) -> Observed | None:
        for action in actions:
            match action:
                case Stop(grace_s):
                    self._driver.ensure_stopped(server.id, grace_s=grace_s)
                case Build():
                    self._driver.ensure_built(server)
                case Start():
                    self._driver.ensure_running(server)
                case Settle():
                    self._driver.ensure_ports(server)
                case Pause():
                    self._driver.ensure_paused(server.id)
                case Delete():
                    self._driver.delete_instance(server.id)
                case _:
                    raise Bug(f"no way to {action}")
        return self._driver.observe(server.id)

    async def _fail(self, kept: Kept, error: Exception, *, fresh: bool) -> None:
        """Take back what was claimed: everything of a server that never was, and of another one all
        but its disk. Its owner is told why.
        """
        log.event("server.failed")
        fault = error.message if isinstance(error, KumoiError) else "an internal error of the host"
        try:
            await self._in_thread(self._take_back, kept.server.id, fresh)
        except Exception as cause:  # noqa: BLE001 - the agent's loop: the outermost place
            log.failure("server.not_taken_back", cause)
        if self._wanted.get(kept.server.id) is kept:
            failed = msgspec.structs.replace(kept, fault=fault)
            self._keep(failed)
            self._tell(self._report(failed, None))

    def _take_back(self, server_id: str, fresh: bool) -> None:
        if fresh:
            self._driver.delete_instance(server_id)
        else:
            self._driver.ensure_stopped(server_id, grace_s=0)

    def _converged(self, kept: Kept, seen: Observed | None) -> None:
        self._tell(self._report(kept, seen))
        if seen:
            self._ends.watch(kept.server.id, seen.keeper_pid)
        elif kept.server.id in self._unlisted and self._wanted.get(kept.server.id) is kept:
            self._forget(kept.server.id)

    def _log_done(self, actions: list[Action], began: float) -> None:
        done = [str(action) for action in actions]
        seconds = round(self._clock.monotonic() - began, 4)
        log.event("server.converged", actions=done, seconds=seconds)

    # Telling.

    def _report(self, kept: Kept, seen: Observed | None) -> Report:
        if kept.fault and kept.server.power is not Power.ABSENT:
            return Report(
                server_id=kept.server.id,
                generation=kept.server.generation,
                state=State.FAILED,
                fault=kept.fault,
                build=kept.server.build,
                boot=kept.server.boot,
                hard_boot=kept.server.hard_boot,
            )
        return reconcile.report(kept.server, seen)

    def _tell(self, report: Report) -> None:
        if report.server_id not in self._unlisted:
            self._outbox.put(report)

    def _reported(self, reports: Sequence[Report]) -> None:
        """The control plane knows: what is gone need not be remembered."""
        for report in reports:
            kept = self._wanted.get(report.server_id)
            if report.state is State.ABSENT and kept and kept.server.power is Power.ABSENT:
                self._forget(report.server_id)

    def _present(self) -> list[str]:
        """Servers whose owner can ask for them."""
        return [one for one in self._wanted if one not in self._unlisted]

    async def _beat(self) -> None:
        while True:
            self._images.changed.clear()
            try:
                taken = await self._in_thread(self._inventory, self._images.ready_ids())
                await self._upstream.inventory(taken)
            except (KumoiError, OSError) as error:
                log.failure("host.not_announced", error)
            await _wait(self._images.changed, HEARTBEAT_S)

    async def _prefetch_images(self) -> None:
        while True:
            await self._images.prefetch(await self._prefetch.get())

    async def _in_thread(self, work: Callable[..., Result], *args: object) -> Result:
        return await asyncio.get_running_loop().run_in_executor(self._threads, work, *args)


async def _wait(event: asyncio.Event, timeout_s: float) -> None:
    """Until it is set or the time is up."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(timeout_s):
            await event.wait()


def _retry_after_s(error: Exception, attempts: int) -> float:
    first_s = error.retry_after_s if isinstance(error, Transient) else 1.0
    return min(first_s * 2.0 ** min(attempts - 1, 10), RETRY_MAX_S)
