"""What git's answers may take of the disk."""

from __future__ import annotations

from pathlib import Path

import pytest

from kumoi.base.errors import Transient
from kumoi.pipeline.spool import ANSWERS_MAX, Spool


def test_a_project_holds_so_many_answers_and_another_projects_are_its_own(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool")
    held = [spool.answer("p1") for _ in range(ANSWERS_MAX)]
    with pytest.raises(Transient, match="clones of this project"):
        spool.answer("p1")
    other = spool.answer("p2")
    held.pop().close()
    again = spool.answer("p1")
    for each in (*held, again, other):
        each.close()


def test_who_clones_keeps_nobody_from_pushing(tmp_path: Path) -> None:
    """A push was refused, in words of clones, while others of its project cloned."""
    spool = Spool(tmp_path / "spool")
    held = [spool.answer("p1") for _ in range(ANSWERS_MAX)]
    held += [spool.answer("p1", is_push=True) for _ in range(ANSWERS_MAX)]
    with pytest.raises(Transient, match="pushes of this project"):
        spool.answer("p1", is_push=True)
    held.pop().close()
    held.append(spool.answer("p1", is_push=True))
    for each in held:
        each.close()


def test_an_answer_that_nobody_reads_holds_no_place(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool")
    for _ in range(2 * ANSWERS_MAX):
        spool.answer("p1")
    assert list((tmp_path / "spool").iterdir()) == []
