"""A member of OVN's databases that could not write its file: a real one, whose file may not grow."""

from __future__ import annotations

import json
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


@dataclass(frozen=True, slots=True)
class Member:
    """Of a RAFT that has no other."""

    serving: subprocess.Popen[bytes]
    server: DatabaseServer
    remote: str

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
    file, control = tmp_path / "nb.db", tmp_path / "control.ctl"
    process.run(["ovsdb-tool", "create-cluster", file, SCHEMA, f"unix:{tmp_path}/raft"])
    words = [
        "ovsdb-server",
        str(file),
        f"--remote=punix:{tmp_path}/db.sock",
        f"--unixctl={control}",
        "--no-chdir",
    ]
    limited = f'trap "" XFSZ; ulimit -f {BLOCKS}; exec "$@"'
    with subprocess.Popen(["sh", "-c", limited, "sh", *words], cwd=tmp_path) as serving:
        made = Member(
            serving, DatabaseServer(NORTHBOUND.schema, control), f"unix:{tmp_path}/db.sock"
        )
        try:
            made.wait(lambda: made.write(1))
            yield made
        finally:
            serving.kill()


def test_one_that_works_is_left_alone(member: Member) -> None:
    assert not member.server.has_failed()
    failed_databases.end_failed([member.server])
    assert member.write(1)


def test_one_that_could_not_write_ends(member: Member) -> None:
    assert not member.write(BLOCKS * 512)
    member.wait(member.server.has_failed)
    failed_databases.end_failed([member.server])
    assert member.serving.wait(BOUND_S) == 0
    failed_databases.end_failed([member.server])  # Nobody is there any more.
