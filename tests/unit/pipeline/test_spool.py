"""What git's answers may take of the disk."""

from __future__ import annotations

from pathlib import Path

import pytest

from kumoi.base.errors import Transient
from kumoi.pipeline import spool as module
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


def test_what_a_project_sends_at_once_has_a_bound_and_another_projects_is_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who sent 128 pushes slowly, of 512 MiB each, had the disk."""
    monkeypatch.setattr(module, "SENT_MAX_BYTES", 10)
    spool = Spool(tmp_path / "spool")
    with spool.sent("p1") as first, spool.sent("p2") as others:
        first.write(b"123456")
        others.write(b"1234567890")
        with spool.sent("p1") as second:
            with pytest.raises(Transient, match="pushes of this project send more"):
                second.write(b"12345")
            second.write(b"1234")
            second.file.seek(0)
            assert second.file.read() == b"1234"
    with spool.sent("p1") as again:
        again.write(b"1234567890")
    assert list((tmp_path / "spool").iterdir()) == []


def test_an_answer_that_nobody_reads_holds_no_place(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool")
    for _ in range(2 * ANSWERS_MAX):
        spool.answer("p1")
    assert list((tmp_path / "spool").iterdir()) == []
