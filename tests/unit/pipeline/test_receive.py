"""From the branches that git has to runs, each head once."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kumoi.base.clock import SetClock
from kumoi.base.errors import Invalid, TooLarge, Transient
from kumoi.base.ids import new_id
from kumoi.base.process import run as run_program
from kumoi.config import CloudSettings, HostSettings
from kumoi.engine.db import Database
from kumoi.pipeline import git
from kumoi.pipeline.push_copies import PushCopies
from kumoi.pipeline.receive import Heads
from kumoi.pipeline.repositories import Repositories, check_name
from kumoi.pipeline.repository_calls import CopyNote
from kumoi.pipeline.store import environment, repository, run
from kumoi.pipeline.store.repository import Repository
from kumoi.pipeline.store.run import Run

GOOD = "servers:\n  web: {image: debian-12, flavor: small}\n"


class Place:
    """A repository that somebody pushes to, without hooks."""

    def __init__(self, database: Database, folder: Path) -> None:
        self.database = database
        self.clock = SetClock()
        self.host = HostSettings(state_dir=str(folder / "state"))
        self.host.run_dir.mkdir(parents=True)
        self.repository = Repository(new_id(), "p1", "demo", "hello", self.clock.now())
        with database.write() as connection:
            repository.ensure(connection, self.repository)
        self.bare = Repositories(self.host).ensure("p1", "hello")
        self.work = folder / "work"
        self.work.mkdir()
        self.git("init", "--quiet", "--initial-branch=main", ".")
        self.heads = Heads(CloudSettings(), Repositories(self.host), database, self.clock)

    def git(self, *args: str) -> str:
        who = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
        return run_program(["git", *who, *args], cwd=self.work).out.strip()

    def commit(self, text: str = GOOD) -> str:
        (self.work / "kumoi.yaml").write_text(text)
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "-m", "a change")
        return self.git("rev-parse", "HEAD")

    def push(self, refspec: str = "main") -> None:
        self.git("push", "--quiet", "--force", str(self.bare), refspec)

    def look(self) -> list[str]:
        return self.heads.look(self.repository)

    def runs(self) -> list[Run]:
        with self.database.read() as connection:
            return run.list_of_project(connection, "p1")


@pytest.fixture
def place(database: Database, tmp_path: Path) -> Place:
    return Place(database, tmp_path)


def test_a_new_head_begins_one_run_however_often_one_looks(place: Place) -> None:
    commit = place.commit()
    place.push()
    assert len(place.look()) == 1
    assert place.look() == []
    assert [each.commit for each in place.runs()] == [commit]


def test_a_branch_set_back_is_a_push_too(place: Place) -> None:
    first = place.commit()
    place.push()
    place.look()
    place.commit()
    place.push()
    place.look()
    place.git("reset", "--quiet", "--hard", first)
    place.push()
    place.look()
    assert sorted(each.sequence for each in place.runs()) == [1, 2, 3]


def test_what_was_pushed_while_nobody_looked_is_found_later(place: Place) -> None:
    place.commit()
    place.push()
    restarted = Heads(CloudSettings(), Repositories(place.host), place.database, place.clock)
    restarted.round()
    assert len(place.runs()) == 1


def test_two_that_look_at_the_same_time_begin_one_run(place: Place) -> None:
    place.commit()
    place.push()
    before = repository.Branch("main", "", 0)
    commit = place.git("rev-parse", "HEAD")
    assert len(place.heads._follow_branch(place.repository, before, commit)) == 1
    assert place.heads._follow_branch(place.repository, before, commit) == []
    assert len(place.runs()) == 1


class Nobody:
    """No other host gives it just now."""

    def bring_repository(self, *_: object) -> int:
        raise Transient("nobody has it")


class LateCopy:
    """What a host has of a repository that another one pushes to: `notes` in turn, as it is asked."""

    def __init__(self, place: Place, *notes: Callable[[], CopyNote]) -> None:
        self.real, self.notes = Repositories(place.host), list(notes)

    def note(self, _project_id: str, _name: str) -> CopyNote:
        return self.notes.pop(0)() if len(self.notes) > 1 else self.notes[0]()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.real, name)


def test_a_push_that_ends_elsewhere_while_one_looks_is_not_compared_with_the_heads_before_it(
    place: Place,
) -> None:
    """Its branch is known already and its commits are not here: that is no branch that was set back."""
    place.commit()
    place.push()
    place.look()
    with place.database.write() as connection:
        number = repository.begin_change(connection, place.repository.id, "elsewhere")
        [branch] = repository.list_branches(connection, place.repository.id)
        moved = repository.Branch("main", "c0ffee", branch.sequence + 1)
        repository.set_branch(connection, place.repository.id, moved)

    def ends_meanwhile() -> CopyNote:
        with place.database.write() as connection:
            repository.end_change(connection, place.repository.id, "elsewhere", number)
        return CopyNote(place.repository.id, number - 1)

    late = LateCopy(place, ends_meanwhile, lambda: CopyNote(place.repository.id, number - 1))
    copies = PushCopies(place.database, late, "here", own=Nobody())  # type: ignore[arg-type]
    heads = Heads(CloudSettings(), late, place.database, place.clock, copies=copies)
    for _ in range(2):
        with contextlib.suppress(Transient):
            heads.look(place.repository)
    assert len(place.runs()) == 1


def test_a_deleted_branch_ends_its_environments(place: Place) -> None:
    place.commit()
    place.push()
    [run_id] = place.look()
    place.push(":main")
    place.look()
    with place.database.read() as connection:
        lived = environment.get_of_run(connection, run_id)
    assert lived is not None
    assert len(place.runs()) == 1
    place.push()
    assert len(place.look()) == 1


def test_a_head_whose_file_cannot_be_read_is_a_failed_run(place: Place) -> None:
    place.commit("servers: {}\n")
    place.push()
    place.look()
    [failed] = place.runs()
    assert failed.status == "failed"
    assert failed.reason == "kumoi.yaml:1: servers: expected 1 to 10 entries, got 0"


def test_a_broken_repository_keeps_no_other_waiting(place: Place) -> None:
    broken = Repository("0", "p0", "other", "broken", place.clock.now())
    with place.database.write() as connection:
        repository.ensure(connection, broken)
    path = Repositories(place.host).ensure("p0", "broken")
    (path / "HEAD").write_text("nothing")
    place.commit()
    place.push()
    place.heads.round()
    assert len(place.runs()) == 1


def test_a_commit_that_unpacks_to_too_much_leaves_nothing(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(git, "TREE_MAX_BYTES", 10_240)
    (place.work / "large").write_bytes(bytes(100_000))
    commit = place.commit()
    place.push()
    with (place.work / "tree.tar").open("wb") as out, pytest.raises(TooLarge):
        git.archive(place.bare, commit, out)


def test_a_repository_is_made_again_where_making_it_was_interrupted(place: Place) -> None:
    (place.bare / "kumoi-ready").unlink()
    (place.bare / "config").unlink()
    Repositories(place.host).ensure("p1", "hello")
    place.commit()
    place.push()
    assert len(place.look()) == 1


@pytest.mark.parametrize("name", ["", "-x", ".x", "a/b", "a..b", "x.git", "x.lock", "a" * 64])
def test_a_name_that_git_or_the_disk_would_trip_over_is_refused(name: str) -> None:
    with pytest.raises(Invalid):
        check_name(name)


def test_a_file_is_parsed_by_the_hook_and_by_nobody_after_it(place: Place) -> None:
    Repositories(place.host).prepare()
    place.commit()
    place.push()
    (parsed,) = (place.bare / git.PARSED).iterdir()
    parsed.write_text(parsed.read_text().replace("debian-12", "as-kept"))
    (begun,) = place.look()
    with place.database.read() as connection:
        lived = environment.get_of_run(connection, begun)
    assert lived is not None
    assert lived.wanted["servers"]["web"]["image"] == "as-kept"


@pytest.mark.parametrize("content", ["", '{"servers": {"web": {"vcpus": 2}}}'])
def test_what_cannot_be_read_of_a_parsed_file_is_parsed_again(place: Place, content: str) -> None:
    commit = place.commit()
    place.push()
    good = git.read_file(place.bare, commit)
    (parsed,) = (place.bare / git.PARSED).iterdir()
    parsed.write_text(content)
    assert git.read_file(place.bare, commit) == good
    assert parsed.read_text() != content
