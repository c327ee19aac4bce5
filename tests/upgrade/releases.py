"""This release and the one before it, each with the code that it had, found in git's history.

The newest commit that changed `__version__` begins this release; its first parent is the one before.
A repository with a single such commit has released nothing yet: then the release before is the
newest commit, which proves the harness and little else. KUMOI_UPGRADE_FROM names another commit.
"""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from subprocess import Popen

from kumoi.base import process
from kumoi.base.errors import Invalid

ROOT = Path(__file__).parents[2]
VERSION_FILE = "src/kumoi/__init__.py"
GIT_TIMEOUT_S = 60.0
PLAY = "tests.upgrade.play"  # What each release plays of itself; its words stay what they are.


@dataclass(frozen=True, slots=True)
class Release:
    """`root` is a checkout. Its code runs with this Python environment."""

    name: str
    root: Path

    @property
    def path(self) -> dict[str, str]:
        return {"PYTHONPATH": f"{self.root / 'src'}:{self.root}"}

    @property
    def version(self) -> str:
        return self.run(PLAY, "version").strip()

    def run(self, *words: str | Path, timeout_s: float = 120.0) -> str:
        """A module with its arguments, to its end; what it printed."""
        argv = [sys.executable, "-m", *words]
        return process.run(argv, env=self.path, cwd=self.root, timeout_s=timeout_s).out

    def start(self, *words: str | Path, log: Path) -> Popen[bytes]:
        argv = [sys.executable, "-m", *words]
        return process.start(argv, log=log, env=self.path, cwd=self.root)


def git(*words: str, repository: Path) -> str:
    """Root may look into a checkout that is somebody else's."""
    argv = ["git", "-c", "safe.directory=*", "-C", str(repository), *words]
    return process.run(argv, timeout_s=GIT_TIMEOUT_S).out.strip()


def before(repository: Path) -> str:
    """The commit of the release before. Raises Invalid where the history does not reach back."""
    asked = os.environ.get("KUMOI_UPGRADE_FROM")
    if asked:
        return git("rev-parse", "--verify", f"{asked}^{{commit}}", repository=repository)
    try:
        shallow = git("rev-parse", "--is-shallow-repository", repository=repository)
    except process.ProcessFailed as cause:
        raise Invalid("the release before is in git's history: test in a clone") from cause
    if shallow == "true":
        raise Invalid("this clone is shallow and lacks the release before: git fetch --unshallow")
    changed = git(
        "log", "--format=%H", "-G^__version__ =", "--", VERSION_FILE, repository=repository
    )
    newest, *older = changed.splitlines()
    return git("rev-parse", f"{newest}^" if older else "HEAD", repository=repository)


def take_out(commit: str, directory: Path, *, repository: Path) -> Release:
    """The release at that commit, in a directory of its own."""
    directory.mkdir(parents=True)
    tar = directory.with_suffix(".tar")
    git("archive", f"--output={tar}", commit, repository=repository)
    process.run(["tar", "-xf", tar, "-C", directory], timeout_s=GIT_TIMEOUT_S)
    tar.unlink()
    return Release("before", directory)
