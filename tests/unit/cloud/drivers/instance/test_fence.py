"""What bounds all servers of a host together, on machines with control groups of either version."""

from __future__ import annotations

from pathlib import Path

import pytest

from kumoi.base.errors import Permanent
from kumoi.cloud.drivers.instance import fence

MOST = fence.Bounds(ram_mib=1_024, processes=5_000)
HOST = "h1"
GROUP = "h1.servers"


def kernel(tmp_path: Path, *, pid_max: int, threads_max: int) -> Path:
    (tmp_path / "pid_max").write_text(f"{pid_max}\n")
    (tmp_path / "threads-max").write_text(f"{threads_max}\n")
    return tmp_path


def version_1(root: Path, *names: str) -> Path:
    """Trees as the kernel has them: with a group's files once it is there."""
    for name in names:
        (root / name / GROUP).mkdir(parents=True)
        (root / name / "cgroup.procs").touch()
    for file in (
        "memory/{}/memory.limit_in_bytes", "memory/{}/memory.usage_in_bytes", "pids/{}/pids.max",
        "pids/{}/pids.current", "cpu/{}/cpu.shares", "memory/{}/memory.kmem.tcp.limit_in_bytes",
    ):  # fmt: skip
        if (root / file.format(GROUP)).parent.is_dir():
            (root / file.format(GROUP)).write_text("7\n")
    return root


def version_2(root: Path) -> Path:
    (root / "cgroup.procs").touch()
    (root / "cgroup.controllers").write_text("cpuset cpu io memory pids\n")
    (root / fence.SUBTREE).write_text("memory pids cpu\n")
    (root / GROUP).mkdir()
    for name in (
        "memory.max", "memory.swap.max", "memory.current", "cpu.weight", "pids.max", "cgroup.max.descendants",
    ):  # fmt: skip
        (root / GROUP / name).write_text("max\n")
    return root


def read(path: Path) -> str:
    return path.read_text().strip()


def test_in_version_1_each_controllers_tree_has_its_limit(tmp_path: Path) -> None:
    fence.ensure(HOST, MOST, root=version_1(tmp_path, "memory", "cpu", "pids"))
    assert read(tmp_path / "memory" / GROUP / "memory.limit_in_bytes") == str(1 << 30)
    assert read(tmp_path / "memory" / GROUP / fence.TCP_LIMIT) == str((1 << 30) // 20)
    assert read(tmp_path / "cpu" / GROUP / "cpu.shares") == "512"
    assert read(tmp_path / "pids" / GROUP / "pids.max") == "5000"
    assert fence.in_force(HOST, root=tmp_path) == {
        "memory_max_bytes": 1 << 30, "memory_bytes": 7, "processes_max": 5_000, "processes": 7,
    }  # fmt: skip


def test_in_version_2_one_group_has_all_limits(tmp_path: Path) -> None:
    fence.ensure(HOST, MOST, root=version_2(tmp_path))
    group = tmp_path / GROUP
    names = ("memory.max", "memory.swap.max", "cpu.weight", "pids.max", "cgroup.max.descendants")
    assert [read(group / name) for name in names] == [str(1 << 30), "0", "50", "5000", "32768"]


def test_a_controller_that_nobody_switched_on_is_switched_on(tmp_path: Path) -> None:
    version_2(tmp_path)
    (tmp_path / fence.SUBTREE).write_text("memory cpu\n")
    fence.ensure(HOST, MOST, root=tmp_path)
    assert read(tmp_path / fence.SUBTREE) == "+pids"


@pytest.mark.parametrize("trees", [("memory", "cpu"), ()])
def test_a_machine_that_cannot_bound_servers_gets_none(
    tmp_path: Path, trees: tuple[str, ...]
) -> None:
    with pytest.raises(Permanent, match=r"bounds .*pids: servers would have no limit"):
        fence.ensure(HOST, MOST, root=version_1(tmp_path, *trees))


def test_a_limit_below_what_servers_have_already_stops_no_agent(tmp_path: Path) -> None:
    version_1(tmp_path, "memory", "cpu", "pids")
    limit = tmp_path / "memory" / GROUP / "memory.limit_in_bytes"
    limit.unlink()
    limit.mkdir()  # Writing fails, as it does with EBUSY.
    fence.ensure(HOST, MOST, root=tmp_path)
    assert read(tmp_path / "pids" / GROUP / "pids.max") == "5000"


def test_what_the_machine_keeps_for_itself_no_server_is_left_with(tmp_path: Path) -> None:
    few = kernel(tmp_path, pid_max=4_194_304, threads_max=60_000)
    assert fence.bounds(ram_mib=8_192, reserved_mib=1_024, kernel=few) == fence.Bounds(
        ram_mib=7_168, processes=60_000 - fence.PROCESSES_RESERVED
    )
    tiny = kernel(tmp_path, pid_max=6_000, threads_max=60_000)
    assert fence.bounds(ram_mib=512, reserved_mib=1_024, kernel=tiny) == fence.Bounds(
        ram_mib=fence.RAM_MIB_MIN, processes=3_000
    )


@pytest.mark.parametrize(("before", "after"), [(32_768, 60_000), (4_194_304, 4_194_304)])
def test_pids_are_no_scarcer_than_threads(tmp_path: Path, before: int, after: int) -> None:
    fence.raise_pid_max(kernel(tmp_path, pid_max=before, threads_max=60_000))
    assert int(read(tmp_path / "pid_max")) == after


def test_counts_are_only_ever_raised(tmp_path: Path) -> None:
    for name in fence.COUNTS:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("128\n")
    (tmp_path / "fs/aio-max-nr").write_text(f"{1 << 40}\n")
    fence.raise_counts(tmp_path)
    assert int(read(tmp_path / "fs/inotify/max_user_instances")) > 1 << 20
    assert int(read(tmp_path / "fs/aio-max-nr")) == 1 << 40


def test_namespaces_of_every_kind_are_such_counts() -> None:
    """A server that made 96,000 left none to start its neighbours in."""
    kinds = {f"user/{file.name}" for file in Path("/proc/sys/user").glob("max_*_namespaces")}
    assert kinds
    assert kinds <= fence.COUNTS.keys()


def test_no_server_makes_as_many_control_groups_as_linux_counts() -> None:
    """Nor do all of a machine of 32 GiB together."""
    assert (fence.groups(64), fence.groups(512), fence.groups(65_536)) == (256, 512, 2_048)
    assert 16 * fence.groups(2_048) <= fence.GROUPS_TOGETHER < 65_535


def test_servers_with_all_of_a_machines_memory_have_half_of_its_threads() -> None:
    threads_per_mib = 8  # As Linux counts them.
    assert sum(fence.pids(256) for _ in range(1_024 // 256)) * 2 == 1_024 * threads_per_mib
    assert (fence.pids(64), fence.pids(65_536)) == (fence.PIDS_MIN, fence.PIDS_MAX)
