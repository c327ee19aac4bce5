"""`upgrade` over several machines is killed (SIGKILL) at each of its steps, on the first host's machine or on another
one: it is gone on with by the same command, or taken back.
"""

from __future__ import annotations

import multiprocessing
import signal
import time
from collections.abc import Callable, Iterator
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest
from tests.unit.cli.upgrade_world import (
    BEFORE,
    FIRST,
    NAMES,
    TARGET,
    World,
    make_world,
    quiet,
)

from kumoi.cli import upgrade_part
from kumoi.hosts.cluster.upgrade_orders import UpgradeAction

RUN, BACK = UpgradeAction.RUN, UpgradeAction.ROLLBACK
WITHIN_S = 60.0
OF_FIRST = [
    (FIRST, point)
    for point in ("the lead is given away", f"{FIRST} begins", f"{FIRST} is done", "all are done")
]
OF_ANOTHER = [(NAMES[0], f"{NAMES[0]} {point}") for point in ("begins", "is done")]
POINTS = [*OF_FIRST, *OF_ANOTHER]
ON_THE_WAY_THERE = [
    *((who, "the release is there") for who in (FIRST, NAMES[0])),
    (FIRST, "stores are expanded"),
    *POINTS,
]
WITH_SOME_CHANGED = [OF_FIRST[0], OF_FIRST[2], OF_ANOTHER[1]]
FORK = multiprocessing.get_context("fork")


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    made = make_world(tmp_path, monkeypatch)
    monkeypatch.setattr(upgrade_part, "ASK_EVERY_S", 0.2)
    return made


class Commands:
    """One process for each machine's."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._processes: dict[str, BaseProcess] = {}

    def call(self, action: UpgradeAction, *names: str, dies_at: str = "") -> None:
        for name in names:
            self._world.dies_at = dies_at
            process = FORK.Process(target=command(self._world, action, name))
            process.start()
            self._processes[name] = process
        self._world.dies_at = ""

    def wait(self, *names: str) -> list[int | None]:
        """How they have ended."""
        deadline = time.monotonic() + WITHIN_S
        for name in names:
            self._processes[name].join(max(0.0, deadline - time.monotonic()))
        return [self._processes[name].exitcode for name in names]

    def end(self) -> None:
        for process in self._processes.values():
            process.kill()
            process.join()


def command(world: World, action: UpgradeAction, name: str) -> Callable[[], object]:
    def follow() -> None:
        upgrade_part.follow(world.cloud, world.others[name], action, quiet())

    if name != FIRST:
        return follow
    return world.run if action is RUN else world.go_back


@pytest.fixture
def commands(world: World) -> Iterator[Commands]:
    made = Commands(world)
    yield made
    made.end()


def kill(commands: Commands, action: UpgradeAction, who: str, point: str) -> None:
    """The command on that machine when it reaches that point; the others wait."""
    commands.call(action, *(name for name in (FIRST, *NAMES) if name != who))
    commands.call(action, who, dies_at=point)
    assert commands.wait(who) == [-signal.SIGKILL]


@pytest.mark.parametrize(("who", "point"), ON_THE_WAY_THERE)
def test_a_killed_run_is_gone_on_with(
    world: World, commands: Commands, who: str, point: str
) -> None:
    """By the one that was killed; the others wait for it."""
    kill(commands, RUN, who, point)
    commands.call(RUN, who)
    assert commands.wait(FIRST, *NAMES) == [0, 0, 0, 0]
    assert set(world.runs.values()) == {TARGET}


@pytest.mark.parametrize(("who", "point"), WITH_SOME_CHANGED)
def test_a_killed_run_is_taken_back(world: World, commands: Commands, who: str, point: str) -> None:
    """By `rollback` on each machine, also where the first one's own turn had not come."""
    kill(commands, RUN, who, point)
    commands.end()
    assert TARGET in world.runs.values()
    commands.call(BACK, FIRST, *NAMES)
    assert commands.wait(FIRST, *NAMES) == [0, 0, 0, 0]
    assert set(world.runs.values()) == {BEFORE}


@pytest.mark.parametrize(("who", "point"), POINTS)
def test_a_killed_rollback_is_gone_on_with(
    world: World, commands: Commands, who: str, point: str
) -> None:
    commands.call(RUN, FIRST, *NAMES)
    assert commands.wait(FIRST, *NAMES) == [0, 0, 0, 0]
    kill(commands, BACK, who, point)
    commands.call(BACK, who)
    assert commands.wait(FIRST, *NAMES) == [0, 0, 0, 0]
    assert set(world.runs.values()) == {BEFORE}
