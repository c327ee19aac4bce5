"""Makes the host match what is wanted of it: one loop for all kinds of thing.

Level-driven. Whatever wakes it (a message, a process that ended, its own look around every ten
seconds) only names a thing to look at. `_tend` observes that thing and acts: one task per thing, a
bounded number of attempts at a time, and a failed one again later. What to do is for the kind to say
(kinds/interface.py).

A thing whose kind, spec or driver this host does not understand is reported as such and left as it
is: it may be running.
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
from kumoi.cloud.agent.hearing import Hearing, HearingOutcome, WantedThing
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
class _Progress:
    """How far the task of one thing has come. `attempts` are those that failed at `generation`."""

    woken: asyncio.Event = field(default_factory=asyncio.Event)
    attempts: int = 0
    generation: int = 0


@dataclass(slots=True)
class _Attempt:
    """One attempt at one thing; with a spec of None to delete it. `seen` is what was there before
    the actions; without any, nothing was begun.
    """

    kind: AnyKind
    wanted: WantedThing
    spec: Any
    seen: Any = None
    actions: Sequence[Any] = ()


class Tending:
    """`kinds` are those that this host knows, by name. While `allowed` is not set, no attempt is
    begun.
    """

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
        self._progress: dict[ThingKey, _Progress] = {}
        self._ends = EndWatch(self.wake)
        self._slots = asyncio.Semaphore(TOGETHER_MAX)
        self._threads = ThreadPoolExecutor(TOGETHER_MAX + 2, thread_name_prefix="agent")
        self._disk = ThreadPoolExecutor(1, thread_name_prefix="files")
        self._group = asyncio.TaskGroup()

    async def run(self, asked: asyncio.Event) -> None:
        """Until cancelled. Things keep running. It does not look around before the control plane was
        asked once: the host's own copy of what is wanted may be old.
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

    def take(self, outcome: HearingOutcome) -> None:
        """Write down what changed, and look at what a message was about."""
        for key in outcome.changed:
            self._save(self._hearing.things[key])
        for key in outcome.look_at:
            with contextlib.suppress(NotUnderstood):
                kind, spec = self._read(self._hearing.things[key])
                if spec is not None:
                    kind.announce(spec)
            self.wake(key)

    def wake(self, key: ThingKey) -> None:
        """Look at this thing now, or as soon as the attempt that is under way ends."""
        if key not in self._hearing.things:
            return
        if key not in self._progress:
            self._progress[key] = _Progress()
            self._group.create_task(self._tend(key))
        self._progress[key].woken.set()

    def delivered(self, reports: Sequence[ThingReport]) -> None:
        """The control plane has received them: a thing reported absent need not be remembered."""
        for report in reports:
            wanted = self._hearing.things.get(report.key)
            if report.absent and wanted and wanted.is_absent:
                self._forget(report.key)

    # Looking around.

    async def _look_around(self) -> None:
        for key in self._unsaved & self._hearing.things.keys():
            self._save(self._hearing.things[key])
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
        """Wake the things of a kind that are not as wanted, not as reported, or not wanted at all."""
        for key, wanted in list(self._hearing.things.items()):
            if key.kind == name and not self._is_converged(wanted, seen.get(key.id)):
                self.wake(key)
        for key in self._hearing.add_strays(ThingKey(name, thing_id) for thing_id in seen):
            log.warning("thing.unknown", thing=str(key))
            self.wake(key)

    def _is_converged(self, wanted: WantedThing, seen: Any) -> bool:
        """Whether it is as wanted, and reported so."""
        try:
            kind, spec = self._read(wanted)
        except NotUnderstood as why:
            return self._outbox.is_latest(_fault_report(wanted, why.message))
        differs = seen is not None if spec is None else not wanted.fault and kind.plan(spec, seen)
        if differs:
            return False
        if seen is not None:
            self._ends.watch(wanted.key, kind.watched_pid(seen))
        return wanted.unlisted or self._outbox.is_latest(_report(kind, wanted, seen))

    def _specs(self, name: str) -> list[Any]:
        """Specs of the things of that kind that are wanted and understood."""
        specs = []
        for key, wanted in list(self._hearing.things.items()):
            if key.kind == name:
                with contextlib.suppress(NotUnderstood):
                    _, spec = self._read(wanted)
                    if spec is not None:
                        specs.append(spec)
        return specs

    # Converging one thing.

    async def _tend(self, key: ThingKey) -> None:
        """Attempt after attempt, until the thing is as wanted or has failed."""
        progress = self._progress[key]
        again_s: float | None = None
        try:
            while progress.woken.is_set() or again_s is not None:
                if again_s is not None:
                    await wait(progress.woken, again_s)
                await self.allowed.wait()
                progress.woken.clear()
                wanted = self._hearing.things.get(key)
                if wanted is None:
                    return
                with log.bound(thing=str(key), generation=wanted.generation):
                    async with self._slots:
                        again_s = await self._attempt(wanted, progress)
        finally:
            self._progress.pop(key, None)

    async def _attempt(self, wanted: WantedThing, progress: _Progress) -> float | None:
        """How long to wait before the next attempt; None when nothing is left to do."""
        if progress.generation != wanted.generation:
            progress.generation, progress.attempts = wanted.generation, 0
        try:
            kind, spec = self._read(wanted)
        except NotUnderstood as why:
            self._put_report(_fault_report(wanted, why.message), wanted)
            return None
        attempt = _Attempt(kind, wanted, spec)
        try:
            seen = await self._converge(attempt)
        except Exception as error:  # noqa: BLE001 - the agent's loop: the outermost place
            return await self._retry_or_fail(attempt, progress, error)
        progress.attempts = 0
        self._put_report(_report(kind, wanted, seen), wanted)
        if seen is not None:
            self._ends.watch(wanted.key, kind.watched_pid(seen))
        return None

    async def _converge(self, attempt: _Attempt) -> Any:
        """Make the thing as wanted; gives what is there in the end."""
        kind, spec, thing_id = attempt.kind, attempt.spec, attempt.wanted.key.id
        began = self._clock.monotonic()
        seen = await self._in_thread(kind.observe, thing_id, spec)
        if spec is None:
            if seen is None:
                return None
            await self._in_thread(kind.delete, thing_id)
            done = ["delete"]
        else:
            attempt.seen = seen
            attempt.actions = () if attempt.wanted.fault else kind.plan(spec, seen)
            if attempt.actions and not kind.is_prepared(spec, attempt.actions):
                await self._prepare(attempt)
                seen = attempt.seen
            if not attempt.actions:
                return seen
            await self._in_thread(kind.apply, spec, attempt.actions)
            done = [str(action) for action in attempt.actions]
        seen = await self._in_thread(kind.observe, thing_id, spec)
        seconds = round(self._clock.monotonic() - began, 4)
        log.event("thing.converged", actions=done, seconds=seconds)
        return seen

    async def _prepare(self, attempt: _Attempt) -> None:
        """Without a slot: what a project's things wait for, such as an image to be unpacked, keeps no other
        project's waiting. Then the host is looked at anew.
        """
        kind, spec = attempt.kind, attempt.spec
        self._slots.release()
        try:
            await kind.prepare(spec, attempt.actions)
        finally:
            await self._slots.acquire()
        attempt.seen = await self._in_thread(kind.observe, attempt.wanted.key.id, spec)
        attempt.actions = kind.plan(spec, attempt.seen)

    async def _retry_or_fail(
        self, attempt: _Attempt, progress: _Progress, error: Exception
    ) -> float | None:
        """How long to wait before the next attempt; None after the last. A deletion has no last, nor
        has an observation: what could not be observed may be as wanted.
        """
        kind, wanted = attempt.kind, attempt.wanted
        progress.attempts += 1
        log.failure("thing.not_converged", error, attempt=progress.attempts)
        hopeless = isinstance(error, Permanent) or progress.attempts >= ATTEMPTS_MAX
        if not hopeless or not attempt.actions:
            asked_s = error.retry_after_s if isinstance(error, Transient) else None
            return RETRY.after(progress.attempts, asked_s=asked_s)
        log.event("thing.failed")
        seen = attempt.seen
        try:
            await self._in_thread(kind.take_back, attempt.spec, seen, attempt.actions)
            seen = await self._in_thread(kind.observe, wanted.key.id, attempt.spec)
        except Exception as cause:  # noqa: BLE001 - the agent's loop: the outermost place
            log.failure("thing.not_taken_back", cause)
        fault = error.message if isinstance(error, KumoiError) else "an internal error of the host"
        if failed := self._hearing.fail(wanted, fault):
            self._save(failed)
            self._put_report(_report(kind, failed, seen), failed)
            if seen is not None:
                self._ends.watch(failed.key, kind.watched_pid(seen))
        return None

    def _put_report(self, report: ThingReport, wanted: WantedThing) -> None:
        """To the control plane. Of a thing that it did not name it may wait to hear that it is gone: as a server's that
        moved away, of which this agent, or the one before, was told while it was killed.
        """
        if report.absent or not wanted.unlisted:
            self._outbox.put(report)

    def _read(self, wanted: WantedThing) -> tuple[AnyKind, Any]:
        """A thing's kind and its spec, which is None when it must go. Raises NotUnderstood."""
        kind = self._kinds.get(wanted.key.kind)
        try:
            if kind is None:
                raise NotUnderstood(f"there is no kind of thing called {wanted.key.kind}")
            if wanted.is_absent:
                return kind, None
            if isinstance(wanted.thing, Unreadable):
                raise NotUnderstood(wanted.thing.why)
            return kind, kind.read(wanted.thing)
        except NotUnderstood as why:
            release = kumoi.__version__
            words = f"not understood by this host, which is of release {release}: {why.message}"
            raise NotUnderstood(words) from why

    # The host's copy of what is wanted, written by a thread of its own.

    def _save(self, wanted: WantedThing) -> None:
        def write() -> None:
            try:
                self._files.save(wanted)
            except OSError as error:
                self._unsaved.add(wanted.key)
                log.failure("wanted.not_kept", error, thing=str(wanted.key))
            else:
                self._unsaved.discard(wanted.key)

        self._disk.submit(write)

    def _forget(self, key: ThingKey) -> None:
        self._hearing.forget(key)
        self._outbox.forget(key)
        self._disk.submit(self._files.forget, key)

    async def _in_thread(self, work: Callable[..., Result], *args: object) -> Result:
        return await asyncio.get_running_loop().run_in_executor(self._threads, work, *args)


def _report(kind: AnyKind, wanted: WantedThing, seen: Any) -> ThingReport:
    """Of one that failed, with what there is of it nevertheless."""
    fault = "" if wanted.is_absent else wanted.fault
    key, generation = wanted.key, wanted.generation
    if seen is None and fault:
        return _fault_report(wanted, fault)
    if seen is None and wanted.is_absent:
        return ThingReport(kind=key.kind, id=key.id, generation=generation, absent=True)
    status = msgspec.Raw(msgspec.json.encode(kind.status(seen)))
    return ThingReport(kind=key.kind, id=key.id, generation=generation, fault=fault, status=status)


def _fault_report(wanted: WantedThing, fault: str) -> ThingReport:
    key = wanted.key
    return ThingReport(kind=key.kind, id=key.id, generation=wanted.generation, fault=fault)


async def wait(event: asyncio.Event, timeout_s: float) -> None:
    """Until it is set or the time is up."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(timeout_s):
            await event.wait()
