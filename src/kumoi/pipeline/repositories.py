"""The pushed git repositories, their hooks, and the spool for bodies of git requests.

The pipeline role owns them: nobody else reads or writes one, and nobody else knows where they are.
Today that is a directory of bare repositories, one per project and name, with hooks that call
receive_hook.py. The heads for which runs have begun are in the store.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from kumoi.config import HostSettings
from kumoi.hosts.install import trees
from kumoi.pipeline.git import git

HOOKS = {"pre-receive": "check", "post-receive": "started"}
READY = "kumoi-ready"


class Repositories:
    """On the host that the pipeline runs on. `hook_socket` is where the post-receive hook asks
    which runs began.
    """

    def __init__(self, host: HostSettings) -> None:
        self.root = host.state / "git"
        self.spool = host.state / "git-spool"
        self.hook_socket = host.run_dir / "pipeline" / "hook.sock"
        self.hooks = host.state / "git-hooks"

    def prepare(self) -> None:
        """Called at each start. Makes the directories, empties the spool of what a killed process
        left there, and writes the hooks anew, since the interpreter's path may have changed.
        """
        self.hook_socket.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.spool.mkdir(parents=True, exist_ok=True, mode=0o700)
        for left in self.spool.iterdir():
            trees.remove(left)
        self.hooks.mkdir(parents=True, exist_ok=True)
        for name, action in HOOKS.items():
            script = self.hooks / name
            script.write_text(
                f"#!/bin/sh\nexec '{sys.executable}' -I "
                f"-m kumoi.pipeline.receive_hook {action} '{self.hook_socket}'\n"
            )
            script.chmod(0o755)

    def path_of(self, project_id: str, name: str) -> Path:
        return self.root / project_id / f"{name}.git"

    def find(self, project_id: str, name: str) -> Path | None:
        """The repository's path; None until the first push has made it."""
        path = self.path_of(project_id, name)
        return path if (path / READY).exists() else None

    def paths(self) -> Iterator[Path]:
        """Every repository, also one that is still being made."""
        yield from sorted(self.root.glob("*/*.git"))

    def ensure(self, project_id: str, name: str) -> Path:
        """The bare repository, made at the first push. Safe to repeat, and to be interrupted."""
        path = self.path_of(project_id, name)
        self.ensure_bare(path)
        return path

    def ensure_bare(self, path: Path) -> None:
        """As `ensure`, for any path: a restore makes a repository before it is in place."""
        if (path / READY).exists():
            return
        path.mkdir(parents=True, exist_ok=True, mode=0o700)
        git(path, "init", "--quiet", "--bare", "--initial-branch=main", str(path))
        for key, value in (
            ("core.hooksPath", str(self.hooks)),
            ("receive.denyNonFastForwards", "false"),
            ("receive.denyDeletes", "false"),
            ("receive.denyDeleteCurrent", "ignore"),
            ("receive.fsckObjects", "true"),
            ("http.receivepack", "true"),
            ("gc.autoDetach", "false"),
        ):
            git(path, "config", key, value)
        (path / READY).touch()
