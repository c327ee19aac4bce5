"""A server's first process has a filter of system calls beside those that LXC has itself, or LXC is told to stop."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from kumoi.cloud.drivers.instance.lxc import confinement

LXC = """
import os, signal, subprocess, sys
from kumoi.hosts.units import syscalls

def add(count):
    for _ in range(count):
        built = syscalls.Filter()
        built.refuse(["swapon"])
        built.load()

inherited, own, hook = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
add(inherited)
above, below = os.pipe()
first = os.fork()
if not first:
    add(own)
    os.write(below, b"ready")
    signal.pause()
os.read(above, 5)
env = {**os.environ, "LXC_PID": str(first)}
done = subprocess.run(["sh", "-c", f"{hook} name lxc start-host"], env=env)
os.kill(first, signal.SIGKILL)
sys.exit(done.returncode)
"""


def status(unfiltered: Path, *, inherited: int, own: int) -> int:
    """What LXC's hook ends with; so many filters LXC has itself, and so many more the server."""
    words = [sys.executable, "-c", LXC, str(inherited), str(own), confinement.hook(unfiltered)]
    return subprocess.run(words, input=b"", check=False).returncode


@pytest.mark.parametrize("inherited", [0, 1])
def test_a_server_with_a_filter_of_its_own_starts(tmp_path: Path, inherited: int) -> None:
    unfiltered = tmp_path / "a server's"
    assert status(unfiltered, inherited=inherited, own=1) == 0
    assert not unfiltered.exists()


@pytest.mark.parametrize("inherited", [0, 1])
def test_a_server_with_no_more_than_lxc_has_does_not(tmp_path: Path, inherited: int) -> None:
    unfiltered = tmp_path / "unfiltered"
    assert status(unfiltered, inherited=inherited, own=0) != 0
    assert unfiltered.exists()


def test_where_nobody_says_how_many_there_are_none_starts(tmp_path: Path) -> None:
    ended = ["env", "LXC_PID=0", "sh", "-c", confinement.hook(tmp_path / "unfiltered")]
    assert subprocess.run(ended, check=False, capture_output=True).returncode != 0
