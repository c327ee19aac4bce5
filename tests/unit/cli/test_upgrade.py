"""`kumoi upgrade`: the order of hosts, what stops it before anything changes, and what there is to go back to."""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path

import pytest

from kumoi import config
from kumoi.base.errors import Conflict, NotFound, Permanent
from kumoi.base.process import ProcessFailed
from kumoi.cli import choice, status, up, upgrade, upgrading
from kumoi.cli.progress import Progress
from kumoi.cli.upgrade_plan import HostRelease, Plan
from kumoi.config import CloudSettings, HostSettings
from kumoi.control_host import ControlHost
from kumoi.hosts.cluster import databases, succession
from kumoi.hosts.install import image
from kumoi.hosts.units import releases

TARGET, BEFORE = "0.3.0-new", "0.3.0-old"
CLOUD = CloudSettings(name="t1")


@pytest.fixture
def first(tmp_path: Path) -> HostSettings:
    return HostSettings(name="t1-host1", state_dir=str(tmp_path), roles=("api", "agent"))


def of(name: str, *ran: str, is_control: bool = False, path: str = "there") -> HostRelease:
    return HostRelease(name, is_control, is_up=True, releases=ran, path=path)


def test_control_hosts_come_first_and_of_them_who_leads_the_stores_last(
    first: HostSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [f"t1-host{number}" for number in (1, 2, 3, 4)]
    members = tuple(ControlHost(name, f"172.24.5.{n}") for n, name in enumerate(names[:3], 1))
    cloud = config.changed(CLOUD, control_hosts=members, database_url="sqlite://")
    followers = databases.Members("t1-host1", ("t1-host2", "t1-host3"))
    monkeypatch.setattr(databases, "look", lambda *_: followers)
    monkeypatch.setattr(CloudSettings, "is_replicated", True)
    note = {"leader": "t1-host1", "sync_standby": "t1-host2,t1-host3"}
    monkeypatch.setattr(succession, "_note", lambda *_: json.dumps(note))
    monkeypatch.setattr(upgrading, "_rows", lambda *_: [])
    monkeypatch.setattr(status, "processes", lambda *_: [])
    others = [config.changed(first, name=name, roles=("agent",)) for name in reversed(names[1:])]
    monkeypatch.setattr(choice, "others_here", lambda *_: others)
    monkeypatch.setattr(upgrading, "running_releases", lambda _host: (BEFORE,))
    found = upgrading.plan(cloud, first)
    assert [host.name for host in found.hosts] == [names[1], names[2], names[0], names[3]]
    assert [host.is_control for host in found.hosts] == [True, True, True, False]
    assert found.doubts == ()

    monkeypatch.setattr(databases, "look", lambda *_: databases.Members("t1-host1", ("t1-host2",)))
    assert upgrading.plan(cloud, first).doubts == ("the stores lack PostgreSQL on t1-host3",)


def test_a_member_that_patroni_would_not_let_lead_is_a_doubt(
    first: HostSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It follows already, and if the leader were lost now, nobody would take over."""
    members = tuple(ControlHost(f"t1-host{n}", f"172.24.5.{n}") for n in (1, 2))
    cloud = config.changed(CLOUD, control_hosts=members)
    monkeypatch.setattr(databases, "look", lambda *_: databases.Members("t1-host2", ("t1-host1",)))
    monkeypatch.setattr(status, "processes", lambda *_: [])
    monkeypatch.setattr(upgrading, "running_releases", lambda _host: (TARGET,))
    note = {"leader": "t1-host2", "sync_standby": ""}
    monkeypatch.setattr(succession, "_note", lambda *_: json.dumps(note))
    assert "may take over" in upgrading.own_trouble(cloud, first, TARGET)
    note["sync_standby"] = "t1-host1"
    assert upgrading.own_trouble(cloud, first, TARGET) == ""


@pytest.mark.parametrize(
    ("host", "is_done"),
    [
        (of("h", TARGET), True),
        (of("h", BEFORE), False),
        (of("h", BEFORE, TARGET), False),  # Some still answer.
        (of("h"), False),
        (of("h", "0.3.0", path=""), True),  # Elsewhere the version is all that is known.
        (of("h", "0.2.0", path=""), False),
    ],
)
def test_a_host_is_done_when_all_of_it_is_of_the_release(host: HostRelease, is_done: bool) -> None:
    assert host.is_of(TARGET) is is_done


def test_nothing_begins_while_something_is_half_broken(
    first: HostSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked = Plan(TARGET, (of("t1-host1", BEFORE),), ("api of t1-host1: it ended",))
    monkeypatch.setattr(upgrading, "SETTLED_S", 0.0)
    monkeypatch.setattr(upgrading, "plan", lambda *_: looked)
    monkeypatch.setattr(releases, "install", lambda _directory: pytest.fail("it began"))
    with pytest.raises(Conflict, match=r"api of t1-host1: it ended\. Mend that"):
        upgrading.run(CLOUD, first, Progress(), watch_s=0)


def test_what_a_killed_command_left_on_its_way_is_waited_for(
    first: HostSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = (of("t1-host1", TARGET),)
    looks = iter([Plan(TARGET, done, ("api of t1-host1: starting",))])
    monkeypatch.setattr(choice, "others_here", lambda *_: [])
    monkeypatch.setattr(upgrading, "POLL_S", 0.0)
    monkeypatch.setattr(upgrading, "plan", lambda *_: next(looks, Plan(TARGET, done, ())))
    monkeypatch.setattr(upgrading, "_servers", lambda *_: frozenset())
    monkeypatch.setattr(releases, "install", lambda _directory: releases.running())
    monkeypatch.setattr(up, "ensure_stores", lambda *_: None)
    assert upgrading.run(CLOUD, first, Progress(), watch_s=0).to_do == []


@pytest.fixture
def calls(first: HostSettings, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What a run of two hosts did; each is of the target once it was brought up."""
    done: list[str] = []
    second = config.changed(first, name="t1-host2", roles=("agent",))
    monkeypatch.setattr(choice, "others_here", lambda *_: [second])

    def plan(*_: object) -> Plan:
        hosts = [
            of(name, TARGET if name in done else BEFORE, is_control=name == first.name)
            for name in (first.name, "t1-host2")
        ]
        return Plan(TARGET, tuple(hosts), ())

    monkeypatch.setattr(upgrading, "plan", plan)
    monkeypatch.setattr(upgrading, "_servers", lambda *_: frozenset())
    monkeypatch.setattr(upgrading, "_heard_trouble", lambda *_: "")
    monkeypatch.setattr(releases, "install", lambda _directory: releases.running())
    monkeypatch.setattr(up, "ensure_stores", lambda *_: done.append("stores"))
    monkeypatch.setattr(up, "bring_up", lambda args, _progress: done.append(args.host))
    monkeypatch.setattr(up, "args_of", lambda _cloud, host: argparse.Namespace(host=host.name))
    return done


def test_stores_come_before_hosts_and_what_is_done_is_not_done_again(
    first: HostSettings, calls: list[str]
) -> None:
    upgrading.run(CLOUD, first, Progress(), watch_s=0)
    assert calls == ["stores", "t1-host1", "t1-host2"]
    upgrading.run(CLOUD, first, Progress(), watch_s=0)
    assert calls == ["stores", "t1-host1", "t1-host2", "stores"]


def test_a_host_that_is_in_doubt_stops_the_rest(
    first: HostSettings, calls: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upgrading, "WELL_TIMEOUT_S", 0.0)
    monkeypatch.setattr(upgrading, "_servers", lambda *_: frozenset({"one"}))
    with pytest.raises(Permanent, match=r"t1-host1 is in doubt: servers that ran are faulty: one"):
        upgrading.run(CLOUD, first, Progress(), watch_s=0)
    assert calls == ["stores", "t1-host1"]


def test_the_way_back_is_to_the_release_used_last_or_to_the_one_that_is_named(
    first: HostSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(choice, "others_here", lambda *_: [])
    monkeypatch.setattr(upgrading, "running_releases", lambda _host: (TARGET,))
    with pytest.raises(Conflict, match="no other release to go back to"):
        upgrading.older(CLOUD, first)
    for age, name in enumerate((TARGET, BEFORE, "0.2.0-older")):
        home = first.release_dir / name
        home.mkdir(parents=True)
        os.utime(home, (1_000 - age, 1_000 - age))
    assert upgrading.older(CLOUD, first) == BEFORE
    assert upgrading.older(CLOUD, first, "0.2.0-older") == "0.2.0-older"
    with pytest.raises(Conflict, match=r"there is no release 0\.1: 0\.3\.0-new"):
        upgrading.older(CLOUD, first, "0.1")


def test_a_way_back_that_was_cut_off_goes_on_and_not_forward(
    first: HostSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first host is back already, another one is not."""
    for age, name in enumerate((TARGET, BEFORE)):
        home = first.release_dir / name
        home.mkdir(parents=True)
        os.utime(home, (1_000 - age, 1_000 - age))
    second = config.changed(first, name="t1-host2")
    monkeypatch.setattr(choice, "others_here", lambda *_: [second])
    monkeypatch.setattr(
        upgrading, "running_releases", lambda host: (BEFORE if host is first else TARGET,)
    )
    assert upgrading.older(CLOUD, first) == BEFORE


def test_a_finalized_cloud_does_not_go_below_its_release(
    first: HostSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(choice, "existing", lambda _args: (CLOUD, first))
    monkeypatch.setattr(upgrade, "_finalized", lambda *_: "0.3.0")
    monkeypatch.setattr(upgrading, "older", lambda *_: "0.2.0-older")
    with pytest.raises(Conflict, match=r"finalized at 0\.3\.0: it does not go back to 0\.2\.0"):
        upgrade.rollback(argparse.Namespace(to=""))


def test_a_host_without_the_stores_is_told_where_to_ask(
    first: HostSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    joined = config.changed(first, name="t1-host2", underlay_address="172.24.5.9", roles=("agent",))
    monkeypatch.setattr(choice, "existing", lambda _args: (CLOUD, joined))
    with pytest.raises(NotFound, match="call this on a control host"):
        upgrade.plan(argparse.Namespace(json=True))


def test_a_process_is_of_the_release_that_its_program_lies_in(first: HostSettings) -> None:
    here = Path(Path("/proc/self/cmdline").read_bytes().split(b"\0")[0].decode())
    assert releases.of_process(os.getpid(), here.parents[2]) == here.parents[1].name
    assert releases.of_process(os.getpid(), first.release_dir) == ""
    assert releases.of_process(0, first.release_dir) == ""


@pytest.fixture
def way_back(first: HostSettings, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What the way back of three control hosts and one other did; the first of them leads the stores."""
    done: list[str] = []
    names = [f"t1-host{number}" for number in (1, 2, 3, 4)]
    hosts = [
        config.changed(first, name=name, state_dir=f"{first.state_dir}/{name}") for name in names
    ]
    for host in hosts:
        (host.release_dir / BEFORE).mkdir(parents=True)
    here = {host.state_dir: host for host in hosts}
    monkeypatch.setattr(upgrading, "_here", lambda *_: {host.name: host for host in hosts})
    turns = [
        of(name, TARGET, is_control=name != names[3])
        for name in (*names[1:3], *names[:1], names[3])
    ]
    monkeypatch.setattr(upgrading, "plan", lambda *_: Plan(TARGET, tuple(turns), ("it is faulty",)))
    monkeypatch.setattr(
        upgrading,
        "hand_over",
        lambda _cloud, host, _progress: done.append(f"hand over {host.name}"),
    )
    monkeypatch.setattr(
        releases, "bring_up", lambda _home, words: done.append(here[words[-1]].name)
    )
    monkeypatch.setattr(image, "share", lambda: None)
    monkeypatch.setattr(
        upgrading, "running_releases", lambda host: (BEFORE if host.name in done else TARGET,)
    )
    monkeypatch.setattr(status, "processes", lambda *_: [])
    return done


def test_on_the_way_back_control_hosts_come_last_and_of_them_who_leads_the_stores(
    first: HostSettings, way_back: list[str]
) -> None:
    """And what is amiss elsewhere stops nothing: it may be why one goes back."""
    names = upgrading.go_back(CLOUD, first, BEFORE, Progress())
    assert names == ["t1-host4", "t1-host2", "t1-host3", "t1-host1"]
    assert way_back == [each for name in names for each in (f"hand over {name}", name)]


def test_the_way_back_waits_for_each_host_before_the_next(
    first: HostSettings, way_back: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upgrading, "WELL_TIMEOUT_S", 0.0)
    cloud = config.changed(
        CLOUD,
        control_hosts=(
            ControlHost("t1-host2", "172.24.5.2"),
            ControlHost("t1-host3", "172.24.5.3"),
        ),
    )
    monkeypatch.setattr(CloudSettings, "is_replicated", True)
    monkeypatch.setattr(databases, "look", lambda *_: databases.Members("t1-host1", ("t1-host3",)))
    with pytest.raises(Permanent, match=r"t1-host2 is in doubt: its member of the stores does not"):
        upgrading.go_back(cloud, first, BEFORE, Progress())
    assert [each for each in way_back if "hand" not in each] == ["t1-host4", "t1-host2"]


def test_who_cannot_be_brought_back_is_named_with_what_to_do(
    first: HostSettings, way_back: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(_home: Path, _words: list[str]) -> None:
        raise ProcessFailed("patroni not ready")

    monkeypatch.setattr(releases, "bring_up", fails)
    with pytest.raises(Permanent, match=r"(?s)t1-host4 is in doubt: .*`upgrade rollback` again$"):
        upgrading.go_back(CLOUD, first, BEFORE, Progress())
    assert way_back == ["hand over t1-host4"]


def test_nothing_is_taken_back_that_never_ran(
    first: HostSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A `run` that stopped before its first host has installed the release, and no more."""
    monkeypatch.setattr(choice, "others_here", lambda *_: [])
    monkeypatch.setattr(upgrading, "running_releases", lambda _host: (BEFORE,))
    for age, name in enumerate((TARGET, BEFORE, "0.2.0-older")):
        home = first.release_dir / name
        home.mkdir(parents=True)
        os.utime(home, (1_000 - age, 1_000 - age))
    with pytest.raises(Conflict, match=r"no host runs 0\.3\.0-new.*--to 0\.2\.0-older"):
        upgrading.older(CLOUD, first)
    assert upgrading.older(CLOUD, first, "0.2.0-older") == "0.2.0-older"
