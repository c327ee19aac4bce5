"""What a control host fetches and removes, and what has too few copies: golden texts, which KUMOI_GOLDEN=write renews."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from kumoi.hosts.cluster import copy_plan
from kumoi.hosts.cluster.copy_plan import Copies, CopyKind, CopyName, CopyState, Wanted

GOLDEN = Path(__file__).parent / "golden" / "copy_plan.txt"
HERE, TWO, THREE = "t1-host1", "t1-host2", "t1-host3"


def image(name: str) -> CopyName:
    return CopyName(CopyKind.IMAGE, name)


def pushed(name: str) -> CopyName:
    return CopyName(CopyKind.REPOSITORY, f"p/{name}")


def wanted(number: int, on: str = "", id: str = "r") -> Wanted:
    return Wanted(CopyState(id, number), on)


def at(number: int, id: str = "r") -> CopyState:
    return CopyState(id, number)


WHOLE = CopyState()
APP = pushed("app")
CASES: dict[str, tuple[dict[CopyName, Wanted], Copies, dict[str, Copies]]] = {
    "nothing is named and nothing is here": ({}, {}, {}),
    "an image that others have is taken from any of them": (
        {image("aa"): Wanted(), image("bb"): Wanted()},
        {image("bb"): WHOLE},
        {TWO: {image("aa"): WHOLE}, THREE: {image("aa"): WHOLE, image("bb"): WHOLE}},
    ),
    "an image that nobody has waits": ({image("aa"): Wanted()}, {}, {TWO: {}}),
    "an image that no row names goes, and others' do not count": (
        {},
        {image("aa"): WHOLE},
        {TWO: {image("aa"): WHOLE, image("bb"): WHOLE}},
    ),
    "a repository is taken first from who changed it last": (
        {APP: wanted(4, THREE)},
        {APP: at(2)},
        {TWO: {APP: at(4)}, THREE: {APP: at(4)}},
    ),
    "who has more comes before who changed it last": (
        {APP: wanted(5, THREE)},
        {APP: at(2)},
        {TWO: {APP: at(4)}, THREE: {APP: at(3)}},
    ),
    "a change that is being made is taken when others see it": (
        {APP: wanted(5, TWO)},
        {APP: at(4)},
        {TWO: {APP: at(5)}, THREE: {APP: at(4)}},
    ),
    "as new as the row and as others is left alone": (
        {APP: wanted(4, TWO)},
        {APP: at(4)},
        {TWO: {APP: at(4)}},
    ),
    "one that is lost here is taken back by who changed it last": (
        {APP: wanted(4, HERE)},
        {},
        {TWO: {APP: at(4)}, THREE: {APP: at(2)}},
    ),
    "one from before notes were taken is as it should be while nothing was changed": (
        {APP: wanted(0)},
        {APP: CopyState()},
        {TWO: {}},
    ),
    "one from before notes were taken is behind afterwards": (
        {APP: wanted(2, TWO)},
        {APP: CopyState()},
        {TWO: {APP: at(2)}},
    ),
    "an earlier one of the name is no copy, here or elsewhere": (
        {APP: wanted(0, id="new")},
        {APP: at(8, id="old")},
        {TWO: {APP: at(8, id="old")}, THREE: {APP: at(0, id="new")}},
    ),
    "a copy that is being made is none": (
        {APP: wanted(0)},
        {APP: at(-1)},
        {TWO: {APP: at(0)}, THREE: {APP: at(-1)}},
    ),
    "a repository that no row names goes": ({}, {APP: at(6)}, {TWO: {APP: at(6)}}),
}


def text() -> str:
    parts = []
    for name, (named, here, others) in CASES.items():
        actions = [f"  {action}" for action in copy_plan.plan(named, here, others)]
        parts.append("\n".join([name, *(actions or ["  nothing"])]))
    return "\n\n".join(parts) + "\n"


def test_a_plan_is_as_it_was_reviewed() -> None:
    if os.environ.get("KUMOI_GOLDEN") == "write":
        GOLDEN.write_text(text())
    assert text() == GOLDEN.read_text()


@pytest.mark.parametrize("name", CASES)
def test_nobody_is_asked_only_where_nothing_would_be_taken(name: str) -> None:
    named, here, others = CASES[name]
    if copy_plan.is_complete(named, here):
        taken = [one for one in copy_plan.plan(named, here, others) if hasattr(one, "sources")]
        assert taken == []


def test_what_every_host_has_is_no_shortage_and_the_rarest_comes_first() -> None:
    named = {
        image("aa"): Wanted(),
        image("bb"): Wanted(),
        APP: wanted(5, HERE),
        image("cc"): Wanted(),
    }
    copies: dict[str, Copies] = {
        HERE: {image("aa"): WHOLE, image("bb"): WHOLE, APP: at(5)},
        TWO: {image("aa"): WHOLE, APP: at(4)},  # All that was acknowledged.
        THREE: {image("aa"): WHOLE, APP: at(2)},
    }
    found = copy_plan.shortages(named, copies, (HERE, TWO, THREE))
    assert [(each.copy, each.held) for each in found] == [
        (image("cc"), ()),
        (image("bb"), (HERE,)),
        (APP, (HERE, TWO)),
    ]


def test_a_host_that_does_not_answer_has_no_copy() -> None:
    found = copy_plan.shortages({image("aa"): Wanted()}, {HERE: {image("aa"): WHOLE}}, (HERE, TWO))
    assert [each.held for each in found] == [(HERE,)]
