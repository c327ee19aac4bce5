"""What the pipeline asks of the unit that owns the repositories (engine/calls.py)."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from pathlib import Path

import msgspec

from kumoi.config import HostSettings


class RepositoryOperation(enum.StrEnum):
    ENSURE = "ensure"
    LIST_HEADS = "list_heads"
    READ_FILE = "read_file"
    ARCHIVE = "archive"
    CHANGES = "changes"
    FETCH = "fetch"
    PUSH = "push"
    SWEEP = "sweep"
    REMOVE = "remove"
    LIST_COPIES = "list_copies"
    NOTE = "note"
    HAVES = "haves"
    PACK = "pack"
    TAKE = "take"


WRITING = frozenset({
    RepositoryOperation.ENSURE, RepositoryOperation.READ_FILE, RepositoryOperation.PUSH,
    RepositoryOperation.SWEEP, RepositoryOperation.TAKE,
})  # fmt: skip
"""A read of kumoi.yaml leaves what it found beside the commit."""
OF_COPIES = frozenset(
    {RepositoryOperation.HAVES, RepositoryOperation.PACK, RepositoryOperation.TAKE}
)


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """`variables` are a CGI program's, of which some are taken; `rest` is the path in the repository. `id` and
    `number` are those of a change, where changes are noted, or of what is to be removed.
    """

    operation: RepositoryOperation
    project_id: str
    name: str
    commit: str = ""
    since: str = ""
    rest: str = ""
    variables: Mapping[str, str] = {}
    id: str = ""
    number: int = 0


class CopyNote(msgspec.Struct, frozen=True):
    """Which repository this is, and the number of its last change, which is odd until that has ended. One
    without a note is of before notes were taken; -1 is a copy that is being made.
    """

    id: str = ""
    number: int = 0


class ChangedCommit(msgspec.Struct, frozen=True):
    commit: str
    author: str
    subject: str


class CommitChanges(msgspec.Struct, frozen=True):
    """What a commit has that `since` does not, newest first, and how many `more`. Without `since` it is
    the commit's own history. `diffstat` is git's, of the files.
    """

    since: str
    commits: list[ChangedCommit]
    more: int
    diffstat: str


def socket_of(host: HostSettings) -> Path:
    """Where the unit that owns the repositories listens."""
    return host.run_dir / "repositories" / "calls.sock"
