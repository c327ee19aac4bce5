"""A server's first process has a filter of system calls beside those that its monitor has."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import pytest

from kumoi.cloud.drivers.instance.lxc import monitor
from kumoi.cloud.drivers.instance.lxc.monitor import RunningContainer

PROCESS = """
import sys
from kumoi.hosts.units import syscalls
for _ in range(int(sys.argv[1])):
    built = syscalls.Filter()
    built.refuse(["swapon"])
    built.load()
print("ready", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def with_filters() -> Iterator[dict[int, int]]:
    """Processes by how many filters they have more than this one."""
    made = {}
    for more in (0, 1, 2):
        made[more] = subprocess.Popen(
            [sys.executable, "-c", PROCESS, str(more)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert made[more].stdout.readline() == b"ready\n"  # type: ignore[union-attr]
    yield {more: process.pid for more, process in made.items()}
    for process in made.values():
        process.communicate()


@pytest.mark.parametrize(
    ("keeper", "first", "filtered"), [(0, 1, True), (1, 2, True), (0, 0, False), (1, 1, False)]
)
def test_the_agents_filter_that_a_server_inherits_is_not_its_own(
    with_filters: dict[int, int], keeper: int, first: int, filtered: bool
) -> None:
    running = RunningContainer(keeper_pid=with_filters[keeper], pid=with_filters[first])
    assert monitor.is_filtered(running) is filtered


def test_a_server_that_has_ended_needs_none(with_filters: dict[int, int]) -> None:
    assert monitor.is_filtered(RunningContainer(keeper_pid=with_filters[0], pid=0))
    ended = subprocess.Popen(["true"])
    ended.wait()
    assert monitor.is_filtered(RunningContainer(keeper_pid=with_filters[0], pid=ended.pid))
