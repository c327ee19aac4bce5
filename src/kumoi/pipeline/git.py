"""The pipeline's git commands: branch heads, the environment file at a commit, archives, bundles.

Called by repositories.py and by the receive hook; few imports, since the hook starts at every push.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import IO

import msgspec

from kumoi import __version__
from kumoi.base import files
from kumoi.base.errors import Invalid, TooLarge, Transient
from kumoi.base.process import ProcessFailed, run
from kumoi.hosts.units.confinement import UNIX, Confinement
from kumoi.pipeline import environment
from kumoi.pipeline.repository_calls import ChangedCommit, CommitChanges

TIMEOUT_S = 30.0
COPY_TIMEOUT_S = 3_600.0  # A whole repository of any size.
TREE_MAX_BYTES = 1 << 30
PROGRAM = "/usr/bin/git"
DIED = 128  # Git's status when it cannot go on.
PRLIMIT = "/usr/bin/prlimit"
HEADS = "refs/heads/"
PARSED = "kumoi-parsed"
LS_TREE_FIELDS = 4
LOG_MAX, LOG_FIELDS = 20, 3
LOG_FORMAT = "--format=%H%x00%<(60,trunc)%an%x00%<(200,trunc)%s"
FILES_MAX, DIFFSTAT, DIFFSTAT_MAX = 25, "--stat=100,70", 16_000
EMPTY_TREE = "4b825dc642cb6eb9a060e54bf8d69288fbee4904"
MEMORY_MAX_BYTES = 2 << 30
STACK_MAX_BYTES = 8 << 20  # Git goes into a folder by calling itself.
BOUNDED = (PRLIMIT, f"--as={MEMORY_MAX_BYTES}", f"--stack={STACK_MAX_BYTES}", "--core=0")
"""A few KiB that were pushed may name as much as one likes: each of git's programs takes so much memory
at most, and comes by with it at what is larger, as these settings say.
"""
SETTINGS = {
    "core.bigFileThreshold": "32m",  # A larger file is no text: it is neither compared nor held whole.
    "core.packedGitWindowSize": "32m",
    "core.packedGitLimit": "512m",
    "core.deltaBaseCacheLimit": "64m",
    "pack.threads": "2",
    "pack.windowMemory": "128m",
    "receive.advertisePushOptions": "true",
}


def _told(settings: Mapping[str, str]) -> dict[str, str]:
    """Settings by the environment, whatever the repository's own file says."""
    found = {"GIT_CONFIG_COUNT": str(len(settings))}
    for number, (key, value) in enumerate(settings.items()):
        found |= {f"GIT_CONFIG_KEY_{number}": key, f"GIT_CONFIG_VALUE_{number}": value}
    return found


# Neither the machine's git configuration nor a user's has a say. What was pushed to refs/replace is not
# in the place of a commit: a run is of the commit that it names.
ENVIRONMENT = {
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_NO_REPLACE_OBJECTS": "1",
    **_told(SETTINGS),
}


def list_heads(path: Path) -> dict[str, str]:
    """The commit of each branch."""
    listed = git(path, "for-each-ref", "--format=%(objectname) %(refname)", HEADS)
    pairs = (line.split(" ", 1) for line in listed.splitlines())
    return {name.removeprefix(HEADS): commit for commit, name in pairs}


def count_refs(path: Path, most: int) -> int:
    """Branches, tags and all others, up to so many."""
    return len(git(path, "for-each-ref", f"--count={most}", "--format=x").splitlines())


def read_file(path: Path, commit: str) -> environment.ProjectFile:
    """kumoi.yaml at that commit. Raises Invalid with one line on what is wrong.

    It is parsed once, by the receive hook, or here where a branch moved without it or under another
    release. What was found is left in the repository by the commit's id.
    """
    parse_file(path, commit)
    found = _parsed(path, commit)
    if found is None:
        raise Transient(f"read {environment.FILE_NAME} of commit {commit[:10]}")
    return found


def parse_file(path: Path, commit: str) -> None:
    """Raises Invalid."""
    if _parsed(path, commit) is not None:
        return
    name = environment.FILE_NAME
    _require(path, commit)
    listed = git(path, "ls-tree", "--long", commit, "--", name).split()
    if len(listed) < LS_TREE_FIELDS or listed[1] != "blob":
        raise Invalid(f"there is no {name} in commit {commit[:10]}", field=name)
    if not listed[3].isdecimal():
        raise Invalid(f"the {name} of commit {commit[:10]} is not in the repository: push it again")
    if int(listed[3]) > environment.FILE_MAX_BYTES:
        raise Invalid(f"{name} is larger than {environment.FILE_MAX_BYTES} bytes", field=name)
    found = environment.parse(git(path, "cat-file", "blob", listed[2]))
    parsed = _parsed_path(path, commit)
    parsed.parent.mkdir(exist_ok=True)
    files.replace(parsed, msgspec.json.encode(found), promise=files.Promise.KILL)


