from __future__ import annotations

from kumoi.base.held import Held


def test_a_holder_has_no_more_than_its_most_and_others_have_their_own() -> None:
    held = Held()
    assert held.take("a", 6, most=10)
    assert not held.take("a", 5, most=10)
    assert held.of("a") == 6
    assert held.take("a", 4, most=10)
    assert held.take("b", 10, most=10)


def test_what_is_given_back_can_be_taken_again_and_nothing_is_kept_of_who_has_none() -> None:
    held = Held()
    for _ in range(2):
        assert held.take("a", 10, most=10)
        held.give_back("a", 4)
        held.give_back("a", 6)
    assert held.of("a") == 0
    assert not held._amounts


def test_whoever_is_refused_leaves_nothing() -> None:
    held = Held()
    assert not held.take("a", 11, most=10)
    assert held.take("a", 10, most=10)
