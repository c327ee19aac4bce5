"""Turns of projects, whose git hosts take their time."""

from __future__ import annotations

import threading
from collections.abc import Callable

from kumoi.base.clock import SetClock
from kumoi.engine.loop import BACKOFF, Poke
from kumoi.pipeline.project_turns import ProjectTurns

WITHIN_S = 30.0


class Ends(Poke):
    """Of turns: they are counted."""

    def __init__(self) -> None:
        super().__init__()
        self._ended = threading.Semaphore(0)

    def __call__(self) -> None:
        self._ended.release()

    def wait_for(self, count: int) -> None:
        for _ in range(count):
            assert self._ended.acquire(timeout=WITHIN_S)


class Asked:
    """Work for projects: each is at its host until that answers."""

    def __init__(self, most: int) -> None:
        self.clock = SetClock()
        self.turns = ProjectTurns(self.clock, most)
        self.ends = self.turns.poke = Ends()
        self.began: list[str] = []
        self.answers: dict[str, threading.Event] = {}

    def give(self, projects: str, *, begins: int) -> None:
        """A letter for each. Waits until so many have begun."""
        begun = threading.Semaphore(0)
        self.turns.give({each: self._at_host_of(each, begun) for each in projects})
        for _ in range(begins):
            assert begun.acquire(timeout=WITHIN_S)

    def answer(self, project: str) -> None:
        self.answers.pop(project).set()
        self.ends.wait_for(1)

    def _at_host_of(self, project: str, begun: threading.Semaphore) -> Callable[[], None]:
        def work() -> None:
            answered = self.answers[project] = threading.Event()
            self.began.append(project)
            begun.release()
            assert answered.wait(WITHIN_S)

        return work


def test_a_project_has_one_turn_at_a_time_and_another_does_not_wait_for_it() -> None:
    asked = Asked(most=4)
    asked.give("ab", begins=2)
    asked.give("abc", begins=1)
    assert sorted(asked.began) == ["a", "b", "c"]
    asked.answer("b")
    asked.give("ab", begins=1)
    for each in ("a", "b", "c"):
        asked.answer(each)
    assert (asked.began[3:], asked.answers) == (["b"], {})


def test_where_turns_are_short_the_project_that_had_none_for_longest_is_next() -> None:
    asked = Asked(most=1)
    for project in ("a", "b", "c", "a", "b"):
        asked.give("abc", begins=1)
        assert asked.began[-1] == project
        asked.give("abc", begins=0)
        asked.answer(project)
    assert asked.began == ["a", "b", "c", "a", "b"]


def test_work_that_fails_keeps_its_own_project_waiting_and_no_other() -> None:
    asked = Asked(most=2)

    def fail() -> None:
        asked.began.append("a")
        raise ValueError

    def work() -> None:
        asked.began.append("b")

    for seen in (["a", "b"], ["a", "b", "b"]):
        asked.turns.give({"a": fail, "b": work})
        asked.ends.wait_for(2 if seen == ["a", "b"] else 1)
        assert sorted(asked.began) == seen
    asked.clock.advance(BACKOFF.most_s)
    asked.turns.give({"a": fail})
    asked.ends.wait_for(1)
    assert asked.began[-1] == "a"
