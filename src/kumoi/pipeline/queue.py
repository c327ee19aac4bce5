"""Whose turn it is: runs go on at once up to a limit, of all projects and of each.

Called where a run begins (new_run.py) and by its flow while it waits (run.py). `order` and `standing` are
pure. The project that has fewest runs going on is next, with its oldest one first.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from sqlalchemy.engine import Connection

from kumoi.config import CloudSettings
from kumoi.engine import flow as flows
from kumoi.pipeline.store import run
from kumoi.pipeline.store.run import Run, RunStatus

WOKEN_MAX = 10


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a run stands that waits: `place` counts from 1. `why` is what it waits for."""

    place: int
    of: int
    why: str

    def __str__(self) -> str:
        return f"its turn, as number {self.place} of {self.of}: {self.why}"


def order(running: Sequence[Run]) -> list[Run]:
    """The queued ones, in the order of their turns. `running` are all runs that have not ended, oldest
    first.
    """
    going = Counter(each.project_id for each in running if not each.is_queued)
    waiting = [each for each in running if each.is_queued]
    found: list[Run] = []
    while waiting:
        first = min(waiting, key=lambda each: going[each.project_id])  # The oldest of those.
        waiting.remove(first)
        going[first.project_id] += 1
        found.append(first)
    return found


def standing(settings: CloudSettings, running: Sequence[Run], id: str) -> Standing | None:
    """None where that queued run may go on."""
    going = Counter(each.project_id for each in running if not each.is_queued)
    total, most, each_most = sum(going.values()), settings.pipeline_runs, settings.project_runs
    waiting = order(running)
    mine = next(each for each in waiting if each.id == id)
    ahead: list[Run] = []
    for each in waiting:
        fits = total < most and going[each.project_id] < each_most
        if fits:
            total += 1
            going[each.project_id] += 1
        if each.id == id:
            if fits:
                return None
            break
        if not fits:
            ahead.append(each)
    if going[mine.project_id] >= each_most:
        own = [each for each in waiting if each.project_id == mine.project_id]
        place = sum(each.project_id == mine.project_id for each in ahead) + 1
        why = f"this project has {going[mine.project_id]} runs going on, as many as it may at once"
        return Standing(place, len(own), f"{why} (project_runs)")
    why = f"{total} runs go on, as many as the pipeline takes at once (pipeline_runs)"
    return Standing(len(ahead) + 1, len(waiting), why)


def enter(connection: Connection, settings: CloudSettings, new: Run) -> Run:
    """A run that is about to be added: it goes on, or it is queued. The branch's older ones, which it
    replaces, are cancelled, and their places become its own.
    """
    older = [each for each in run.list_older(connection, new) if each.status == RunStatus.RUNNING]
    for each in older:
        flows.cancel(connection, each.id, f"run {new.id} is newer")
    if any(not each.is_queued for each in older):
        return replace(new, admitted_at=new.created_at)
    queued = replace(new, is_queued=True)
    replaced = {each.id for each in older}
    running = [each for each in run.list_running(connection) if each.id not in replaced]
    stands = standing(settings, [*running, queued], new.id)
    if stands is not None:
        return replace(queued, waits_for=str(stands))
    return replace(new, admitted_at=new.created_at)


def ask(connection: Connection, settings: CloudSettings, id: str, now: datetime) -> Standing | None:
    """None: its turn has come, and it has been admitted."""
    found = standing(settings, run.list_running(connection), id)
    if found is None:
        run.admit(connection, id, now)
    return found


def wake_next(connection: Connection) -> None:
    """A run has ended: the first ones that wait look again."""
    waiting = order(run.list_running(connection))
    projects: set[str] = set()
    for each in waiting:
        if each.project_id not in projects:
            projects.add(each.project_id)
            flows.wake(connection, each.id)
        if len(projects) >= WOKEN_MAX:
            return
