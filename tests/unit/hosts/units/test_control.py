"""Supervisors that are dismissed: none is left, nor a guard that would start one."""

from __future__ import annotations

from pathlib import Path

import pytest

from kumoi.base import process
from kumoi.config import HostSettings
from kumoi.hosts.units import control, running

# Once its guard has ended a supervisor starts another guard, here when it is told to leave.
SUPERVISOR = (
    "trap 'setsid env KUMOI_UNIT=\"$1\" sleep 60 & sleep 0.5; exit 0' HUP; "
    "echo ready; while :; do sleep 0.05; done"
)


@pytest.fixture
def host(tmp_path: Path) -> HostSettings:
    return HostSettings(state_dir=str(tmp_path))


def test_a_guard_that_a_leaving_supervisor_starts_ends_as_well(
    host: HostSettings, tmp_path: Path
) -> None:
    ((_, of_guard),) = running.mark(host.state_dir, running.GUARD, "1").items()
    log = tmp_path / "log"
    started = process.start(
        ["sh", "-c", SUPERVISOR, "sh", of_guard],
        log=log,
        env=running.mark(host.state_dir, running.SUPERVISOR, "1"),
    )
    while not log.exists() or not log.read_text():
        assert started.poll() is None
    control.stop_units(host, ())
    assert running.found(host.state_dir) == []
    assert started.wait() == 0
