"""A repository as one control host gives it to another: its refs, its objects, and which change it is of.

Called by the unit that owns the repositories, in a process that is held to the one repository. What is taken has
the refs that were packed and no others, in steps that may be cut off anywhere: the note comes last.
"""

from __future__ import annotations

import contextlib
import os
import struct
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO

import msgspec

from kumoi.base import files
from kumoi.base.errors import Invalid, NotFound, Transient
from kumoi.base.process import run
from kumoi.pipeline import git
from kumoi.pipeline.repositories import READY, Repositories
from kumoi.pipeline.repository_calls import CopyNote

NOTE = "kumoi-copy"
NOTE_MAX_BYTES = 256
HAVES_MAX = 2_000
HEAD = struct.Struct("!I")
HEAD_MAX_BYTES = 256 << 20
BEING_MADE = -1
CONNECTED = ("rev-list", "--objects", "--quiet", "--stdin", "--not", "--all")


class PackedHead(msgspec.Struct, frozen=True):
    """Before the pack. `refs` are their commits, or tags."""

    note: CopyNote
    refs: Mapping[str, str]


def read_note(path: Path) -> CopyNote:
    """What a tenant's git may have written into its own repository is no news of another one."""
    try:
        with (path / NOTE).open("rb") as file:
            return msgspec.json.decode(file.read(NOTE_MAX_BYTES), type=CopyNote)
    except (FileNotFoundError, msgspec.DecodeError):
        return CopyNote()


def notes(repositories: Repositories) -> dict[str, CopyNote]:
    """Of each that was made to its end, by "project/name"."""
    return {
        f"{path.parent.name}/{path.stem}": read_note(path)
        for path in repositories.paths()
        if (path / READY).exists()
    }


@contextlib.contextmanager
def noted_change(path: Path, id: str, number: int) -> Iterator[None]:
    """The number while it is made, and the next one when it has been; nothing where changes are not noted."""
    if not number:
        yield
        return
    with files.locked(path / "refs"):
        write_note(path, CopyNote(id, number))
        yield
        write_note(path, CopyNote(id, number + 1))


def haves(path: Path) -> list[str]:
    if not (path / READY).exists():
        return []
    return sorted(set(_refs(path).values()))[:HAVES_MAX]


def pack(path: Path, known: Sequence[str], out: IO[bytes]) -> None:
    """Raises NotFound where there is none."""
    if not (path / READY).exists():
        raise NotFound("repository", path.stem)
    note = read_note(path)  # Before the refs: they may be newer than the note, and not older.
    refs = _refs(path)
    head = msgspec.json.encode(PackedHead(note, refs))
    out.write(HEAD.pack(len(head)) + head)
    out.flush()
    wanted = [*sorted(set(refs.values())), *(f"^{commit}" for commit in _present(path, known))]
    if refs:
        _git(path, "pack-objects", "--revs", "--thin", "--delta-base-offset", "--stdout", "--quiet",
             stdin="\n".join(wanted), stdout=out)  # fmt: skip


def prepare(repositories: Repositories, project_id: str, name: str, id: str) -> None:
    """Where there is none, or an earlier one of the name, one that is being made."""
    path = repositories.path_of(project_id, name)
    if (path / READY).exists() and read_note(path).id in ("", id):
        return
    repositories.remove(project_id, name)
    path.mkdir(parents=True, exist_ok=True, mode=0o700)
    write_note(path, CopyNote(id, BEING_MADE))


def take(path: Path, id: str, packed: int) -> CopyNote:
    """The descriptor is closed. Raises Transient for what is not whole."""
    try:
        with files.locked(path / "refs"):
            here = read_note(path)
            head = _read_head(packed)
            if head.note.id not in ("", id):
                raise Transient(f"copy the repository {path.stem}: another one came")
            if here.id == id and here.number >= head.note.number:
                return here
            if head.refs:
                with os.fdopen(packed, "rb", closefd=False) as file:
                    _git(path, "index-pack", "--stdin", "--fix-thin", stdin=file)
            _set_refs(path, head.refs)
            note = CopyNote(id, head.note.number)
            write_note(path, note)
    finally:
        os.close(packed)
    _git(path, "gc", "--auto", "--quiet")
    return note


def _set_refs(path: Path, refs: Mapping[str, str]) -> None:
    """All objects that they reach are there before any of them moves. What goes makes room for what comes, as `a`
    for `a/b`.
    """
    ours = _refs(path)
    if refs:
        commits = "".join(f"{commit}\n" for commit in sorted(set(refs.values())))
        _git(path, *CONNECTED, stdin=commits)
    gone = [f"delete {ref}" for ref in ours if ref not in refs]
    moved = [f"update {ref} {commit}" for ref, commit in refs.items() if ours.get(ref) != commit]
    for commands in (gone, moved):
        if commands:
            _git(path, "update-ref", "--stdin", stdin="".join(f"{line}\n" for line in commands))


def _read_head(packed: int) -> PackedHead:
    """The descriptor stands at the pack afterwards."""
    (size,) = HEAD.unpack(_read(packed, HEAD.size))
    if size > HEAD_MAX_BYTES:
        raise Invalid("a repository has too many refs to be copied")
    return msgspec.json.decode(_read(packed, size), type=PackedHead)


def _read(descriptor: int, size: int) -> bytes:
    content = bytearray()
    while len(content) < size:
        part = os.read(descriptor, size - len(content))
        if not part:
            raise Transient("copy a repository: it was cut off")
        content += part
    return bytes(content)


def _refs(path: Path) -> dict[str, str]:
    listed = git.git(path, "for-each-ref", "--format=%(objectname) %(refname)")
    return {ref: commit for commit, ref in (line.split(" ", 1) for line in listed.splitlines())}


def _present(path: Path, commits: Sequence[str]) -> list[str]:
    """Those that this repository has, too."""
    if not commits:
        return []
    asked = "".join(f"{commit}\n" for commit in commits[:HAVES_MAX])
    found = _git(path, "cat-file", "--batch-check=%(objectname) %(objecttype)", stdin=asked)
    lines = (line.split(" ") for line in found.splitlines())
    return [commit for commit, kind in lines if kind in ("commit", "tag")]


def _git(
    path: Path, *args: str, stdin: str | IO[bytes] | None = None, stdout: IO[bytes] | None = None
) -> str:
    argv = [git.PROGRAM, "--git-dir", str(path), *args]
    return run(
        argv,
        env=git.ENVIRONMENT,
        cwd=path,
        stdin=stdin,
        stdout=stdout,
        ends_with_us=True,
        timeout_s=git.COPY_TIMEOUT_S,
    ).out


def write_note(path: Path, note: CopyNote) -> None:
    files.replace(path / NOTE, msgspec.json.encode(note), promise=files.Promise.OLD_OR_NEW)
