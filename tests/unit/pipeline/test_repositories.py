"""What a pushed pack may cost: the very git that serves a push, on packs that are made to fill the machine."""

from __future__ import annotations

import os
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from kumoi import config
from kumoi.base import process
from kumoi.base.process import ProcessFailed
from kumoi.config import CloudSettings
from kumoi.pipeline import git, repositories
from kumoi.pipeline.repositories import Repositories

MIB = 1 << 20
PROJECT, NAME = "0123456789abcdef0123456789abcdef", "hello"
FILE_MIB, MEMORY_MIB = 4, 400
SMALL = (git.PRLIMIT, f"--fsize={FILE_MIB * MIB}", f"--as={MEMORY_MIB * MIB}", "--core=0")
"""As repositories.BOUNDED, so that a test need not write a gigabyte."""


def pushed(folder: Path, content: bytes) -> tuple[Repositories, str]:
    """The repositories, and what git answers to the push of one commit with that file."""
    work = folder / "work"
    work.mkdir()
    who = {
        f"GIT_{role}_{word}": "a@b"
        for role in ("AUTHOR", "COMMITTER")
        for word in ("NAME", "EMAIL")
    }
    env = {**who, "HOME": str(folder), "PATH": os.environ["PATH"]}
    (work / "large").write_bytes(content)
    for words in (["init", "-q"], ["add", "."], ["commit", "-qm", "first"]):
        process.run(["git", *words], cwd=work, env=env)
    commit = process.run(["git", "rev-parse", "HEAD"], cwd=work, env=env).out.strip()
    command = f"{'0' * 40} {commit} refs/heads/main\0report-status\n".encode()
    found = Repositories(config.first_host(CloudSettings(name="k"), str(folder / "state")))
    found.prepare()
    found.ensure(PROJECT, NAME)
    with tempfile.TemporaryFile() as body, tempfile.TemporaryFile() as out:
        body.write(f"{len(command) + 4:04x}".encode() + command + b"0000")
        body.flush()
        revisions = folder / "revisions"
        revisions.write_text(f"{commit}\n")
        with revisions.open("rb") as wanted:
            process.run(
                ["git", "pack-objects", "--revs", "--stdout", "-q"],
                cwd=work,
                env=env,
                stdin=wanted,
                stdout=body,
            )
        size = body.seek(0, os.SEEK_END)
        body.seek(0)
        variables = {
            "REQUEST_METHOD": "POST",
            "QUERY_STRING": "",
            "CONTENT_TYPE": "application/x-git-receive-pack-request",
            "CONTENT_LENGTH": f"{size}",
            "REMOTE_USER": "a",
        }
        said = ""
        try:
            found.serve_git(
                PROJECT,
                NAME,
                rest="git-receive-pack",
                variables=variables,
                body=body,
                out=out,
                give_up=lambda: False,
            )
        except ProcessFailed as failed:
            said = str(failed)
        out.seek(0)
        return found, said + out.read().decode(errors="replace")


def test_a_small_pack_is_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(repositories, "BOUNDED", SMALL)
    _, answer = pushed(tmp_path, os.urandom(MIB))
    assert "unpack ok" in answer


def test_a_pack_that_is_too_much_is_refused_and_leaves_little(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(repositories, "BOUNDED", SMALL)
    found, answer = pushed(tmp_path, os.urandom(4 * FILE_MIB * MIB))
    assert "unpack ok" not in answer
    assert git.list_heads(found.path_of(PROJECT, NAME)) == {}
    assert largest(found) <= FILE_MIB * MIB


def test_a_file_larger_than_gits_memory_is_never_held_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of zeros, it is a thousandth of that in the push and on the disk."""
    monkeypatch.setattr(repositories, "BOUNDED", SMALL)
    found, answer = pushed(tmp_path, bytes(MEMORY_MIB * MIB))
    assert "unpack ok" in answer
    assert "declined" in answer  # It has no kumoi.yaml.
    assert git.list_heads(found.path_of(PROJECT, NAME)) == {}
    assert largest(found) <= FILE_MIB * MIB


def largest(found: Repositories) -> int:
    """Bytes of the largest file in the repository."""
    files = (path for path in found.path_of(PROJECT, NAME).rglob("*") if path.is_file())
    return max(path.stat().st_size for path in files)


def test_the_bounds_are_as_the_guide_says() -> None:
    assert f"--fsize={1 << 30}" in repositories.BOUNDED
    assert f"--as={2 << 30}" in repositories.BOUNDED
    assert repositories.BODY_MAX_BYTES == 512 << 20


def empty(tmp_path: Path) -> Repositories:
    made = Repositories(config.first_host(CloudSettings(name="k"), str(tmp_path)))
    made.prepare()
    return made


def test_first_pushes_at_once_make_one_repository(tmp_path: Path) -> None:
    made = empty(tmp_path)
    with ThreadPoolExecutor(8) as threads:
        paths = set(threads.map(lambda _: made.ensure(PROJECT, NAME), range(8)))
    assert [path.name for path in paths] == [f"{NAME}.git"]
    assert (
        process.run(["git", "-C", str(paths.pop()), "config", "http.receivepack"]).out == "true\n"
    )


def test_what_a_killed_git_left_locked_is_made_whole(tmp_path: Path) -> None:
    made = empty(tmp_path)
    path = made.path_of(PROJECT, NAME)
    path.mkdir(parents=True)
    (path / "config.lock").touch()
    (path / "HEAD.lock").touch()
    made.ensure(PROJECT, NAME)
    assert process.run(["git", "-C", str(path), "config", "gc.autoDetach"]).out == "false\n"
    assert list(path.glob("*.lock")) == []
