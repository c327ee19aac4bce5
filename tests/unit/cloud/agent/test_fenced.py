"""Servers that the fence stops: which the agent names to it, and when it may start them."""

from __future__ import annotations

import asyncio
from pathlib import Path

import msgspec
import pytest
from tests.unit.cloud.agent.control_plane import Host, server, until

from kumoi.cloud.agent import fenced as fenced_module
from kumoi.cloud.agent import tending
from kumoi.cloud.agent.fence_state import GUARD_AFTER_S, FenceFiles, FenceState
from kumoi.cloud.agent.fenced import Fenced
from kumoi.cloud.hostapi.messages import InstanceSpec, InstanceState

ID = server(1).id


class Desk:
    """What an agent has of its fence, whose clock is set."""

    def __init__(self, directory: Path, default: str = "wait") -> None:
        self.at_s = 20.0  # The agent asks by the real clock, which is later.
        self.killed: list[str] = []
        self.files = FenceFiles(directory, "boot-1")
        self.fenced = Fenced(self.files, "host", default, now_s=lambda: self.at_s, kill=self._kill)

    def lease(self, *, since: int = 1, begun_s: float = 10.0, has_lease: bool = True) -> None:
        """As the fence writes it just now."""
        self.files.write_state(FenceState(since, self.at_s, begun_s, has_lease))
        self.fenced.look()

    def _kill(self, group: str) -> int:
        self.killed.append(group)
        return 1


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def saying(policy: str, number: int = 1) -> InstanceSpec:
    return msgspec.structs.replace(server(number), metadata={"ha:policy": policy})


@pytest.mark.parametrize(
    ("default", "said", "is_fenced"),
    [
        ("wait", "rebuild", True),
        ("wait", "", False),
        ("rebuild", "", True),
        ("rebuild", "wait", False),
    ],
)
def test_a_server_is_fenced_by_its_own_word_else_by_the_clouds(
    tmp_path: Path, default: str, said: str, *, is_fenced: bool
) -> None:
    desk = Desk(tmp_path, default)
    desk.lease()
    desk.fenced.want(saying(said) if said else server(1))
    assert desk.fenced.has(ID) is is_fenced
    assert (ID in desk.files.read_groups()) is is_fenced


def test_nothing_is_fenced_by_a_fence_that_is_not_alive(desk: Desk) -> None:
    desk.fenced.want(saying("rebuild"))
    assert not desk.fenced.has(ID)
    desk.lease()
    assert desk.fenced.has(ID)
    desk.at_s += 11
    assert not desk.fenced.has(ID)


def test_one_that_is_to_wait_from_now_on_stays_fenced_until_it_is_gone(desk: Desk) -> None:
    desk.lease()
    desk.fenced.want(saying("rebuild"))
    desk.fenced.want(saying("wait"))
    assert desk.fenced.has(ID)
    desk.fenced.keep_only([])
    assert not desk.fenced.has(ID)
    assert desk.files.read_groups() == {}


def test_it_is_started_once_the_control_plane_has_said_in_this_lease_what_is_wanted(
    desk: Desk,
) -> None:
    desk.fenced.want(saying("rebuild"))
    assert not desk.fenced.may_start(ID)
    desk.lease(begun_s=15.0)
    assert desk.fenced.begun.is_set()
    desk.fenced.answered(14.0)
    assert not desk.fenced.may_start(ID)
    desk.fenced.answered(16.0)
    assert desk.fenced.may_start(ID)
    assert desk.fenced.look()  # The servers are looked at.
    assert not desk.fenced.look()
    desk.lease(since=7, begun_s=19.0)
    assert not desk.fenced.may_start(ID)


def test_any_other_server_is_started_without_a_lease(desk: Desk) -> None:
    desk.fenced.want(saying("wait"))
    assert desk.fenced.may_start(ID)


def test_an_agent_stops_what_a_frozen_fence_does_not(desk: Desk) -> None:
    desk.fenced.want(saying("rebuild"))
    desk.lease()
    desk.at_s += GUARD_AFTER_S - 0.1
    desk.fenced.look()
    assert desk.killed == []
    desk.at_s += 0.1
    desk.fenced.look()
    assert desk.killed == [desk.files.read_groups()[ID]]
    assert desk.files.was_stopped(ID)


def test_an_agent_stops_them_also_when_what_the_fence_wrote_is_lost(desk: Desk) -> None:
    desk.fenced.want(saying("rebuild"))
    desk.lease()
    desk.files._lease.write_bytes(b"torn")
    desk.at_s += GUARD_AFTER_S - 0.1
    desk.fenced.look()
    assert desk.killed == []
    desk.at_s += 0.1
    desk.fenced.look()
    assert desk.killed == [f"host.servers/{ID}"]


def test_a_server_that_the_fence_stopped_runs_again_when_the_lease_is_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tending, "LOOK_AROUND_S", 0.05)
    monkeypatch.setattr(fenced_module, "LOOK_EVERY_S", 0.02)
    host = Host(tmp_path / "host")
    (tmp_path / "fence").mkdir()
    desk = Desk(tmp_path / "fence")
    desk.lease()
    host.fenced = desk.fenced
    wanted = saying("rebuild")
    host.control.want(wanted)

    async def steps() -> None:
        async with host.running():
            await until(lambda: host.control.state_of(wanted) is InstanceState.RUNNING)
            await until(lambda: host.control.server_reports[ID].fenced)
            host.driver.kill(ID)
            desk.files.note_stopped([ID])
            desk.lease(has_lease=False)
            await until(lambda: host.control.state_of(wanted) is InstanceState.STOPPED)
            host.control.want(server(2))  # What is not fenced is started as ever.
            await until(lambda: host.control.state_of(server(2)) is InstanceState.RUNNING)
            assert host.driver.servers[ID].state is InstanceState.STOPPED
            desk.at_s += 1
            desk.lease(since=2, begun_s=desk.at_s)
            await until(lambda: host.control.state_of(wanted) is InstanceState.RUNNING)

    asyncio.run(asyncio.wait_for(steps(), timeout=30))
    assert not desk.files.was_stopped(ID)
