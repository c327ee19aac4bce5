"""A member of OVN's databases that could not write its file: a real one, whose file may not grow."""

from __future__ import annotations

import contextlib
import json
import resource
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from kumoi.base import process
from kumoi.hosts.cluster import failed_databases
from kumoi.hosts.cluster.failed_databases import DatabaseServer
from kumoi.members import NORTHBOUND

SCHEMA = "/usr/share/ovn/ovn-nb.ovsschema"
BLOCKS = 200  # Of 512 bytes, for each file that is written.
BOUND_S = 30.0


@dataclass(slots=True)
class Member:
    """Of a RAFT that has no other."""

    directory: Path
    server: DatabaseServer
    serving: subprocess.Popen[bytes] | None = None

    @property
    def remote(self) -> str:
        return f"unix:{self.directory}/db.sock"

    def start(self, blocks: int = BLOCKS) -> subprocess.Popen[bytes]:
        words = [
            "ovsdb-server",
            str(self.directory / "nb.db"),
            f"--remote=p{self.remote}",
            f"--unixctl={self.server.control}",
            "--no-chdir",
        ]
        limited = f'trap "" XFSZ; ulimit -S -f {blocks}; exec "$@"'
        self.serving = subprocess.Popen(["sh", "-c", limited, "sh", *words], cwd=self.directory)
        return self.serving

    def write(self, size: int) -> bool:
        """Whether a switch with a name of that many bytes was made."""
        row = {"name": "x" * size}
        change = [NORTHBOUND.schema, {"op": "insert", "table": "Logical_Switch", "row": row}]
        words = ["ovsdb-client", "--timeout=5", "transact", self.remote, json.dumps(change)]
        return process.run(words, check=False).status == 0

    def wait(self, true: Callable[[], bool]) -> None:
        ends_s = time.monotonic() + BOUND_S
        while not true():
            assert time.monotonic() < ends_s
            time.sleep(0.02)


@pytest.fixture
def member(tmp_path: Path) -> Iterator[Member]:
    raft = f"unix:{tmp_path}/raft"
    process.run(["ovsdb-tool", "create-cluster", tmp_path / "nb.db", SCHEMA, raft])
    made = Member(tmp_path, DatabaseServer(NORTHBOUND.schema, tmp_path / "control.ctl", tmp_path))
    made.start()
    try:
        made.wait(lambda: made.write(1))
        yield made
    finally:
        if made.serving is not None:
            made.serving.kill()
            made.serving.wait()


def test_one_that_works_is_left_alone(member: Member) -> None:
    assert not member.server.has_failed()
    failed_databases.end_failed([member.server])
    assert member.write(1)


def test_one_that_could_not_write_ends(member: Member) -> None:
    ended = member.serving
    assert ended is not None
    assert not member.write(BLOCKS * 512)
    member.wait(member.server.has_failed)
    failed_databases.end_failed([member.server])
    assert ended.wait(BOUND_S) == 0
    failed_databases.end_failed([member.server])  # Nobody is there any more.


def test_one_that_is_started_where_it_cannot_write_ends_again(member: Member) -> None:
    """It says that it failed, or has dropped its database."""
    assert member.serving is not None
    assert not member.write(BLOCKS * 512)
    member.wait(member.server.has_failed)
    member.server.end()
    member.serving.wait(BOUND_S)
    again = member.start((member.directory / "nb.db").stat().st_size // 512)

    def is_ended() -> bool:
        failed_databases.end_failed([member.server])
        return again.poll() is not None

    member.wait(is_ended)
    assert again.returncode == 0


@contextlib.contextmanager
def joined(leader: Member, name: str) -> Iterator[Member]:
    """Another one of its RAFT."""
    directory = leader.directory / name
    directory.mkdir()
    remotes = (f"unix:{directory}/raft", f"unix:{leader.directory}/raft")
    file = directory / "nb.db"
    process.run(["ovsdb-tool", "join-cluster", file, NORTHBOUND.schema, *remotes])
    made = Member(
        directory, DatabaseServer(NORTHBOUND.schema, directory / "control.ctl", directory)
    )
    made.start()
    try:
        made.wait(lambda: made.write(1))
        yield made
    finally:
        if made.serving is not None:
            made.serving.kill()
            made.serving.wait()


@pytest.fixture
def follower(member: Member) -> Iterator[Member]:
    """One of three, so the others acknowledge without it."""
    with joined(member, "follower") as made, joined(member, "third"):
        yield made


def limit(member: Member, size: int) -> None:
    assert member.serving is not None
    resource.prlimit(member.serving.pid, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))


@pytest.mark.parametrize("closed", [True, False])
def test_a_gap_in_the_file_of_one_that_could_not_write_is_closed(
    member: Member, follower: Member, *, closed: bool
) -> None:
    """With no room it works on, and without a file that is written anew it would be its last start."""
    file = follower.directory / "nb.db"
    failed_databases.close_gaps([follower.server])
    limit(follower, file.stat().st_size + 100)
    assert member.write(400)
    limit(follower, resource.RLIM_INFINITY)
    assert member.write(50)
    follower.wait(lambda: not follower.server.has_failed())
    if closed:
        follower.server._may_have_gap = True
        failed_databases.close_gaps([follower.server])
    assert follower.serving is not None
    follower.serving.kill()
    follower.serving.wait()
    again = follower.start()
    if closed:
        follower.wait(lambda: follower.write(1))
    else:
        assert again.wait(BOUND_S) == 1


def test_a_file_system_that_was_full_is_noticed(
    member: Member, monkeypatch: pytest.MonkeyPatch
) -> None:
    failed_databases.close_gaps([member.server])
    before = (member.directory / "nb.db").stat().st_ino
    assert member.write(1)
    failed_databases.close_gaps([member.server])
    assert (member.directory / "nb.db").stat().st_ino == before
    monkeypatch.setattr(failed_databases, "LITTLE_ROOM", 1 << 62)
    failed_databases.close_gaps([member.server])
    assert (member.directory / "nb.db").stat().st_ino == before
    monkeypatch.undo()
    failed_databases.close_gaps([member.server])
    assert (member.directory / "nb.db").stat().st_ino != before
