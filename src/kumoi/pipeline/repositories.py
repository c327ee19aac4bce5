"""The pushed git repositories and their hooks: a directory of bare repositories, one per project and
name, with hooks that call receive_hook.py.

One unit owns them (repository_service.py): nobody else reads or writes one but root, for a backup or a
restore. The heads for which runs have begun are in the store.
"""

from __future__ import annotations

import contextlib
import re
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import IO

from kumoi.base import files, trees
from kumoi.base.errors import Invalid
from kumoi.base.process import run
from kumoi.config import HostSettings
from kumoi.pipeline import environment, git
from kumoi.pipeline.repository_calls import CommitChanges

HOOKS = {"pre-receive": "check", "post-receive": "started"}
READY = "kumoi-ready"
GONE = ".gone"
NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9._-]{0,62}")
BODY_MAX_BYTES = 512 << 20
BACKEND_TIMEOUT_S = 300.0
ENDS_WITHIN_S = 30.0
INCOMING = "tmp_objdir-"  # Where git has the objects of a push until its hook said yes.
BOUNDED = (*git.BOUNDED, f"--fsize={2 * BODY_MAX_BYTES}")
"""A push may be compressed as a whole: it fills no more of the disk."""
VARIABLES = frozenset({
    "GIT_PROTOCOL", "REQUEST_METHOD", "QUERY_STRING", "CONTENT_TYPE", "CONTENT_LENGTH",
    "HTTP_CONTENT_ENCODING", "REMOTE_USER", "REMOTE_ADDR",
})  # fmt: skip
"""What git http-backend is told of a request."""


def hook_socket(host: HostSettings) -> Path:
    """Where the pipeline answers the post-receive hook."""
    return host.run_dir / "pipeline" / "hook.sock"


def check_name(name: str) -> None:
    """Raises Invalid when a repository may not be called so."""
    if not NAME.fullmatch(name) or name.endswith((".git", ".lock")) or ".." in name:
        raise Invalid(f"a repository may not be called {name!r}", field="repository")


class Repositories:
    """On the host that the pipeline runs on. `hook_socket` is where the post-receive hook asks
    which runs began.
    """

    def __init__(self, host: HostSettings) -> None:
        self.root = host.state / "git"
        self.hook_socket = hook_socket(host)
        self.hooks = host.state / "git-hooks"

    def prepare(self) -> None:
        """Called at each start: writes the hooks anew, since the interpreter's path may have changed."""
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

    def list_heads(self, project_id: str, name: str) -> dict[str, str] | None:
        """The commit of each branch; None until the first push has made the repository."""
        path = self.find(project_id, name)
        return git.list_heads(path) if path else None

    def read_file(self, project_id: str, name: str, commit: str) -> environment.ProjectFile:
        """kumoi.yaml at that commit. Raises Invalid."""
        return git.read_file(self.path_of(project_id, name), commit)

    def archive(self, project_id: str, name: str, commit: str, out: IO[bytes]) -> None:
        """The commit's files as a tar. Raises TooLarge."""
        git.archive(self.path_of(project_id, name), commit, out)

    def changes(self, project_id: str, name: str, since: str, commit: str) -> CommitChanges:
        """What the commit has that `since`, which may be empty, does not."""
        return git.changes(self.path_of(project_id, name), since, commit)

    def serve_git(
        self,
        project_id: str,
        name: str,
        *,
        rest: str,
        variables: Mapping[str, str],
        body: IO[bytes],
        out: IO[bytes],
        give_up: Callable[[], bool],
    ) -> None:
        """The output of git http-backend, run as a CGI program, to a request with that body."""
        told = {key: value for key, value in variables.items() if key in VARIABLES}
        where = {
            "GIT_PROJECT_ROOT": str(self.root),
            "GIT_HTTP_EXPORT_ALL": "1",
            "PATH_INFO": f"/{project_id}/{name}.git/{rest}",
        }
        run(
            [*BOUNDED, git.PROGRAM, "http-backend"],
            stdin=body,
            stdout=out,
            env={**told, **where, **git.ENVIRONMENT},
            timeout_s=BACKEND_TIMEOUT_S,
            ends_with_us=True,
            give_up=give_up,
        )

    def ensure(self, project_id: str, name: str) -> Path:
        """The bare repository, made at the first push. Safe to repeat, and to be interrupted."""
        path = self.path_of(project_id, name)
        self.ensure_bare(path)
        self.sweep(project_id, name, older_s=BACKEND_TIMEOUT_S + ENDS_WITHIN_S)
        return path

    def sweep(self, project_id: str, name: str, *, older_s: float = 0) -> None:
        """Remove what pushes left that were killed, as large as a push may be: git does so after two weeks.
        One that goes on is no older than it may last.
        """
        for left in (self.path_of(project_id, name) / "objects").glob(f"{INCOMING}*"):
            with contextlib.suppress(FileNotFoundError):
                if time.time() - left.stat().st_mtime >= older_s:
                    trees.remove(left)

    def remove(self, project_id: str, name: str) -> None:
        """With all that was pushed to it. Safe to repeat, and to be interrupted: it is gone at once, and
        what a kill left of its files goes with the next one of that name.
        """
        path = self.path_of(project_id, name)
        gone = path.with_name(f"{path.name}{GONE}")
        trees.remove(gone)
        if path.exists():
            path.rename(gone)
            trees.remove(gone)

    def ensure_bare(self, path: Path) -> None:
        """As `ensure`, for any path: a restore makes a repository before it is in place."""
        if (path / READY).exists():
            return
        path.mkdir(parents=True, exist_ok=True, mode=0o700)
        with files.locked(path):
            if not (path / READY).exists():
                self._make(path)

    def _make(self, path: Path) -> None:
        for left in path.glob("*.lock"):  # By a git that was killed: nobody else is at work here.
            left.unlink()
        git.git(path, "init", "--quiet", "--bare", "--initial-branch=main", str(path))
        for key, value in (
            ("core.hooksPath", str(self.hooks)),
            ("receive.denyNonFastForwards", "false"),
            ("receive.denyDeletes", "false"),
            ("receive.denyDeleteCurrent", "ignore"),
            ("receive.fsckObjects", "true"),
            ("http.receivepack", "true"),
            ("gc.autoDetach", "false"),
        ):
            git.git(path, "config", key, value)
        (path / READY).touch()
