"""Keeps on this control host what the stores name and others have: a reconciler.

Each control host runs one, without a lease: its disk is nobody else's. `ImageCopies` and `RepositoryCopies`
know what a copy is; this knows who has one. What another host or a role asks for is brought at once, by the
same steps.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol, TypeVar
from weakref import WeakValueDictionary

from kumoi.base import log
from kumoi.base.errors import KumoiError, NotFound, Transient
from kumoi.engine.loop import BACKOFF
from kumoi.engine.wake import Alarm, WakeListener
from kumoi.hosts.cluster import copy_plan
from kumoi.hosts.cluster.copy_calls import CopiesClient, HeldCopies, HeldRepository
from kumoi.hosts.cluster.copy_plan import (
    Copies,
    CopyKind,
    CopyName,
    CopyState,
    RemoveCopy,
    TakeCopy,
    Wanted,
)

FAILING_MAX = 20
LOOK_EVERY_S = 15.0
PAUSE_S = 2.0  # Every write to the store is a hint, and a look costs more than most of them.

State = TypeVar("State")


class CopySource(Protocol):
    """One kind of things, on this host's disk and in its store."""

    kind: CopyKind

    def here(self) -> Copies: ...

    def wanted(self) -> Mapping[CopyName, Wanted]: ...

    def take(self, name: str, wanted: Wanted, peers: Sequence[CopiesClient], /) -> CopyState:
        """Fetch it from the first that gives it, whole. Raises Transient where none does."""

    def remove(self, name: str, state: CopyState, /) -> None:
        """Unless the store names it again."""


class _CopyTurn:
    def __init__(self) -> None:
        self.lock = threading.Lock()


class CopyKeeper:
    """`peers` are the other control hosts."""

    def __init__(self, sources: Sequence[CopySource], peers: Sequence[CopiesClient]) -> None:
        self._sources = {source.kind: source for source in sources}
        self._peers = {peer.host: peer for peer in peers}
        self._failing: dict[str, str] = {}
        self._turns: WeakValueDictionary[CopyName, _CopyTurn] = WeakValueDictionary()
        self._turns_lock = threading.Lock()

    def round(self) -> None:
        """Each thing for itself: what fails is tried again in the next round."""
        here = self._all(lambda source: source.here())
        wanted = self._all(lambda source: source.wanted())
        others: Mapping[str, Copies] = {}
        if not copy_plan.is_complete(wanted, here):
            others = self._others()
        failing: dict[str, str] = {}
        for action in copy_plan.plan(wanted, here, others):
            try:
                self._apply(action, wanted)
            except KumoiError as error:
                log.failure("copy.not_kept", error, copy=str(action.copy))
                failing[str(action.copy)] = error.message
        self._failing = dict(list(failing.items())[:FAILING_MAX])

    def held(self) -> HeldCopies:
        here = self._all(lambda source: source.here())
        repositories = {
            copy.name: HeldRepository(state.id, state.number)
            for copy, state in here.items()
            if copy.kind is CopyKind.REPOSITORY
        }
        images = sorted(copy.name for copy in here if copy.kind is CopyKind.IMAGE)
        return HeldCopies(images=images, repositories=repositories, failing=self._failing)

    def bring(self, copy: CopyName, number: int = 0) -> CopyState:
        """Have that much of it here. Raises NotFound for what no store names, and Transient."""
        source = self._sources[copy.kind]
        wanted = source.wanted().get(copy)
        if wanted is None:
            raise NotFound("copy", str(copy), message=f"no store names the {copy}")
        asked = Wanted(CopyState(wanted.state.id, number), wanted.changed_on)
        with self._turn(copy):
            found = source.here().get(copy)
            if found is not None and copy_plan.is_current(asked, found):
                return found
            peers = sorted(self._peers.values(), key=lambda peer: peer.host != wanted.changed_on)
            found = source.take(copy.name, wanted, peers)
        if not copy_plan.is_current(asked, found):
            raise Transient(f"copy the {copy}: nobody who answers has that much of it")
        log.event("copy.brought", copy=str(copy))
        return found

    def _apply(self, action: TakeCopy | RemoveCopy, wanted: Mapping[CopyName, Wanted]) -> None:
        copy = action.copy
        source = self._sources[copy.kind]
        with self._turn(copy):
            if isinstance(action, RemoveCopy):
                source.remove(copy.name, action.state)
                log.event("copy.removed", copy=str(copy))
                return
            peers = [self._peers[name] for name in action.sources]
            source.take(copy.name, wanted[copy], peers)
            log.event("copy.taken", copy=str(copy))

    def _all(self, read: Callable[[CopySource], Mapping[CopyName, State]]) -> dict[CopyName, State]:
        found: dict[CopyName, State] = {}
        for source in self._sources.values():
            found.update(read(source))
        return found

    def _others(self) -> dict[str, Copies]:
        """What those have who answer."""
        peers = list(self._peers.values())
        with ThreadPoolExecutor(max(len(peers), 1)) as asking:
            answers = list(asking.map(_ask, peers))
        return {peer.host: held.states for peer, held in zip(peers, answers, strict=True) if held}

    @contextlib.contextmanager
    def _turn(self, copy: CopyName) -> Iterator[None]:
        """One after the other works on a copy."""
        with self._turns_lock:
            turn = self._turns.setdefault(copy, _CopyTurn())
        with turn.lock:
            yield


async def follow(
    keeper: CopyKeeper,
    listen: Callable[[], WakeListener],
    *,
    prepare: Callable[[], None],
    rest: Callable[[], None],
) -> None:
    """Round after round, until cancelled; `prepare` before the first, and `rest` after each that nothing was heard
    before.
    """
    alarm = Alarm(listen)
    failures, is_prepared, is_quiet = 0, False, False
    try:
        while True:
            count = alarm.count
            try:
                if not is_prepared:
                    await asyncio.to_thread(prepare)
                    is_prepared = True
                await asyncio.to_thread(keeper.round)
                if is_quiet:
                    await asyncio.to_thread(rest)
                failures = 0
            except Exception as error:  # noqa: BLE001 - a loop's outermost place, as engine/loop.py
                failures += 1
                log.failure("copies.failed", error)
            await asyncio.sleep(BACKOFF.after(failures) if failures else PAUSE_S)
            if not failures:
                await alarm.wait(LOOK_EVERY_S, after=count)
                is_quiet = alarm.count == count
    finally:
        await alarm.close()


def _ask(peer: CopiesClient) -> HeldCopies | None:
    try:
        return peer.held()
    except KumoiError as error:
        log.failure("copy.host_silent", error, host=peer.host)
        return None
