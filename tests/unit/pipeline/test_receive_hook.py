"""The program of git's hooks: what it asks the pipeline."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from kumoi.pipeline import git, receive_hook
from kumoi.pipeline.receive_hook import HEADS, HEADS_MAX

NOTHING, COMMIT = "0" * 40, "c" * 40


class Pipeline:
    """Answers one question with one line."""

    def __init__(self, path: Path) -> None:
        self.path, self.question = str(path), ""
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(self.path)
        self._listener.listen()
        self._thread = threading.Thread(target=self._answer, daemon=True)
        self._thread.start()

    def _answer(self) -> None:
        try:
            client, _ = self._listener.accept()
        except OSError:
            return  # Nobody asked.
        with client, client.makefile("r") as asked:
            self.question = asked.read()
            client.sendall(b"run x started\n")

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join(timeout=10)
        self._listener.close()


@pytest.fixture
def pipeline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Pipeline]:
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "project" / "demo.git"))
    listening = Pipeline(tmp_path / "hook.sock")
    yield listening
    listening.close()


def test_branches_that_go_hide_none_that_moves(
    pipeline: Pipeline, capsys: pytest.CaptureFixture[str]
) -> None:
    gone = [f"{COMMIT} {NOTHING} {HEADS}a{number}" for number in range(HEADS_MAX + 1)]
    moved = f"{NOTHING} {COMMIT} {HEADS}z"
    assert receive_hook.main(["started", pipeline.path], [*gone, moved]) == 0
    assert pipeline.question.splitlines()[:2] == ["project demo", f"{COMMIT} z"]
    assert capsys.readouterr().err == "run x started\n"


def test_a_repository_has_so_many_refs_and_a_push_without_new_ones_counts_none(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """What each fetch, each look at a repository and each copy of it lists is bounded."""
    path = tmp_path / "project" / "demo.git"
    nobody = str(tmp_path / "nobody")
    monkeypatch.setenv("GIT_DIR", str(path))
    git.git(tmp_path, "init", "--quiet", "--bare", str(path))
    tree = git.git(path, "mktree", "--missing").strip()
    monkeypatch.setattr(receive_hook, "REFS_MAX", 3)
    tags = [f"{NOTHING} {tree} refs/tags/{number}" for number in range(4)]
    assert receive_hook.main(["check", nobody], tags[:3]) == 0
    assert receive_hook.main(["check", nobody], tags) == 1
    assert "a repository has 3 branches and tags at most" in capsys.readouterr().err
    for number in range(3):
        git.git(path, "update-ref", f"refs/tags/{number}", tree)
    assert receive_hook.main(["check", nobody], tags[3:]) == 1
    moved = [line.replace(NOTHING, COMMIT) for line in tags[:3]]
    assert receive_hook.main(["check", nobody], moved) == 0


def test_more_branches_than_the_pipeline_is_asked_about_are_refused(
    pipeline: Pipeline, capsys: pytest.CaptureFixture[str]
) -> None:
    moved = [f"{NOTHING} {COMMIT} {HEADS}b{number}" for number in range(HEADS_MAX + 1)]
    assert receive_hook.main(["check", pipeline.path], moved) == 1
    assert capsys.readouterr().err.startswith("push refused: it moves 41 branches, and 40 at most")
    assert pipeline.question == ""
