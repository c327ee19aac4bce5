"""What fails of others' tests stands in lists with reasons, and the guide has their numbers."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from tests.interop import listed

GUIDE = Path(__file__).parents[2] / "docs/guide/interop.md"
SAID = {"tempest.txt": "| all | 909 | 11 | 92 |", "keystone.txt": "113 failed"}


def names(file: Path) -> list[str]:
    return [line for line in file.read_text().splitlines() if line and not line.startswith("#")]


def test_each_test_that_fails_is_listed_once_and_with_a_reason() -> None:
    found = Counter(name for file in listed.HERE.glob("*.txt") for name in names(file))
    assert [name for name, times in found.items() if times > 1] == []
    assert listed.reasons().keys() == found.keys()
    assert all(listed.reasons().values())


def test_the_guide_says_how_many() -> None:
    for name, said in SAID.items():
        assert str(len(names(listed.HERE / name))) in said
        assert said in GUIDE.read_text()


def test_a_failure_that_is_not_listed_is_named() -> None:
    known = next(iter(listed.reasons()))
    assert listed.unlisted([f"{known}[id-1]", "tempest.api.new.test_new[id-2,smoke]"]) == [
        "tempest.api.new.test_new"
    ]
