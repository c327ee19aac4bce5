"""What is wanted of a host after what was heard: cases that go from words to words."""

from __future__ import annotations

import dataclasses

import msgspec
import pytest

from kumoi.cloud.agent.hearing import Hearing, WantedThing
from kumoi.cloud.agent.trust import Trust
from kumoi.cloud.hostapi.things import (
    GENERATION_LAST,
    Thing,
    ThingKey,
    WantedThings,
    absent,
    raw,
)
from kumoi.engine.position import Position

IDS = {name: f"00000000-0000-4000-8000-{number:012d}" for number, name in enumerate("abcd")}
NAMES = {thing_id: name for name, thing_id in IDS.items()}


def key(name: str) -> ThingKey:
    return ThingKey("server", IDS[name])


def thing(name: str, generation: int = 1, spec: bytes = b"{}") -> Thing:
    return Thing(kind="server", id=IDS[name], generation=generation, spec=msgspec.Raw(spec))


def known(*things: Thing) -> dict[ThingKey, WantedThing]:
    return {item.key: WantedThing(thing=item, raw=bytes(raw(item))) for item in things}


def wanted(
    *things: Thing | bytes, complete: bool = True, epoch: str = "e", revision: int = 10
) -> WantedThings:
    words = [msgspec.Raw(item) if isinstance(item, bytes) else raw(item) for item in things]
    return WantedThings(epoch=epoch, revision=revision, complete=complete, things=words)


def after(hearing: Hearing, *heard: WantedThings) -> str:
    """Each thing with its generation, `-` before what is to go, `!` before what is unreadable; then
    what must be written and looked at, and why something was refused.
    """
    for item in heard:
        outcome = hearing.hear(item)
    things = " ".join(
        f"{'-' if item.is_absent else ''}{'' if isinstance(item.thing, Thing) else '!'}"
        f"{NAMES[item.key.id]}{item.generation}"
        for item in hearing.things.values()
    )
    written = "".join(NAMES[item.id] for item in outcome.changed)
    looked = "".join(NAMES[item.id] for item in outcome.look_at)
    refused = "".join(f" refused: {item.why}" for item in outcome.refused)
    return f"{things} | write {written} look {looked}{refused}"


TRUST = Trust(epoch="e", revision=9)
NEWER = b'{"kind": "server", "id": "%s", "generation": "eleven"}' % IDS["a"].encode()


@pytest.mark.parametrize(
    ("rule", "here", "heard", "result"),
    [
        ("a new thing is kept and looked at", [], wanted(thing("a")), "a1 | write a look a"),
        ("the same again is only looked at", [thing("a")], wanted(thing("a")), "a1 | write  look a"),
        ("a newer generation is kept", [thing("a")], wanted(thing("a", 2)), "a2 | write a look a"),
        ("so is a change without one", [thing("a")], wanted(thing("a", 1, b'{"x": 1}')),
         "a1 | write a look a"),
        ("an older one is refused", [thing("a", 5)], wanted(thing("a", 4)),
         "a5 | write  look  refused: generation 5 is known, this is 4"),
        ("what a complete list does not name is to go", [thing("a"), thing("b")],
         wanted(thing("a")), "a1 -b1 | write b look ab"),
        ("what an incomplete one does not name stays", [thing("a"), thing("b")],
         wanted(thing("a", 2), complete=False), "a2 b1 | write a look a"),
        ("what it says is absent is to go", [thing("a")],
         wanted(absent(key("a"), 2), complete=False), "-a2 | write a look a"),
        ("one that cannot be read stays, and is listed", [thing("a", 2), thing("b")],
         wanted(NEWER, thing("b")), "!a0 b1 | write a look ab"),
        ("a list with one that has no name is not complete", [thing("a")], wanted(b'{"x": 1}'),
         "a1 | write  look  refused: a thing does not say which it is"),
        ("a name that would be a path is refused", [],
         wanted(Thing(kind="server", id="../x", generation=1)),
         " | write  look  refused: its name is no kind and UUID"),
        ("a kind that would be a path too", [],
         wanted(Thing(kind="..", id=IDS["a"], generation=1)),
         " | write  look  refused: its name is no kind and UUID"),
    ],
)  # fmt: skip
def test_what_is_heard(rule: str, here: list[Thing], heard: WantedThings, result: str) -> None:
    assert after(Hearing(known(*here), TRUST), heard) == result, rule


@pytest.mark.parametrize(
    ("rule", "heard", "result"),
    [
        ("another epoch that knows all is trusted", [wanted(thing("a"), thing("b"), epoch="f")],
         "a1 b1 | write  look ab"),
        ("one that does not know all takes nothing along", [wanted(thing("a"), epoch="f")],
         "a1 b1 | write  look a"),
        ("nor does a revision that went back", [wanted(thing("a"), revision=3)],
         "a1 b1 | write  look a"),
        ("nor one that tells to remove what it does not know",
         [wanted(epoch="f"), wanted(absent(key("a"), GENERATION_LAST), epoch="f", complete=False)],
         "a1 b1 | write  look  refused: its store is doubted"),
        ("it goes on with what it knows",
         [wanted(epoch="f"), wanted(thing("c"), epoch="f", complete=False)],
         "a1 b1 c1 | write c look c"),
        ("a store that knows all again is trusted again",
         [wanted(epoch="f"), wanted(thing("a"), thing("b")), wanted(thing("b"))],
         "-a1 b1 | write a look ba"),
    ],
)  # fmt: skip
def test_a_store_that_lost_what_it_knew(rule: str, heard: list[WantedThings], result: str) -> None:
    here = known(thing("a"), thing("b"))
    assert after(Hearing(here, TRUST), *heard) == result, rule


def test_words_of_another_release_stay_with_a_thing_that_changes() -> None:
    hearing = Hearing({}, Trust())
    hearing.hear(wanted(thing("a")))
    rest = {"since": msgspec.Raw(b"1")}
    hearing.things[key("a")] = dataclasses.replace(hearing.things[key("a")], unknown=rest)
    hearing.hear(wanted(thing("a", 2), complete=False))
    assert (hearing.things[key("a")].generation, hearing.things[key("a")].unknown) == (2, rest)


def test_a_new_doubt_asks_for_everything() -> None:
    hearing = Hearing(known(thing("a")), TRUST)
    hearing.hear(wanted(complete=False, revision=11))
    assert hearing.since == Position("e", 11)
    hearing.hear(wanted(complete=False, epoch="f", revision=12))
    assert hearing.since == Position()


def test_what_nobody_wants_goes_only_after_a_list_that_is_believed() -> None:
    hearing = Hearing({}, Trust())
    assert hearing.add_strays([key("a")]) == []
    hearing.hear(wanted())
    assert hearing.add_strays([key("a")]) == [key("a")]
    assert hearing.things[key("a")].is_absent


def test_what_has_failed_meanwhile_wanted_otherwise_has_not() -> None:
    hearing = Hearing({}, Trust())
    hearing.hear(wanted(thing("a")))
    tried = hearing.things[key("a")]
    hearing.hear(wanted(thing("a", 2), complete=False))
    assert hearing.fail(tried, "no room") is None
    failed = hearing.fail(hearing.things[key("a")], "no room")
    assert failed
    assert hearing.things[key("a")].fault == "no room"
