"""Whose turn it is on a host: no project waits for all that another asked for."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

import pytest

from kumoi.cloud.agent.turns import TurnOrder, Turns


class Played:
    """Work that has begun, by its name, and is ended by the test."""

    def __init__(self, places: int = 2) -> None:
        self.turns = Turns(places)
        self.begun: list[str] = []
        self._ends: dict[str, asyncio.Future[None]] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}

    async def ask(self, *works: str) -> None:
        """Each is `owner/work`, and so is its name."""
        for name in works:
            self._ends[name] = asyncio.get_running_loop().create_future()
            self._tasks[name] = asyncio.create_task(self._work(name))
        await self._settle()

    async def end(self, name: str, error: Exception | None = None) -> None:
        if error is None:
            self._ends[name].set_result(None)
        else:
            self._ends[name].set_exception(error)
        await self._settle()

    async def cancel(self, name: str) -> None:
        self._tasks[name].cancel()
        await self._settle()

    async def _work(self, name: str) -> None:
        owner, _, work = name.partition("/")
        with contextlib.suppress(ValueError):
            async with self.turns.turn(work, owner):
                self.begun.append(name)
                await self._ends[name]

    async def _settle(self) -> None:
        for _ in range(20):
            await asyncio.sleep(0)


Steps = Callable[[Played], Awaitable[None]]


def story(steps: Steps) -> Callable[[], None]:
    def test() -> None:
        async def played() -> None:
            await asyncio.wait_for(steps(Played()), timeout=30)

        asyncio.run(played())

    test.__name__ = steps.__name__
    return test


@story
async def test_a_project_has_one_place_and_another_finds_the_other(played: Played) -> None:
    await played.ask("ada/1", "ada/2", "ada/3", "bo/4")
    assert played.begun == ["ada/1", "bo/4"]
    await played.end("bo/4")
    assert played.begun == ["ada/1", "bo/4"]
    await played.end("ada/1")
    assert played.begun == ["ada/1", "bo/4", "ada/2"]


@story
async def test_the_next_is_of_the_project_that_had_no_turn_for_longest(played: Played) -> None:
    await played.ask("ada/1", "bo/2", "bo/4", "ada/3", "cy/5")
    await played.end("bo/2")
    assert played.begun == ["ada/1", "bo/2", "cy/5"]
    await played.end("ada/1")
    assert played.begun == ["ada/1", "bo/2", "cy/5", "ada/3"]


@story
async def test_what_several_wait_for_is_done_once_and_lets_all_go_on(played: Played) -> None:
    await played.ask("ada/1", "bo/1", "cy/2", "dee/3", "ada/4")
    assert played.begun == ["ada/1", "cy/2"]
    await played.ask("ada/1b", "bo/1b")
    await played.end("ada/1")
    assert played.begun[:3] == ["ada/1", "cy/2", "bo/1"]
    assert "dee/3" in played.begun


@story
async def test_what_failed_is_tried_by_the_next_who_waits_for_it(played: Played) -> None:
    await played.ask("ada/1", "bo/1")
    await played.end("ada/1", ValueError())
    assert played.begun == ["ada/1", "bo/1"]


@pytest.mark.parametrize("waiting", [True, False])
def test_who_is_cancelled_leaves_its_place(waiting: bool) -> None:
    @story
    async def steps(played: Played) -> None:
        await played.ask("ada/1", "bo/2", "cy/3", "dee/4")
        await played.cancel("cy/3" if waiting else "ada/1")
        if waiting:
            await played.end("ada/1")
        assert played.begun[-1] == ("dee/4" if waiting else "cy/3")

    steps()


def test_in_order_each_owner_has_its_turn() -> None:
    order = TurnOrder()
    waiting = ["a1", "a2", "a3", "b1", "b2"]
    chosen = []
    while waiting:
        chosen.append(order.choose(waiting, lambda each: each[0]))
        waiting.remove(chosen[-1])
    assert chosen == ["a1", "b1", "a2", "b2", "a3"]
