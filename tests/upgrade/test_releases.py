"""Where the release before is found."""

from __future__ import annotations

from pathlib import Path

import pytest

from kumoi.base.errors import Invalid
from tests.guards import migrations
from tests.upgrade.releases import ROOT, VERSION_FILE, Release, before, git, take_out


def test_each_migration_of_the_release_before_is_among_those_that_are_never_edited(
    older: Release, newer: Release
) -> None:
    """`python -m tests.guards.migrations`, at a release, adds them."""
    if older.version == newer.version:
        assert before(ROOT) == git("rev-parse", "HEAD", repository=ROOT)  # Nothing was released.
        return
    there = {
        f"{store}/{path.name}"
        for store in migrations.STORES
        for path in (older.root / f"src/kumoi/{store}/store/migrations/versions").glob("[0-9]*.py")
    }
    assert there
    assert there - migrations.released().keys() == set()


class Repository:
    def __init__(self, path: Path) -> None:
        self.path = path
        path.mkdir()
        self.git("init", "--quiet", "--initial-branch=main", ".")

    def git(self, *words: str) -> str:
        who = ("-c", "user.name=a", "-c", "user.email=a@example.org")
        return git(*who, *words, repository=self.path)

    def commit(self, version: str, doc: str = "") -> str:
        file = self.path / VERSION_FILE
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f'"""{doc}"""\n__version__ = "{version}"\n')
        self.git("add", ".")
        self.git("commit", "--quiet", "--allow-empty", "-m", version)
        return self.git("rev-parse", "HEAD")


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Repository:
    monkeypatch.delenv("KUMOI_UPGRADE_FROM", raising=False)
    return Repository(tmp_path / "repository")


def test_the_release_before_is_the_parent_of_the_commit_that_raised_the_version(
    repository: Repository, tmp_path: Path
) -> None:
    repository.commit("0.1.0")
    released = repository.commit("0.1.0", doc="the last word of 0.1.0")
    repository.commit("0.2.0")
    repository.commit("0.2.0", doc="this changes no version")
    assert before(repository.path) == released
    taken = take_out(released, tmp_path / "taken", repository=repository.path)
    assert "0.1.0" in (taken.root / VERSION_FILE).read_text()


def test_before_a_second_release_it_is_the_newest_commit(repository: Repository) -> None:
    repository.commit("0.1.0")
    newest = repository.commit("0.1.0", doc="more")
    assert before(repository.path) == newest


def test_a_shallow_clone_is_refused_in_words(repository: Repository, tmp_path: Path) -> None:
    repository.commit("0.1.0")
    repository.commit("0.2.0")
    clone = tmp_path / "clone"
    repository.git("clone", "--quiet", "--depth=1", f"file://{repository.path}", str(clone))
    with pytest.raises(Invalid, match="shallow and lacks the release before"):
        before(clone)


def test_what_is_no_clone_is_refused_in_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("KUMOI_UPGRADE_FROM", raising=False)
    with pytest.raises(Invalid, match="test in a clone"):
        before(tmp_path)
