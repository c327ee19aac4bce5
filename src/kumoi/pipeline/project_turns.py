"""Whose turn it is to have its git hosts asked: one question at a time for each project, and some projects at
a time. A host that takes its time keeps its own project waiting, and nobody else's.

The rounds of fetch.py and commit_status.py give what is due and do not wait for it; what has found no turn is
given again by the next round, which comes when a turn ends.
"""

from __future__ import annotations

import contextvars
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from kumoi.base import log
from kumoi.base.clock import Clock
from kumoi.engine.loop import BACKOFF, Poke

PROJECTS_MAX = 16  # At a time. Their threads wait for the network.

Work = Callable[[], None]


@dataclass(slots=True)
class _Project:
    """`last` is the number of its last turn. After so many failures in a row it has none until then, by the
    monotonic clock.
    """

    last: int
    has_turn: bool = False
    failures: int = 0
    until_s: float = 0.0


class ProjectTurns:
    """Threads, one for each project that has its turn. A process does not wait for them when it ends: all
    that they do may be cut off.
    """

    def __init__(self, clock: Clock, most: int = PROJECTS_MAX) -> None:
        self.poke = Poke()
        self._clock = clock
        self._most = most
        self._projects: dict[str, _Project] = {}
        self._lock = threading.Lock()
        self._turns = 0

    def give(self, due: Mapping[str, Work]) -> None:
        """Begin the work of projects that have no turn now, of those first that have had none for longest."""
        with self._lock:
            for key in self._begin(due):
                context = contextvars.copy_context()
                threading.Thread(
                    target=context.run, args=(self._do, key, due[key]), daemon=True
                ).start()

    def _begin(self, due: Mapping[str, Work]) -> list[str]:
        self._projects = {
            key: each for key, each in self._projects.items() if each.has_turn or key in due
        }
        known = {key: self._projects.setdefault(key, _Project(self._turns)) for key in due}
        now_s = self._clock.monotonic()
        may = [key for key in due if not known[key].has_turn and known[key].until_s <= now_s]
        free = self._most - sum(each.has_turn for each in self._projects.values())
        begun = sorted(may, key=lambda key: known[key].last)[:free]
        for key in begun:
            self._turns += 1
            known[key].last, known[key].has_turn = self._turns, True
        return begun

    def _do(self, key: str, work: Work) -> None:
        project = self._projects[key]
        failures = 0
        try:
            work()
        except Exception as error:  # noqa: BLE001 - a thread's outermost place, as engine/loop.py
            failures = project.failures + 1
            log.failure("project.turn_failed", error, project=key)
        with self._lock:
            project.failures = failures
            if failures:
                project.until_s = self._clock.monotonic() + BACKOFF.after(failures)
            project.has_turn = False
        self.poke()
