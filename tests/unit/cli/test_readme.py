"""The commands that the README names, and what they need."""

from __future__ import annotations

import importlib.machinery
import importlib.util
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from types import ModuleType

import pytest

from kumoi import main

ROOT = Path(__file__).parents[3]
COMMAND = re.compile(r"sudo \./kumoi ([a-z][^#`\n]*)")


def commands() -> list[list[str]]:
    """With sudo in the README, their words without it; of `[--json]`, the option."""
    found = COMMAND.findall((ROOT / "README.md").read_text())
    return [shlex.split(words.replace("[", "").replace("]", "")) for words in found]


def launcher() -> ModuleType:
    loader = importlib.machinery.SourceFileLoader("launcher", str(ROOT / "kumoi"))
    spec = importlib.util.spec_from_loader("launcher", loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    return module


def test_where_there_is_no_sudo_the_readmes_commands_work_as_root_and_it_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    readme = (ROOT / "README.md").read_text()
    assert "Where there is no `sudo`, be root and leave the word out" in readme
    (tmp_path / "env").symlink_to("/usr/bin/env")
    (tmp_path / "python3").symlink_to(sys.executable)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert shutil.which("sudo") is None
    assert {words[0] for words in commands()} >= {"demo", "test", "up", "status", "backup", "down"}
    for words in commands():
        done = subprocess.run([ROOT / "kumoi", *words, "--help"], capture_output=True, check=False)
        assert done.returncode == 0, (words, done.stderr)

    monkeypatch.setattr(os, "geteuid", lambda: 1_000)
    assert main.main(["status"]) == 1
    with pytest.raises(SystemExit):
        launcher().require_root(["up"])
    said = capsys.readouterr().err
    assert "there is no sudo: as root, ./kumoi status" in said
    assert "there is no sudo: as root, ./kumoi up" in said


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_root_is_not_asked_for_sudo(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    launcher().require_root(["up"])
    with tempfile.TemporaryDirectory() as short:  # Sockets' paths have a limit.
        assert main.main(["down", "--name", "kcli", "--state-dir", f"{short}/none"]) == 0
    assert capsys.readouterr().out == "The cloud kcli is not here: nothing to do\n"
