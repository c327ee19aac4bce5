"""The files of OVSDB servers: a database alone, or a member of a RAFT that keeps one together.

Which of the two a server is, its file says, not its command line. So a cloud of one host becomes one of
several and goes back while the database's own server does not run: here its file is made anew of
what was in it. Rows keep their ids. All that is done is done to a draft, so it may be killed and repeated.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from kumoi.base import files, process
from kumoi.base.errors import Conflict
from kumoi.base.files import Promise

ELECTION_MS = 5_000
"""A leader that is silent for so long is replaced. OVS 3.1 asks nobody before it calls an election, so a
member that was only slow unseats one that works. It is given when the cluster begins: later it can
at most be doubled at a time.
"""


@dataclass(frozen=True, slots=True)
class RaftMember:
    """Where a member hears the others, such as ssl:172.24.5.1:6643, and where these do."""

    address: str
    others: tuple[str, ...]


def ensure(path: Path, schema: Path, member: RaftMember | None = None) -> None:
    """Make the file what a server alone, or this member, has. The server does not run.

    A member without a file joins the others, and has all of it from them. One whose database was alone
    begins the cluster with that: this is the host that had the cloud before there were others. Who goes
    back to a database alone has what this member has, so the others leave their cluster before.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    _unlock(path)
    if not path.exists():
        if member is None:
            _make(path, "create", schema, promise=Promise.KILL)
        else:
            name = _tool("schema-name", schema)
            words = (name, member.address, *member.others)
            _make(path, "join-cluster", *words, promise=Promise.KILL)
    elif not is_clustered(path):
        if _tool("needs-conversion", path, schema) == "yes":
            _unlock(path.with_name(f"{path.name}.tmp"))  # Its own draft, of a conversion before.
            _tool("convert", path, schema)
        if member is not None:
            timer = f"--election-timer={ELECTION_MS}"
            _make(path, "create-cluster", path, member.address, options=(timer,))
    elif member is None:
        _make(path, "cluster-to-standalone", path)
    else:
        _require_same(path, member)


def is_to_change(path: Path, member: RaftMember | None) -> bool:
    """Whether `ensure` would make the file another kind of database, for which its server must end."""
    return path.exists() and is_clustered(path) != (member is not None)


def is_clustered(path: Path) -> bool:
    return process.run(["ovsdb-tool", "db-is-clustered", path], check=False).status == 0


def _require_same(path: Path, member: RaftMember) -> None:
    address = _tool("db-local-address", path)
    if address != member.address:
        raise Conflict(
            f"{path} is of a member at {address}, and this host's is {member.address}: a member "
            "that moves leaves its cluster first and joins it anew"
        )


def _make(
    path: Path,
    command: str,
    *words: str | Path,
    options: tuple[str, ...] = (),
    promise: Promise = Promise.NEW,
) -> None:
    """Replace the file by what a command of ovsdb-tool makes."""
    draft = files.draft_of(path)
    draft.unlink(missing_ok=True)
    _unlock(draft)
    _tool(*options, command, draft, *words)
    _unlock(draft)
    files.publish(draft, path, promise=promise)


def _unlock(path: Path) -> None:
    """Remove the file by which OVSDB's programs lock a database, which they leave. It is its server's user's,
    and in a sticky directory the kernel lets not even root open another user's file to create it
    (fs.protected_regular of 2, as systemd and procps set it).
    """
    path.with_name(f".{path.name}.~lock~").unlink(missing_ok=True)


def _tool(*words: str | Path) -> str:
    return process.run(["ovsdb-tool", *words]).out.strip()
