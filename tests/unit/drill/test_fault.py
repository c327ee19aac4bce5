"""A fault is over when its block is, or when the drill is, whatever ended it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import cast

import pytest

from kumoi.drill import fault
from kumoi.drill.place import DrillHost
from kumoi.drill.plan import HOST, Drilled, Fault

WAIT_S = 20.0
FREEZES = """
import sys, time
from kumoi.drill import fault
from kumoi.drill.plan import Drilled, Fault
class There:
    def pids(self, component): return [int(sys.argv[1])]
with fault.made(Drilled(Fault.FREEZE, "unit", "host"), There()):
    print("frozen", flush=True)
    time.sleep(60)
"""


class There:
    """A host on which one process is every component."""

    def __init__(self, pid: int, state: Path) -> None:
        self.pid = pid
        self.host = type("Settings", (), {"state": state})

    def pids(self, _component: str) -> list[int]:
        return [self.pid] if Path(f"/proc/{self.pid}").exists() else []


@pytest.fixture
def child() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(["/bin/sleep", "120"]) as started:
        try:
            yield started
        finally:
            started.kill()


def state_of(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def eventually(true: Callable[[], bool]) -> None:
    ends_s = time.monotonic() + WAIT_S
    while not true():
        assert time.monotonic() < ends_s
        time.sleep(0.02)


def test_what_was_frozen_goes_on(child: subprocess.Popen[bytes], tmp_path: Path) -> None:
    there = cast("DrillHost", There(child.pid, tmp_path))
    with pytest.raises(KeyboardInterrupt), fault.made(Drilled(Fault.FREEZE, "u", "h"), there):
        eventually(lambda: state_of(child.pid) == "T")
        raise KeyboardInterrupt
    eventually(lambda: state_of(child.pid) == "S")


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_what_a_killed_drill_froze_goes_on(
    child: subprocess.Popen[bytes], number: signal.Signals
) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", FREEZES, str(child.pid)], stdout=subprocess.PIPE, text=True
    ) as drill:
        assert drill.stdout is not None
        assert drill.stdout.readline() == "frozen\n"
        eventually(lambda: state_of(child.pid) == "T")
        os.kill(drill.pid, number)
    eventually(lambda: state_of(child.pid) == "S")


def test_what_was_killed_is_told_by_its_pid(child: subprocess.Popen[bytes], tmp_path: Path) -> None:
    there = cast("DrillHost", There(child.pid, tmp_path))
    with fault.made(Drilled(Fault.KILL, "unit", "host"), there) as made:
        assert made.killed == {child.pid}
    assert child.wait(WAIT_S) == -signal.SIGKILL


def test_what_cannot_be_done_honestly_is_skipped_with_a_reason(tmp_path: Path) -> None:
    there = cast("DrillHost", There(2**22 + 1, tmp_path))
    assert "clock" in fault.hindrance(Drilled(Fault.SKEW, HOST, "h"), there)
    assert "disk that others share" in fault.hindrance(Drilled(Fault.FILL, HOST, "h"), there)
    assert "does not run" in fault.hindrance(Drilled(Fault.KILL, "u", "h"), there)
    assert fault.hindrance(Drilled(Fault.CUT, HOST, "h"), there) == ""
    assert fault.hindrance(Drilled(Fault.NOTHING), None) == ""
