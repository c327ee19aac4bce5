"""The guard of the supervisor, as a process."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from kumoi.hosts.units import guard, running

COMMAND = [sys.executable, "-I", "-c", "import time; time.sleep(600)"]

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="a filter beside sudo needs root")


def pids(top: Path) -> dict[str, int]:
    return {one.name: one.pid for one in running.found(str(top))}


def until(look: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not look():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[Path]:
    guard.start(str(tmp_path), tmp_path, digest="d", command=COMMAND)
    until(lambda: pids(tmp_path).keys() == {running.GUARD, running.SUPERVISOR})
    yield tmp_path
    for name in (running.GUARD, running.SUPERVISOR):
        found = [one for one in running.found(str(tmp_path)) if one.name == name]
        running.stop(found, timeout_s=5)
    assert pids(tmp_path) == {}


def test_a_killed_supervisor_is_followed_by_another(guarded: Path) -> None:
    before = pids(guarded)[running.SUPERVISOR]
    os.kill(before, 9)
    until(lambda: pids(guarded).get(running.SUPERVISOR, before) != before)


def test_guard_and_supervisor_have_a_filter_and_leave_a_way_to_privileges(guarded: Path) -> None:
    """Servers come of them, in which sudo works."""
    until(lambda: "Seccomp:\t2" in _status(guarded, running.GUARD))
    for name in (running.GUARD, running.SUPERVISOR):
        assert "Seccomp:\t2" in _status(guarded, name)
        assert "NoNewPrivs:\t0" in _status(guarded, name)


def _status(top: Path, name: str) -> str:
    return Path(f"/proc/{pids(top)[name]}/status").read_text()
