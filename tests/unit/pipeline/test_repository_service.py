"""The unit that owns the repositories, as a process, and who asks it."""

from __future__ import annotations

import os
import signal
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from subprocess import Popen

import pytest

from kumoi import config
from kumoi.base import process
from kumoi.base.errors import Invalid, Transient
from kumoi.config import CloudSettings, HostSettings
from kumoi.engine import calls
from kumoi.pipeline import repository_calls
from kumoi.pipeline.repositories import Repositories
from kumoi.pipeline.repository_client import RepositoriesClient

ROOT = Path(__file__).parents[3]
CALLS = 40


@pytest.fixture
def host() -> Iterator[HostSettings]:
    """Near the root, so that sockets fit."""
    with tempfile.TemporaryDirectory(prefix="krepo-", dir="/tmp") as name:
        cloud = CloudSettings(name="krepo")
        made = config.first_host(cloud, name)
        made.log_dir.mkdir()
        config.write(cloud, made.state)
        config.write(made, made.state)
        yield made


@pytest.fixture
def start(host: HostSettings) -> Iterator[Callable[[], Popen[bytes]]]:
    """A function that starts the unit, and waits until it is the one that listens."""
    started = []

    def start_one() -> Popen[bytes]:
        path = repository_calls.socket_of(host)
        before = path.stat().st_ino if path.exists() else 0
        one = process.start(
            [sys.executable, "-m", "kumoi.main", "role", "repositories", "--config", host.state],
            log=host.log_dir / "repositories.log",
            env={"PYTHONPATH": str(ROOT / "src")},
        )
        started.append(one)
        deadline = time.monotonic() + 20
        while not path.exists() or path.stat().st_ino == before:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        return one

    yield start_one
    for one in started:
        one.kill()
        one.wait()


def test_a_repository_is_made_and_its_heads_are_told(
    host: HostSettings, start: Callable[[], Popen[bytes]]
) -> None:
    start()
    client = RepositoriesClient(host)
    assert client.list_heads("p1", "app") is None
    client.ensure("p1", "app")
    client.ensure("p1", "app")
    assert client.list_heads("p1", "app") == {}
    assert [path.name for path in Repositories(host).paths()] == ["app.git"]


def test_an_error_reaches_who_asked_as_what_it_is(
    host: HostSettings, start: Callable[[], Popen[bytes]]
) -> None:
    start()
    client = RepositoriesClient(host)
    for project, name in (("p1", "a/b"), ("p1", ".x"), ("..", "app"), ("p/1", "app")):
        with pytest.raises(Invalid):
            client.list_heads(project, name)
    client.ensure("p1", "app")
    vanished = "commit aaaaaaaaaa has vanished from the repository: push it again"
    with pytest.raises(Invalid, match=vanished):
        client.read_file("p1", "app", "a" * 40)
    with tempfile.TemporaryFile() as out, pytest.raises(Invalid, match=vanished):
        client.archive("p1", "app", "a" * 40, out)
    with pytest.raises(Transient):
        client.changes("p1", "app", "", "a" * 40)
    assert client.list_heads("p1", "app") == {}


def test_while_one_replaces_another_every_call_is_answered(
    host: HostSettings, start: Callable[[], Popen[bytes]]
) -> None:
    first = start()
    client = RepositoriesClient(host)
    client.ensure("p1", "app")
    answers: list[dict[str, str] | None] = []
    ended = threading.Event()

    def ask() -> None:
        while not ended.is_set() or len(answers) < CALLS:
            answers.append(client.list_heads("p1", "app"))

    asking = threading.Thread(target=ask)
    asking.start()
    start()
    first.send_signal(signal.SIGUSR1)
    assert first.wait(20) == 0
    ended.set()
    asking.join()
    assert len(answers) >= CALLS
    assert all(answer == {} for answer in answers)


def test_a_unit_that_was_killed_is_waited_for(
    host: HostSettings, start: Callable[[], Popen[bytes]]
) -> None:
    first = start()
    client = RepositoriesClient(host)
    first.kill()
    first.wait()
    again = threading.Timer(0.3, start)
    again.start()
    assert client.list_heads("p1", "app") is None
    again.join()


def test_who_waits_for_ever_is_told(host: HostSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calls, "CONNECT_WITHIN_S", 0.1)
    with pytest.raises(Transient, match="the repository app could not be asked for"):
        RepositoriesClient(host).list_heads("p1", "app")


def test_a_caller_that_says_nothing_or_nonsense_keeps_nobody_waiting(
    host: HostSettings, start: Callable[[], Popen[bytes]]
) -> None:
    start()
    silent, loud = socket.socket(socket.AF_UNIX), socket.socket(socket.AF_UNIX)
    with silent, loud:
        for one in (silent, loud):
            one.connect(str(repository_calls.socket_of(host)))
        calls.send(loud, b"nonsense")
        loud.settimeout(20)
        assert loud.recv(1) == b""
        assert RepositoriesClient(host).list_heads("p1", "app") is None


@pytest.mark.skipif(os.geteuid() != 0, reason="to be another user it must be root")
def test_nobody_but_the_pipelines_user_is_answered(
    host: HostSettings, start: Callable[[], Popen[bytes]]
) -> None:
    start()
    path = repository_calls.socket_of(host)
    for place in (host.state, host.run_dir, path.parent):
        place.chmod(0o755)
    path.chmod(0o666)
    nobody = 65_534
    ask = f"""
import socket
one = socket.socket(socket.AF_UNIX)
one.connect({str(path)!r})
try:
    print(one.recv(1))
except ConnectionResetError:
    print(b"")
"""
    done = process.run(["/usr/bin/python3", "-I", "-c", ask], user=nobody, cwd=Path("/"))
    assert done.out == "b''\n"


def test_a_git_that_fails_is_told_in_words_and_the_machine_is_in_the_log_alone(
    host: HostSettings, start: Callable[[], Popen[bytes]]
) -> None:
    """What one reads in the terminal of a push was the command line, with this machine's paths."""
    start()
    client = RepositoriesClient(host)
    client.ensure("p1", "app")
    with pytest.raises(Transient, match="git ended before it was done") as refused:
        client.changes("p1", "app", "", "0" * 40)
    assert "/" not in refused.value.message
    assert "--git-dir" in (host.log_dir / "repositories.log").read_text()
