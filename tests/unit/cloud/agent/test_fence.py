"""The fence: when a host has its lease, and what is stopped when it has not."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
from collections.abc import Iterable
from pathlib import Path

import pytest
from tests import deep

from kumoi.base import trees
from kumoi.cloud.agent import fence_kill
from kumoi.cloud.agent.fence import Fence
from kumoi.cloud.agent.fence_state import (
    HEALING,
    HELD,
    LEADERLESS,
    START_WITHIN_S,
    STOP_AFTER_S,
    FenceFiles,
    FenceState,
)
from kumoi.hosts.cluster.leases import TTL_S, LeaseState

SERVERS = {"a": "host.servers/a", "b": "host.servers/b"}


class Bench:
    """A fence whose clock is set, and the groups that it ended."""

    def __init__(self, directory: Path) -> None:
        self.at_s = 100.0
        self.killed: list[str] = []
        self.running = set(SERVERS.values())
        self.files = FenceFiles(directory, "boot-1")
        self.files.write_groups(SERVERS)
        self.fence = self.made()

    def made(self, boot: str = "boot-1") -> Fence:
        files = FenceFiles(self.files._lease.parent, boot)
        return Fence(files, lambda: (0.0, None), now_s=lambda: self.at_s, kill=self._kill)

    def answered(self, state: str, since: int = 1, *, sent_s: float | None = None) -> None:
        self.fence.take(self.at_s if sent_s is None else sent_s, (state, since))

    def later(self, seconds: float) -> None:
        self.at_s += seconds
        self.fence.look()

    def _kill(self, group: str) -> int:
        if group not in self.running:
            return 0
        self.running.remove(group)
        self.killed.append(group)
        return 3


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def test_the_words_are_those_of_the_control_plane() -> None:
    assert {HELD, HEALING, LEADERLESS} == set(LeaseState)


def test_servers_are_stopped_before_the_lease_can_have_ended() -> None:
    assert STOP_AFTER_S < TTL_S


def test_what_a_host_without_a_lease_so_far_has_goes_on(bench: Bench) -> None:
    bench.later(3_600)
    assert bench.killed == []


def test_a_renewal_counts_from_when_it_was_sent(bench: Bench) -> None:
    bench.answered(HELD, sent_s=bench.at_s - 4)
    bench.later(STOP_AFTER_S - 4.1)
    assert bench.killed == []
    bench.later(0.1)
    assert sorted(bench.killed) == sorted(SERVERS.values())
    assert bench.files.was_stopped("a")


def test_what_starts_after_the_lease_ended_is_stopped_as_well(bench: Bench) -> None:
    bench.answered(HELD)
    bench.later(STOP_AFTER_S)
    bench.running.add(SERVERS["a"])
    bench.later(0.2)
    assert bench.killed.count(SERVERS["a"]) == 2


def test_a_lease_that_is_another_one_stops_servers_before_it_counts(bench: Bench) -> None:
    """In between, somebody may have been given them."""
    bench.answered(HELD, since=1)
    bench.later(2)
    bench.answered(HELD, since=9)
    bench.later(0.2)
    assert sorted(bench.killed) == sorted(SERVERS.values())
    assert not bench.fence.state.has_lease
    bench.answered(HELD, since=9)
    assert bench.fence.state.has_lease
    assert bench.fence.state.begun_s == bench.at_s


def test_servers_are_stopped_also_when_another_lease_follows_at_once(bench: Bench) -> None:
    """The answer was late, so the next renewal is sent in that moment, before anybody looks."""
    bench.answered(HELD, since=1)
    bench.answered(HELD, since=9)
    bench.answered(HELD, since=9)
    assert bench.fence.state.has_lease
    assert sorted(bench.killed) == sorted(SERVERS.values())


class FullDisk(FenceFiles):
    """Nothing can be written any more."""

    def write_state(self, state: FenceState) -> None:  # noqa: ARG002 - the contract's
        raise OSError(errno.ENOSPC, "No space left on device")

    def note_stopped(self, server_ids: Iterable[str]) -> None:  # noqa: ARG002 - the contract's
        raise OSError(errno.ENOSPC, "No space left on device")


def test_a_full_disk_stops_nobody_and_hides_no_end(bench: Bench) -> None:
    bench.fence = Fence(
        FullDisk(bench.files._lease.parent, "boot-1"),
        lambda: (0.0, None),
        now_s=lambda: bench.at_s,
        kill=bench._kill,
    )
    bench.answered(HELD)
    bench.later(2)
    bench.answered(HELD)
    bench.later(STOP_AFTER_S - 0.1)
    assert bench.killed == []
    bench.later(0.1)
    assert sorted(bench.killed) == sorted(SERVERS.values())


def test_a_host_whose_servers_are_being_moved_has_no_lease(bench: Bench) -> None:
    bench.answered(HELD)
    bench.answered(HEALING)
    bench.later(0.2)
    assert sorted(bench.killed) == sorted(SERVERS.values())


def test_while_nobody_leads_etcd_a_lease_goes_on_and_none_begins(bench: Bench) -> None:
    bench.answered(LEADERLESS)
    assert not bench.fence.state.has_lease
    bench.answered(HELD)
    for _ in range(20):
        bench.later(2)
        bench.answered(LEADERLESS)
    assert bench.killed == []


def test_a_fence_that_was_killed_counts_on_from_where_it_was(bench: Bench) -> None:
    bench.answered(HELD)
    bench.at_s += STOP_AFTER_S - 1
    bench.fence = bench.made()
    bench.later(0.5)
    assert bench.killed == []
    bench.later(0.5)
    assert sorted(bench.killed) == sorted(SERVERS.values())


def test_after_a_reboot_there_is_no_lease_to_have_lost(bench: Bench) -> None:
    bench.answered(HELD)
    bench.fence = bench.made("boot-2")
    bench.later(60)
    assert bench.killed == []
    assert not bench.fence.state.has_lease


def test_the_state_is_written_where_it_was_and_a_torn_one_is_none(bench: Bench) -> None:
    bench.answered(HELD, since=2**62)
    file = bench.files._lease
    before = file.stat()
    bench.answered(HELD, since=2**62)
    assert (file.stat().st_ino, file.stat().st_size) == (before.st_ino, before.st_size)
    assert bench.files.read_state() == bench.fence.state
    file.write_text(json.dumps({"boot": "boot-1"}) + "}")
    assert bench.files.read_state() == FenceState()


def test_a_server_is_started_only_soon_after_a_renewal() -> None:
    state = FenceState(1, 50.0, 10.0, has_lease=True)
    assert state.may_start(50.0 + START_WITHIN_S - 0.1)
    assert not state.may_start(50.0 + START_WITHIN_S)
    assert not FenceState(1, 50.0, 10.0, has_lease=False).may_start(50.0)


def test_all_of_a_control_group_and_those_below_it_end(tmp_path: Path) -> None:
    """A tree of version 1, where what is frozen has to be thawed."""
    sleepers = [subprocess.Popen(["sleep", "60"]) for _ in range(2)]
    top, below = tmp_path / "pids/g", tmp_path / "pids/g/inner"
    below.mkdir(parents=True)
    freezer = tmp_path / "freezer/g"
    freezer.mkdir(parents=True)
    (freezer / "freezer.state").write_text("FROZEN\n")
    for directory, sleeper in zip((top, below), sleepers, strict=True):
        (directory / "cgroup.procs").write_text(f"{sleeper.pid}\n")
    try:
        assert fence_kill.kill("g", tmp_path) == 2
        assert [sleeper.wait(10) for sleeper in sleepers] == [-signal.SIGKILL] * 2
    finally:
        for sleeper in sleepers:
            sleeper.kill()
            sleeper.wait()
    assert (freezer / "freezer.state").read_text() == "THAWED\n"
    assert fence_kill.kill("nobody", tmp_path) == 0


def test_no_group_is_too_deep_to_be_ended(tmp_path: Path) -> None:
    """What hid a thousand groups below its server ran on when another host had the server."""
    top = tmp_path / "pids/g"
    top.mkdir(parents=True)
    (top / "cgroup.procs").touch()
    deepest = deep.make(top)
    with subprocess.Popen(["sleep", "60"]) as sleeper:
        handle = os.open("cgroup.procs", os.O_WRONLY | os.O_CREAT, 0o600, dir_fd=deepest)
        os.write(handle, f"{sleeper.pid}\n".encode())
        os.close(handle)
        os.close(deepest)
        try:
            assert fence_kill.kill("g", tmp_path) == 1
            assert sleeper.wait(10) == -signal.SIGKILL
        finally:
            sleeper.kill()
            trees.remove(top)


def test_where_the_kernel_ends_a_group_it_is_asked_to(tmp_path: Path) -> None:
    group = tmp_path / "g"
    group.mkdir()
    (group / "cgroup.procs").touch()
    (group / "cgroup.kill").touch()
    (group / "cgroup.events").write_text("populated 0\nfrozen 0\n")
    assert fence_kill.kill("g", tmp_path) == 0
    (group / "cgroup.events").write_text("populated 1\nfrozen 0\n")
    assert fence_kill.kill("g", tmp_path) == 1
    assert (group / "cgroup.kill").read_text() == "1"
