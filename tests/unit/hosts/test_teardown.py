"""What is looked for when a cloud is taken off the machine."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from kumoi.hosts import teardown


@pytest.fixture
def monitor(tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process that calls itself as LXC's monitor of a server does, with one child."""
    title = f"[lxc monitor] {tmp_path}/servers web1"
    code = "sleep 60 & wait"
    with subprocess.Popen(["bash", "-c", f"exec -a '{title}' bash -c '{code}'"]) as started:
        yield started
        started.kill()


def test_a_server_is_known_by_its_monitor_and_stopped_by_its_first_process(
    monitor: subprocess.Popen[bytes], tmp_path: Path
) -> None:
    found: list[teardown.Container] = []
    while not (found and found[0].first_pid):
        found = teardown.containers(tmp_path)
        assert monitor.poll() is None
    # bash shows its own arguments after the title, which LXC does not.
    assert found[0].monitor_pid == monitor.pid
    teardown.stop_containers(found)
    monitor.wait(5)
    assert not Path(f"/proc/{found[0].first_pid}").exists()


def test_a_server_of_another_cloud_is_left_alone(
    monitor: subprocess.Popen[bytes], tmp_path: Path
) -> None:
    assert teardown.containers(tmp_path / "other") == []
    assert monitor.poll() is None


def test_mounts_are_named_innermost_first() -> None:
    points = teardown.mounts(Path("/"))
    assert Path("/") in points
    for outer in (Path("/proc"), Path("/sys")):
        inner = [point for point in points if outer in point.parents]
        assert all(points.index(point) < points.index(outer) for point in inner)


def test_where_nothing_is_there_is_nothing_to_do(tmp_path: Path) -> None:
    assert teardown.mounts(tmp_path) == []
    assert teardown.loop_devices(tmp_path) == []
    assert teardown.containers(tmp_path) == []