def _require(path: Path, commit: str) -> None:
    """Raises Invalid where the repository does not have the commit: its branch was forced elsewhere, and
    git has forgotten it since.
    """
    argv = [*BOUNDED, PROGRAM, "--git-dir", str(path), "cat-file", "-e", f"{commit}^{{commit}}"]
    found = run(
        argv, env=ENVIRONMENT, cwd=path, user=_owner(path), timeout_s=TIMEOUT_S, check=False
    )
    if found.status != 0:
        raise Invalid(f"commit {commit[:10]} has vanished from the repository: push it again")


def _parsed(path: Path, commit: str) -> environment.ProjectFile | None:
    try:
        content = _parsed_path(path, commit).read_bytes()
        return msgspec.json.decode(content, type=environment.ProjectFile)
    except (FileNotFoundError, msgspec.DecodeError):
        return None


def _parsed_path(path: Path, commit: str) -> Path:
    return path / PARSED / f"{__version__}-{commit}.json"


def confinement(path: Path, *, writes: bool, hooks: Path) -> Confinement:
    """What a process may that runs git on what tenants pushed, or ask for: it reaches this repository,
    for `writes` with the means to write it, the hooks, and nothing else of ours: no other repository,
    no store, no key, no network.
    """
    code = (sys.prefix, sys.base_prefix, str(Path(__file__).parents[2]))
    return Confinement(
        user="",
        group="",
        state=str(path),
        reads=(str(path), str(hooks), *code),
        writes=(str(path),) if writes else (),
        families=(UNIX,),  # The hook asks the pipeline by one.
        starts_programs=True,
        umask=0o077,
        reads_tenants=True,
    )


def archive(path: Path, commit: str, out: IO[bytes]) -> None:
    """Write the commit's files to `out` as a tar. Raises TooLarge: a few KiB of commit may name the
    same files any number of times, by their attributes ask for as much text in a file, and have folders within
    each other of which git comes to no end.
    """
    bounded = [*BOUNDED, f"--fsize={TREE_MAX_BYTES}"]
    argv = [*bounded, PROGRAM, "--git-dir", str(path), "archive", "--format=tar", commit]
    try:
        run(argv, env=ENVIRONMENT, stdout=out, ends_with_us=True, timeout_s=TIMEOUT_S)
    except ProcessFailed as cause:
        if os.fstat(out.fileno()).st_size < TREE_MAX_BYTES:
            _require(path, commit)
            if cause.status == -signal.SIGSEGV:
                raise TooLarge("the commit's folders are too deep within each other") from cause
            if cause.status != DIED:
                raise
            raise TooLarge(
                f"git cannot put the commit's files together in {MEMORY_MAX_BYTES >> 20} MiB of memory"
            ) from cause
        size_mib = TREE_MAX_BYTES >> 20
        raise TooLarge(f"the commit's files are more than {size_mib} MiB") from cause


def changes(path: Path, since: str, commit: str) -> CommitChanges:
    """What the commit has that `since` does not; where that is empty, the newest of its history. Raises
    ProcessFailed where git has one of them no more.
    """
    bounds = [commit, *([f"^{since}"] if since else [])]
    listed = git(path, "log", f"--max-count={LOG_MAX}", LOG_FORMAT, *bounds, "--")
    fields = (line.split("\0") for line in listed.splitlines())
    found = [ChangedCommit(*map(str.rstrip, each)) for each in fields if len(each) == LOG_FIELDS]
    count = int(git(path, "rev-list", "--count", *bounds, "--"))
    before = since or EMPTY_TREE
    diffstat = git(
        path, "diff", "--no-ext-diff", "--no-textconv", DIFFSTAT, f"--stat-count={FILES_MAX}",
        before, commit, "--",
    )  # fmt: skip
    return CommitChanges(since, found, count - len(found), diffstat.rstrip()[:DIFFSTAT_MAX])


def save(path: Path, into: Path) -> bool:
    """Bundle every ref and its objects into one file; pushes may go on meanwhile. False for an
    empty repository, of which no file is written.
    """
    if not git(path, "for-each-ref", "--count=1"):
        return False
    argv = [*BOUNDED, PROGRAM, "--git-dir", str(path), "bundle", "create", "--quiet", "-", "--all"]
    with into.open("wb") as out:
        run(
            argv, env=ENVIRONMENT, cwd=path, user=_owner(path), stdout=out, timeout_s=COPY_TIMEOUT_S
        )
    return True


def load(path: Path, bundle: Path) -> None:
    """Fetch a bundle that `save` wrote into an empty repository."""
    argv = ["git", "--git-dir", str(path), "fetch", "--quiet", str(bundle), "+refs/*:refs/*"]
    run(argv, env=ENVIRONMENT, timeout_s=COPY_TIMEOUT_S)


def git(path: Path, *args: str) -> str:
    """The output of a git command on one repository."""
    argv = [*BOUNDED, PROGRAM, "--git-dir", str(path), *args]
    return run(argv, env=ENVIRONMENT, cwd=path, user=_owner(path), timeout_s=TIMEOUT_S).out


def _owner(path: Path) -> int | None:
    """The user that git is to run as when root calls it (backup, restore), else None: a
    repository's own settings, which the pipeline's user may write, can name programs for git to
    run.
    """
    owner = path.stat().st_uid
    return None if owner == os.geteuid() else owner
