"""What bounds all proxies of a host together, on machines with control groups of either version."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from kumoi.base import log
from kumoi.base.errors import Permanent
from kumoi.cloud.drivers.instance import fence
from kumoi.cloud.drivers.load_balancer.proxy_group import ProxyGroup

MOST = 512 << 20


def group(root: Path, ram_mib: int = 4_096) -> ProxyGroup:
    return ProxyGroup("h1", ram_mib, root)


def version_1(root: Path) -> Path:
    for tree, files in (
        ("memory", ("memory.limit_in_bytes", fence.TCP_LIMIT)), ("pids", ("pids.max",)),
    ):  # fmt: skip
        (root / tree / "h1.proxies").mkdir(parents=True)
        for file in ("../cgroup.procs", "cgroup.procs", *files):
            (root / tree / "h1.proxies" / file).touch()
    return root


def version_2(root: Path) -> Path:
    (root / "cgroup.procs").touch()
    (root / "cgroup.controllers").write_text("memory pids\n")
    (root / fence.SUBTREE).write_text("memory pids\n")
    (root / "h1.proxies").mkdir()
    for file in ("cgroup.procs", "memory.max", "memory.swap.max", "pids.max"):
        (root / "h1.proxies" / file).touch()
    return root


def test_in_version_1_each_controllers_tree_has_its_limit(tmp_path: Path) -> None:
    made = group(version_1(tmp_path))
    made.ensure()
    memory, pids = (tmp_path / tree / "h1.proxies" for tree in ("memory", "pids"))
    assert (memory / "memory.limit_in_bytes").read_text() == f"{MOST}"
    assert (memory / fence.TCP_LIMIT).read_text() == f"{MOST // 2}"
    assert (pids / "pids.max").read_text() == "64"
    made.join(7)
    assert [(tree / "cgroup.procs").read_text() for tree in (memory, pids)] == ["7\n", "7\n"]


def test_in_version_2_one_tree_has_them(tmp_path: Path) -> None:
    made = group(version_2(tmp_path))
    made.ensure()
    made.join(7)
    there = tmp_path / "h1.proxies"
    found = [
        (there / name).read_text() for name in ("memory.max", "memory.swap.max", "pids.max", "cgroup.procs")
    ]  # fmt: skip
    assert found == [f"{MOST}", "0", "64", "7\n"]


def test_without_a_controller_nothing_is_made(tmp_path: Path) -> None:
    with pytest.raises(Permanent, match="memory, pids"):
        group(tmp_path).ensure()


def test_a_small_machine_has_room_for_some(tmp_path: Path) -> None:
    assert (group(tmp_path, 1_024).most_mib, group(tmp_path, 24_576).most_mib) == (256, 3_072)


def test_one_that_cannot_join_is_logged_and_runs(tmp_path: Path) -> None:
    made = group(version_2(tmp_path))
    (tmp_path / "h1.proxies" / "cgroup.procs").unlink()
    (tmp_path / "h1.proxies" / "cgroup.procs").mkdir()
    with log.captured() as logged:
        made.join(7)
    assert [line["event"] for line in logged] == ["proxy.not_bounded"]
    assert made.has_room()


def test_those_that_have_ended_need_no_room(tmp_path: Path) -> None:
    made = group(version_2(tmp_path), 1_024)
    procs = tmp_path / "h1.proxies" / "cgroup.procs"
    procs.write_text("999999999\n" * 32)
    assert made.has_room()
    procs.write_text(f"{os.getpid()}\n" * 32)
    assert not made.has_room()
    made.remove()
