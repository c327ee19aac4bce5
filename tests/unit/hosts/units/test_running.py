"""Finding and stopping marked processes, with real ones."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from kumoi.base import process
from kumoi.hosts.units import running, users

SLEEP = [sys.executable, "-c", "import time; time.sleep(60)"]
DEAF = [
    sys.executable,
    "-c",
    (
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); "
        "print('deaf', flush=True); time.sleep(60)"
    ),
]


@pytest.fixture
def started(tmp_path: Path) -> Iterator[list[subprocess.Popen[bytes]]]:
    children: list[subprocess.Popen[bytes]] = []
    yield children
    for child in children:
        child.kill()
        child.wait()


def start(
    children: list[subprocess.Popen[bytes]], tmp_path: Path, argv: list[str], name: str
) -> subprocess.Popen[bytes]:
    mark = running.mark(str(tmp_path), name, "d1")
    child = process.start(argv, log=tmp_path / f"{name}.log", env=mark)
    children.append(child)
    while not Path(f"/proc/{child.pid}/environ").read_bytes():
        time.sleep(0.001)  # The kernel shows it a moment after the new program has begun.
    return child


def test_a_marked_process_is_found_with_its_name_digest_and_start(
    started: list[subprocess.Popen[bytes]], tmp_path: Path
) -> None:
    child = start(started, tmp_path, SLEEP, "one")
    (found,) = running.found(str(tmp_path))
    assert (found.name, found.digest, found.pid) == ("one", "d1", child.pid)
    assert abs(found.since - time.time()) < 5


def test_a_mark_of_another_cloud_is_not_ours(
    started: list[subprocess.Popen[bytes]], tmp_path: Path
) -> None:
    start(started, tmp_path, SLEEP, "one")
    assert running.found(str(tmp_path)[:-1]) == []
    assert running.found(str(tmp_path / "below")) == []


def test_what_a_marked_process_starts_is_not_taken_for_it(
    started: list[subprocess.Popen[bytes]], tmp_path: Path
) -> None:
    code = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'input()'])"
    child = start(started, tmp_path, [sys.executable, "-c", code], "one")
    assert [unit.pid for unit in running.found(str(tmp_path))] == [child.pid]


def test_what_has_ended_is_not_found_even_before_somebody_waited_for_it(
    started: list[subprocess.Popen[bytes]], tmp_path: Path
) -> None:
    child = start(started, tmp_path, SLEEP, "one")
    handle = os.pidfd_open(child.pid)
    assert not running.has_ended(handle)
    child.kill()
    assert running.not_ended([handle], timeout_s=5) == []
    assert running.has_ended(handle)
    os.close(handle)
    assert running.found(str(tmp_path)) == []


def test_stop_ends_what_does_not_listen(
    started: list[subprocess.Popen[bytes]], tmp_path: Path
) -> None:
    child = start(started, tmp_path, DEAF, "deaf")
    log = tmp_path / "deaf.log"
    deadline = time.monotonic() + 10
    while not log.read_text() and time.monotonic() < deadline:
        time.sleep(0.01)
    running.stop(running.found(str(tmp_path)), timeout_s=0.2)
    assert child.wait(5) == -9


def test_what_a_unit_left_is_ended_after_it(
    started: list[subprocess.Popen[bytes]], tmp_path: Path
) -> None:
    leader = [sys.executable, "-c", "import os, time; print(os.fork(), flush=True); time.sleep(60)"]
    child = start(started, tmp_path, leader, "one")
    log = tmp_path / "one.log"
    while len(log.read_text().split()) < 2:
        assert child.poll() is None
    (left,) = [int(word) for word in log.read_text().split() if word != "0"]
    found = running.found(str(tmp_path))
    running.stop(found, timeout_s=5)
    handle = os.pidfd_open(left)
    assert not running.has_ended(handle)
    running.kill_what_they_left(found)
    assert running.not_ended([handle], timeout_s=5) == []
    os.close(handle)


@pytest.mark.skipif(os.geteuid() != 0, reason="to be another user it must be root")
def test_what_a_user_of_the_cloud_left_is_killed_and_a_container_s_user_of_the_same_number_is_not(
    started: list[subprocess.Popen[bytes]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Debian gives system users the numbers that images of databases have, from 999 down."""
    uid = 54_321
    monkeypatch.setattr(users, "ids_of", lambda _state_dir: {uid})
    as_user = ["setpriv", f"--reuid={uid}", "--clear-groups", "sh", "-c", "echo up; exec sleep 60"]
    container = ["unshare", "--pid", "--fork", "--kill-child", *as_user]
    for argv in (as_user, container):
        started.append(subprocess.Popen(argv, stdout=subprocess.PIPE))
        assert started[-1].stdout is not None
        assert started[-1].stdout.readline() == b"up\n"
    left, contained = started
    running.kill_what_users_left("/var/lib/kumoi")
    assert left.wait(10) == -signal.SIGKILL
    with pytest.raises(subprocess.TimeoutExpired):
        contained.wait(0.2)
