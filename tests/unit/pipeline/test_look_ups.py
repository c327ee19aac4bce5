"""A name whose servers are silent keeps a thread of its own waiting, and no request's."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from kumoi.base.errors import Invalid
from kumoi.pipeline.look_ups import LookUps

SOON_S = 0.01


@pytest.fixture
def silent() -> Iterator[threading.Event]:
    answered = threading.Event()
    yield answered
    answered.set()


def nothing() -> None:
    """A name that has an address."""


def test_a_request_waits_for_a_name_for_so_long_and_its_project_asks_no_second_one(
    silent: threading.Event,
) -> None:
    look_ups = LookUps(within_s=SOON_S)
    asked = threading.Event()
    assert not look_ups.look("ada", silent.wait)
    assert not look_ups.look("ada", asked.set)
    assert not asked.is_set()


def test_names_of_all_projects_have_so_many_threads(silent: threading.Event) -> None:
    look_ups = LookUps(within_s=SOON_S, most=2)
    tried = []

    def wait() -> None:
        tried.append("a thread")
        silent.wait()

    for project_id in ("ada", "bo", "cy", "dee"):
        assert not look_ups.look(project_id, wait)
    assert len(tried) == 2


def test_what_is_known_soon_is_raised_and_the_next_is_looked_up() -> None:
    def internal() -> None:
        raise Invalid("it is at 10.0.0.1, an internal address", field="url")

    look_ups = LookUps(within_s=30)
    for _ in range(3):
        with pytest.raises(Invalid, match="internal"):
            look_ups.look("ada", internal)
        assert look_ups.look("ada", nothing)
