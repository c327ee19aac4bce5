"""Makes the host match what is wanted of it: one loop for all kinds of thing.

Level-driven. Whatever wakes it (news, a process that ended, its own look around every ten seconds)
only names a thing to look at. Looking and doing is `_tend`: of one thing one at a time, of all a
bounded number together, again later what failed. What to do is the kind's own (kinds/interface.py).

A thing that is not understood, for its kind, a word or a driver that this host does not know, is
reported as that and left as it is: it may be running.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, TypeVar

import msgspec

import kumoi
from kumoi.base import log
from kumoi.base.backoff import Backoff
from kumoi.base.clock import Clock
from kumoi.base.errors import KumoiError, Permanent, Transient
from kumoi.cloud.agent.files import ThingFiles
from kumoi.cloud.agent.hearing import Hearing, News, WantedThing
from kumoi.cloud.agent.kinds.interface import AnyKind
from kumoi.cloud.agent.outbox import Outbox
from kumoi.cloud.agent.watch import EndWatch
from kumoi.cloud.hostapi.things import NotUnderstood, ThingKey, ThingReport, Unreadable

LOOK_AROUND_S = 10.0
TOGETHER_MAX = 8
ATTEMPTS_MAX = 6
RETRY = Backoff(first_s=1.0, most_s=30.0)

Result = TypeVar("Result")


@dataclass(slots=True)
class _Work:
    """What is going on with one thing."""

    woken: asyncio.Event = field(default_factory=asyncio.Event)
    attempts: int = 0
    generation: int = 0


@dataclass(slots=True)
class _Attempt:
    """One try at one thing. Without a spec it is to go."""

    kind: AnyKind
    wanted: WantedThing
    spec: Any
    actions: Sequence[Any] = ()


class Tending:
    """`kinds` are those that this host knows, by name. While `allowed` is not set nothing is begun."""

    def __init__(
        self,
        *,
        kinds: Mapping[str, AnyKind],
        hearing: Hearing,
        files: ThingFiles,
        outbox: Outbox,
        clock: Clock,
    ) -> None:
        self._kinds = kinds
        self._hearing = hearing
        self._files = files
        self._outbox = outbox
        self._clock = clock
        self.allowed = asyncio.Event()
        self._unsaved: set[ThingKey] = set()
        self._work: dict[ThingKey, _Work] = {}
        self._ends = EndWatch(self.wake)
        self._slots = asyncio.Semaphore(TOGETHER_MAX)
        self._threads = ThreadPoolExecutor(TOGETHER_MAX + 2, thread_name_prefix="agent")
        self._disk = ThreadPoolExecutor(1, thread_name_prefix="files")
        self._group = asyncio.TaskGroup()

    async def run(self, asked: asyncio.Event) -> None:
        """Until cancelled. Things run on. It does not look around before the control plane was
        asked once: what is kept here may be old.
        """
        try:
            async with self._group:
                await asked.wait()
                while True:
                    await self.allowed.wait()
                    await self._look_around()
                    await asyncio.sleep(LOOK_AROUND_S)
        finally:
            self._ends.close()
            self._threads.shutdown(wait=False, cancel_futures=True)
            self._disk.shutdown()

    def take(self, news: News) -> None:
        """What was heard."""
        for key in news.changed:
            self._keep(self._hearing.things[key])
        for key in news.look_at:
            with contextlib.suppress(NotUnderstood):
                kind, spec = self._read(self._hearing.things[key])
                if spec is not None:
                    kind.heard(spec)
            self.wake(key)

    def wake(self, key: ThingKey) -> None:
        """Look at this thing, now or as soon as what is going on with it is done."""
        if key not in self._hearing.things:
            return
        if key not in self._work:
            self._work[key] = _Work()
            self._group.create_task(self._tend(key))
        self._work[key].woken.set()

    def reported(self, reports: Sequence[ThingReport]) -> None:
        """The control plane knows: what is gone need not be remembered."""
        for report in reports:
            wanted = self._hearing.things.get(report.key)
            if report.absent and wanted and wanted.is_absent:
                self._forget(report.key)

    # Looking around.

    async def _look_around(self) -> None:
        for key in self._unsaved & self._hearing.things.keys():
            self._disk.submit(self._save, self._hearing.things[key])
        for name in sorted({key.kind for key in self._hearing.things} - self._kinds.keys()):
            self._compare(name, {})
        for name, kind in self._kinds.items():
            try:
                seen = await self._in_thread(kind.list_all)
                self._compare(name, seen)
                await kind.tidy(lambda name=name: self._specs(name), seen)  # type: ignore[misc]
            except Exception as error:  # noqa: BLE001 - the agent's loop: the outermost place
                log.failure("host.not_observed", error, kind=name)

    def _compare(self, name: str, seen: Mapping[str, Any]) -> None:
        """Wake whatever is not as wanted, or not as told."""
        for key, wanted in list(self._hearing.things.items()):
            if key.kind == name and not self._is_done(wanted, seen.get(key.id)):
                self.wake(key)
        for key in self._hearing.found(ThingKey(name, one) for one in seen):
            log.warning("thing.unknown", thing=str(key))
            self.wake(key)

    def _is_done(self, wanted: WantedThing, seen: Any) -> bool:
        """Whether it is as wanted, and the control plane knows."""
        try:
            kind, spec = self._read(wanted)
        except NotUnderstood as why:
            return self._outbox.has_told(_fault(wanted, why.message))
        undone = seen is not None if spec is None else not wanted.fault and kind.plan(spec, seen)
        if undone:
            return False
        if seen is not None:
            self._ends.watch(wanted.key, kind.watched_pid(seen))
        return wanted.unlisted or self._outbox.has_told(_report(kind, wanted, seen))

    def _specs(self, name: str) -> list[Any]:
        """Of the things of that kind that are wanted and understood."""
        specs = []
        for wanted in list(self._hearing.things.values()):
            if wanted.key.kind == name:
                with contextlib.suppress(NotUnderstood):
                    specs.append(self._read(wanted)[1])
        return [spec for spec in specs if spec is not None]

    # Making it so.

    async def _tend(self, key: ThingKey) -> None:
        """All that is to be done for a thing, until it is as wanted or has failed."""
        work = self._work[key]
        again_s: float | None = None
        try:
            while work.woken.is_set() or again_s is not None:
                if again_s is not None:
                    await wait(work.woken, again_s)
                await self.allowed.wait()
                work.woken.clear()
                wanted = self._hearing.things.get(key)
                if wanted is None:
                    return
                with log.bound(thing=str(key), generation=wanted.generation):
                    async with self._slots:
                        again_s = await self._try(wanted, work)
        finally:
            self._work.pop(key, None)

    async def _try(self, wanted: WantedThing, work: _Work) -> float | None:
        """One attempt. How long to wait before the next, or None when there is nothing left."""
        if work.generation != wanted.generation:
            work.generation, work.attempts = wanted.generation, 0
        try:
            kind, spec = self._read(wanted)
        except NotUnderstood as why:
            self._tell(wanted, _fault(wanted, why.message))
            return None
        attempt = _Attempt(kind, wanted, spec)
        try:
            seen = await self._make_so(attempt)
        except Exception as error:  # noqa: BLE001 - the agent's loop: the outermost place
            return await self._not_done(attempt, work, error)
        work.attempts = 0
        self._converged(kind, wanted, seen)
        return None

    async def _make_so(self, attempt: _Attempt) -> Any:
        """What is there of it in the end."""
        kind, spec, thing_id = attempt.kind, attempt.spec, attempt.wanted.key.id
        began = self._clock.monotonic()
        seen = await self._in_thread(kind.observe, thing_id, spec)
        if spec is None:
            if seen is None:
                return None
            await self._in_thread(kind.delete, thing_id)
            done = ["delete"]
        else:
            attempt.actions = () if attempt.wanted.fault else kind.plan(spec, seen)
            if not attempt.actions:
                return seen
            await kind.prepare(spec, attempt.actions)
            await self._in_thread(kind.apply, spec, attempt.actions)
            done = [str(one) for one in attempt.actions]
        seen = await self._in_thread(kind.observe, thing_id, spec)
        seconds = round(self._clock.monotonic() - began, 4)
        log.event("thing.converged", actions=done, seconds=seconds)
        return seen

    async def _not_done(self, attempt: _Attempt, work: _Work, error: Exception) -> float | None:
        """Try again later, or give up. What must go is never given up."""
        kind, wanted = attempt.kind, attempt.wanted
        work.attempts += 1
        log.failure("thing.not_converged", error, attempt=work.attempts)
        hopeless = isinstance(error, Permanent) or work.attempts >= ATTEMPTS_MAX
        if not hopeless or attempt.spec is None:
            asked_s = error.retry_after_s if isinstance(error, Transient) else None
            return RETRY.after(work.attempts, asked_s=asked_s)
        log.event("thing.failed")
        try:
            await self._in_thread(kind.take_back, attempt.spec, attempt.actions)
        except Exception as cause:  # noqa: BLE001 - the agent's loop: the outermost place
            log.failure("thing.not_taken_back", cause)
        fault = error.message if isinstance(error, KumoiError) else "an internal error of the host"
        if failed := self._hearing.fail(wanted, fault):
            self._keep(failed)
            self._tell(failed, _fault(failed, fault))
        return None

    def _converged(self, kind: AnyKind, wanted: WantedThing, seen: Any) -> None:
        self._tell(wanted, _report(kind, wanted, seen))
        if seen is not None:
            self._ends.watch(wanted.key, kind.watched_pid(seen))
        elif wanted.unlisted and self._hearing.things.get(wanted.key) is wanted:
            self._forget(wanted.key)

    def _tell(self, wanted: WantedThing, report: ThingReport) -> None:
        """Nobody waits to hear of what nobody wants."""
        if not wanted.unlisted:
            self._outbox.put(report)

    def _read(self, wanted: WantedThing) -> tuple[AnyKind, Any]:
        """Its kind and its spec, which is None when it is to go. Raises NotUnderstood."""
        kind = self._kinds.get(wanted.key.kind)
        try:
            if kind is None:
                raise NotUnderstood(f"there is no kind of thing called {wanted.key.kind}")
            if wanted.is_absent:
                return kind, None
            if isinstance(wanted.told, Unreadable):
                raise NotUnderstood(wanted.told.why)
            return kind, kind.read(wanted.told)
        except NotUnderstood as why:
            release = kumoi.__version__
            words = f"not understood by this host, which is of release {release}: {why.message}"
            raise NotUnderstood(words) from why

    # What is kept.

    def _keep(self, wanted: WantedThing) -> None:
        self._disk.submit(self._save, wanted)

    def _save(self, wanted: WantedThing) -> None:
        """In the thread that has the disk."""
        try:
            self._files.save(wanted)
        except OSError as error:
            self._unsaved.add(wanted.key)
            log.failure("wanted.not_kept", error, thing=str(wanted.key))
        else:
            self._unsaved.discard(wanted.key)

    def _forget(self, key: ThingKey) -> None:
        self._hearing.forget(key)
        self._outbox.forget(key)
        self._disk.submit(self._files.forget, key)

    async def _in_thread(self, work: Callable[..., Result], *args: object) -> Result:
        return await asyncio.get_running_loop().run_in_executor(self._threads, work, *args)


def _report(kind: AnyKind, wanted: WantedThing, seen: Any) -> ThingReport:
    if wanted.fault and not wanted.is_absent:
        return _fault(wanted, wanted.fault)
    key, generation = wanted.key, wanted.generation
    if wanted.is_absent and seen is None:
        return ThingReport(kind=key.kind, id=key.id, generation=generation, absent=True)
    status = msgspec.Raw(msgspec.json.encode(kind.status(seen)))
    return ThingReport(kind=key.kind, id=key.id, generation=generation, status=status)


def _fault(wanted: WantedThing, fault: str) -> ThingReport:
    key = wanted.key
    return ThingReport(kind=key.kind, id=key.id, generation=wanted.generation, fault=fault)


async def wait(event: asyncio.Event, timeout_s: float) -> None:
    """Until it is set or the time is up."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(timeout_s):
            await event.wait()
