"""What runs git on what tenants pushed reaches the one repository, whatever becomes of it."""

from __future__ import annotations

import json
import sys
import textwrap
from pathlib import Path

import pytest

from kumoi.base.process import run
from kumoi.hosts.units import landlock
from kumoi.hosts.units.confinement import launched
from kumoi.pipeline import git

ATTEMPTS = """
    import json, os, socket, subprocess, sys

    own, other, agent = sys.argv[1:]
    ways = {
        "read own": lambda: open(f"{own}/there").read(),
        "write own": lambda: open(f"{own}/new", "w").close(),
        "git": lambda: subprocess.run(["git", "--version"], check=True, capture_output=True),
        "read other": lambda: open(f"{other}/there").read(),
        "write other": lambda: open(f"{other}/new", "w").close(),
        "network": lambda: socket.socket(socket.AF_INET),
        "signal": lambda: os.kill(int(agent), 0),
    }
    done = []
    for name, way in ways.items():
        try:
            way()
        except (OSError, subprocess.CalledProcessError):
            continue
        done.append(name)
    print(json.dumps(done))
"""


@pytest.mark.skipif(not landlock.version(), reason="this kernel has no Landlock")
@pytest.mark.parametrize(
    ("writes", "expected"),
    [(True, ["read own", "write own", "git"]), (False, ["read own", "git"])],
)
def test_git_reaches_its_own_repository_and_nothing_else(
    tmp_path: Path, *, writes: bool, expected: list[str]
) -> None:
    for name in ("own", "other"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "there").touch()
    own, other = str(tmp_path / "own"), str(tmp_path / "other")
    program = [sys.executable, "-I", "-c", textwrap.dedent(ATTEMPTS), own, other, "1"]
    held = git.confinement(tmp_path / "own", writes=writes, hooks=tmp_path / "own")
    done = run(launched(held, program))
    assert json.loads(done.out) == expected
