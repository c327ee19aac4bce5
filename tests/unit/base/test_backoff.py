"""Pauses grow, have a bound, and are not the same for everybody."""

import pytest

from kumoi.base.backoff import Backoff

EVEN = Backoff(first_s=0.5, most_s=5, jitter=0)


def test_pauses_grow_up_to_a_bound() -> None:
    assert [EVEN.after(failures) for failures in range(7)] == [0, 0.5, 1, 2, 4, 5, 5]


def test_a_pause_has_a_bound_after_any_number_of_failures() -> None:
    assert EVEN.after(1_000_000) == 5


@pytest.mark.parametrize(("failures", "pause_s"), [(1, 0.01), (2, 0.02), (20, 5)])
def test_pauses_begin_with_what_a_failure_asked_for(failures: int, pause_s: float) -> None:
    assert EVEN.after(failures, asked_s=0.01) == pause_s


def test_chance_never_makes_a_pause_shorter_than_asked_nor_longer_than_the_bound() -> None:
    uneven = Backoff(first_s=1, most_s=8, jitter=0.25)
    for failures, least_s, most_s in ((1, 1, 1.25), (3, 4, 5), (9, 6.4, 8)):
        pauses = [uneven.after(failures) for _ in range(200)]
        assert all(least_s <= pause_s <= most_s for pause_s in pauses)
        assert len(set(pauses)) > 1
