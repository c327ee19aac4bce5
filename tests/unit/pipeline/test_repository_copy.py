"""A repository that goes from one control host to another, by git itself."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import IO

import msgspec
import pytest

from kumoi import config
from kumoi.base.errors import NotFound, Transient
from kumoi.base.process import ProcessFailed, run
from kumoi.config import CloudSettings
from kumoi.pipeline import git, repository_copy
from kumoi.pipeline.repositories import Repositories
from kumoi.pipeline.repository_calls import CopyNote

WHO = ("-c", "user.name=t", "-c", "user.email=t@t")


class Hosts:
    """Two, with repositories; and a work tree that pushes to the first."""

    def __init__(self, top: Path) -> None:
        cloud = CloudSettings(name="t1")
        self.one, self.two = (
            Repositories(config.first_host(cloud, str(top / name))) for name in ("one", "two")
        )
        self.tree = top / "tree"
        self.tree.mkdir()
        self.git("init", "--quiet", "--initial-branch=main")
        self.source = self.one.ensure("p", "app")
        self.number = 0

    def git(self, *words: str) -> str:
        argv = ["git", *WHO, *words]
        return run(argv, cwd=self.tree, env={**git.ENVIRONMENT, "GIT_TERMINAL_PROMPT": "0"}).out

    def commit(self, text: str) -> str:
        (self.tree / "file").write_text(text)
        self.git("add", ".")
        self.git("commit", "--quiet", "--allow-empty", "-m", text)
        return self.git("rev-parse", "HEAD").strip()

    def push(self, *words: str) -> None:
        """As a change with its number; hooks are not what this is about."""
        self.number += 1
        with repository_copy.noted_change(self.source, "r", self.number):
            git.git(self.source, "config", "core.hooksPath", "/dev/null")
            self.git("push", "--quiet", str(self.source), *words)
        self.number += 1

    def pack(self, to: IO[bytes]) -> None:
        known = repository_copy.haves(self.two.path_of("p", "app"))
        repository_copy.pack(self.source, known, to)

    def take(self, packed: Path) -> CopyNote:
        repository_copy.prepare(self.two, "p", "app", "r")
        path = self.two.ensure("p", "app")
        return repository_copy.take(path, "r", os.open(packed, os.O_RDONLY))

    def copy(self, packed: Path) -> CopyNote:
        with packed.open("wb") as file:
            self.pack(file)
        return self.take(packed)

    def refs(self, repositories: Repositories) -> dict[str, str]:
        listed = git.git(repositories.path_of("p", "app"), "show-ref")
        return {ref: commit for commit, ref in (line.split() for line in listed.splitlines())}


@pytest.fixture
def hosts(tmp_path: Path) -> Hosts:
    return Hosts(tmp_path)


def test_a_copy_has_the_same_refs_and_each_of_their_objects(hosts: Hosts, tmp_path: Path) -> None:
    hosts.commit("one")
    hosts.git("tag", "-a", "v1", "-m", "v1")
    hosts.push("main", "main:feature/x", "v1")
    assert hosts.copy(tmp_path / "pack") == CopyNote("r", 2)
    assert hosts.refs(hosts.two) == hosts.refs(hosts.one)
    git.git(hosts.two.path_of("p", "app"), "fsck", "--full", "--strict")
    assert repository_copy.notes(hosts.two) == {"p/app": CopyNote("r", 2)}


def test_what_is_there_is_not_sent_again(hosts: Hosts, tmp_path: Path) -> None:
    (hosts.tree / "big").write_bytes(os.urandom(1 << 20))
    hosts.commit("one")
    hosts.push("main")
    hosts.copy(tmp_path / "first")
    hosts.commit("two")
    hosts.push("main")
    assert hosts.copy(tmp_path / "second") == CopyNote("r", 4)
    assert hosts.refs(hosts.two) == hosts.refs(hosts.one)
    assert (tmp_path / "first").stat().st_size > 1 << 20
    assert (tmp_path / "second").stat().st_size < 10_000


def test_deleted_forced_and_renamed_branches_are_followed(hosts: Hosts, tmp_path: Path) -> None:
    hosts.commit("one")
    hosts.push("main", "main:a", "main:gone")
    hosts.copy(tmp_path / "pack")
    hosts.git("checkout", "--quiet", "--orphan", "other")
    hosts.commit("another history")
    hosts.push("--force", "other:main", ":a", ":gone")
    hosts.push("other:a/b")  # Where `a` was.
    hosts.copy(tmp_path / "pack")
    assert hosts.refs(hosts.two) == hosts.refs(hosts.one)
    assert set(hosts.refs(hosts.two)) == {"refs/heads/main", "refs/heads/a/b"}


def test_a_branch_that_went_back_goes_back(hosts: Hosts, tmp_path: Path) -> None:
    """Nothing is to be sent then."""
    first = hosts.commit("one")
    hosts.commit("two")
    hosts.push("main")
    hosts.copy(tmp_path / "pack")
    hosts.push("--force", f"{first}:refs/heads/main")
    hosts.copy(tmp_path / "pack")
    assert hosts.refs(hosts.two) == {"refs/heads/main": first}


def test_an_empty_repository_is_copied(hosts: Hosts, tmp_path: Path) -> None:
    hosts.number = 2
    with repository_copy.noted_change(hosts.source, "r", 1):
        pass
    assert hosts.copy(tmp_path / "pack") == CopyNote("r", 2)


def test_an_older_pack_changes_nothing(hosts: Hosts, tmp_path: Path) -> None:
    hosts.commit("one")
    hosts.push("main")
    with (tmp_path / "old").open("wb") as file:
        hosts.pack(file)
    hosts.commit("two")
    hosts.push("main")
    hosts.copy(tmp_path / "new")
    newest = hosts.refs(hosts.two)
    assert hosts.take(tmp_path / "old") == CopyNote("r", 4)
    assert hosts.refs(hosts.two) == newest


def test_an_earlier_repository_of_the_name_is_replaced(hosts: Hosts, tmp_path: Path) -> None:
    hosts.commit("one")
    hosts.push("main")
    old = hosts.two.ensure("p", "app")
    repository_copy.write_note(old, CopyNote("deleted", 40))
    assert hosts.copy(tmp_path / "pack") == CopyNote("r", 2)
    assert hosts.refs(hosts.two) == hosts.refs(hosts.one)


@pytest.mark.parametrize("part", [0.0, 0.3, 0.7, 0.99])
def test_half_of_a_pack_is_no_copy_and_moves_no_branch(
    hosts: Hosts, tmp_path: Path, part: float
) -> None:
    (hosts.tree / "big").write_bytes(os.urandom(100_000))
    hosts.commit("one")
    hosts.push("main")
    whole = tmp_path / "whole"
    with whole.open("wb") as file:
        hosts.pack(file)
    cut = tmp_path / "cut"
    content = whole.read_bytes()
    cut.write_bytes(content[: int(len(content) * part)])
    with pytest.raises((Transient, ProcessFailed)):
        hosts.take(cut)
    assert repository_copy.notes(hosts.two) == {"p/app": CopyNote("r", -1)}
    assert not git.list_heads(hosts.two.path_of("p", "app"))
    assert hosts.take(whole) == CopyNote("r", 2)


def test_refs_to_what_did_not_come_are_not_set(hosts: Hosts, tmp_path: Path) -> None:
    """As by a source that lost objects."""
    hosts.commit("one")
    hosts.push("main")
    hosts.copy(tmp_path / "pack")
    before = hosts.refs(hosts.two)
    hosts.commit("two")
    hosts.push("main")
    with (tmp_path / "later").open("wb") as file:
        head = repository_copy.PackedHead(CopyNote("r", 4), hosts.refs(hosts.one))
        content = msgspec.json.encode(head)
        file.write(repository_copy.HEAD.pack(len(content)) + content)
        empty = subprocess.run(
            ["git", "pack-objects", "--stdout", "-q"],
            cwd=hosts.tree, input=b"", capture_output=True, check=True,
        )  # fmt: skip
        file.write(empty.stdout)
    with pytest.raises(ProcessFailed):
        hosts.take(tmp_path / "later")
    assert hosts.refs(hosts.two) == before
    assert repository_copy.read_note(hosts.two.path_of("p", "app")) == CopyNote("r", 2)


def test_a_change_that_is_cut_off_is_not_noted_as_made(hosts: Hosts) -> None:
    with pytest.raises(KeyError), repository_copy.noted_change(hosts.source, "r", 5):
        raise KeyError
    assert repository_copy.read_note(hosts.source) == CopyNote("r", 5)


def test_what_a_tenants_git_wrote_as_a_note_is_none(hosts: Hosts) -> None:
    for content in (b"", b"\xff", b"[]", b'{"number": "x"}', b'{"id": "' + b"x" * 10_000 + b'"}'):
        (hosts.source / repository_copy.NOTE).write_bytes(content)
        assert repository_copy.read_note(hosts.source) == CopyNote()


def test_what_is_not_here_cannot_be_given(hosts: Hosts, tmp_path: Path) -> None:
    with (tmp_path / "x").open("wb") as file, pytest.raises(NotFound):
        repository_copy.pack(hosts.two.path_of("p", "nothing"), [], file)
