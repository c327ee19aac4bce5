"""Whether a host is lost, and whose servers are moved."""

from __future__ import annotations

from typing import Any

import pytest

from kumoi.cloud.reconcilers.healing_plan import HostSight, PeerWord, plan

SILENT = (PeerWord("b", reached=False, tunnel="down"), PeerWord("c", reached=False, tunnel="down"))


def lost(**changes: Any) -> HostSight:
    values: dict[str, Any] = {
        "id": "a", "absent_s": 3.0, "is_heard": False, "words": SILENT, "healable": 2, "asked_s_ago": 1.0,
    }  # fmt: skip
    return HostSight(**(values | changes))


def well(name: str) -> HostSight:
    return HostSight(id=name, absent_s=None, is_heard=True)


OTHERS = [well("b"), well("c")]


def test_a_host_that_is_lost_is_healed_and_it_is_said_on_whose_word() -> None:
    found = plan([lost(), *OTHERS], is_writable=True)
    assert found.heal == "a"
    assert found.said == {"lease": "none for 3 s", "tunnels": "down", "peers": "reached by none"}


@pytest.mark.parametrize(
    "words",
    [
        (PeerWord("b", reached=False, tunnel=""), PeerWord("c", reached=False, tunnel="")),
        (PeerWord("b", reached=True, tunnel="down"), PeerWord("c", reached=True, tunnel="down")),
    ],
    ids=["peers", "tunnels"],
)
def test_the_lease_and_one_more_are_enough(words: tuple[PeerWord, ...]) -> None:
    assert plan([lost(words=words), *OTHERS], is_writable=True).heal == "a"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"absent_s": 2.9}, ""),
        ({"words": ()}, "too few others have said"),
        ({"words": (PeerWord("b", reached=False),)}, "too few others have said"),
        ({"words": (PeerWord("b", reached=False, tunnel="down"),)}, "too few others have said"),
        (
            {"words": (PeerWord("b", reached=True, tunnel="down"), PeerWord("c", reached=True))},
            "is reached by b, c: its fence does not run",
        ),
        (
            {"words": (PeerWord("b", reached=True, tunnel="up"), PeerWord("c", reached=False))},
            "is reached by b: its fence does not run",
        ),
        ({"healable": 0, "waiting": 1}, "its servers wait for it, or for `kumoi host heal a`"),
    ],
)
def test_nothing_is_moved_on_one_word_alone(changes: dict[str, Any], words: str) -> None:
    found = plan([lost(**changes), *OTHERS], is_writable=True)
    assert found.heal is None
    assert words in found.words


def test_a_host_that_has_its_lease_is_not_lost_whoever_says_so() -> None:
    assert plan([lost(absent_s=None), *OTHERS], is_writable=True).heal is None


def test_nothing_is_moved_before_the_control_plane_has_been_writable_for_long() -> None:
    found = plan([lost(), *OTHERS], is_writable=False)
    assert (found.heal, found.ask) == (None, ())
    assert found.words.startswith("waits")


def test_when_half_of_the_hosts_are_gone_the_healer_stops() -> None:
    found = plan([lost(), lost(id="b"), well("c"), well("d")], is_writable=True)
    assert found.heal is None
    assert "2 of 4 hosts are gone (a, b)" in found.words


def test_one_host_after_the_other() -> None:
    found = plan([lost(id="b"), lost(), *map(well, "cdefg")], is_writable=True)
    assert found.heal == "b"


def test_others_are_asked_again_after_a_while() -> None:
    asked = [
        plan([lost(asked_s_ago=ago), *OTHERS], is_writable=True).ask for ago in (None, 3.9, 4.0)
    ]
    assert asked == [("a",), (), ("a",)]


def test_a_host_whose_servers_it_does_not_stop_concerns_nobody() -> None:
    found = plan([lost(healable=0), *OTHERS], is_writable=True)
    assert (found.heal, found.ask, found.words) == (None, (), "")
