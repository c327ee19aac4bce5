"""What docs/guide/security.md promises has a test that plays the attacker."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
GUIDE = ROOT / "docs/guide/security.md"
NO_PROMISE = "Nothing yet."
TEST = re.compile(r"tests/[\w/.]+\.py")


def sections() -> dict[str, str]:
    """Each section's text by its heading."""
    _, *parts = GUIDE.read_text().split("\n## ")
    return {head: text.strip() for head, _, text in (part.partition("\n") for part in parts)}


def test_a_section_promises_nothing_or_names_its_tests() -> None:
    untested = [
        head for head, text in sections().items() if text != NO_PROMISE and not TEST.search(text)
    ]
    assert untested == []


def test_each_test_that_the_guide_names_is_there() -> None:
    named = TEST.findall(GUIDE.read_text())
    assert [name for name in named if not (ROOT / name).is_file()] == []
    assert named
