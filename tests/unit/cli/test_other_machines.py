"""The first host orders two other machines, which carry it out: over real TLS, with real files. What starts
processes is played.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from tests.unit.cli.joined_host import joined_host

from kumoi import config, members
from kumoi.base.errors import Conflict, KumoiError, NotFound, Permanent, Transient
from kumoi.cli import choice, control_part, joining, other_machines, up
from kumoi.cli.other_machines import OtherMachines
from kumoi.cli.output import OperatorConsole
from kumoi.cli.progress import Progress
from kumoi.cloud.hostapi import join as hostapi
from kumoi.config import CloudSettings, HostSettings, Role, first_host
from kumoi.control_host import ControlHost
from kumoi.hosts.cluster import control_orders, ovn_members
from kumoi.hosts.cluster.control_orders import ControlOrder, ControlStep
from kumoi.hosts.first_use import clouds_yaml, passwords, pki, sharing
from kumoi.hosts.install import packages
from kumoi.hosts.wires import virtual

NOW = datetime.now(UTC)
NUMBER = os.getpid()
NETWORK = f"127.{64 + NUMBER % 128}.{NUMBER // 128 % 256}"
NAMES = ("t1-host2", "t1-host3")
ALONE = CloudSettings(
    name="t1", underlay_cidr=f"{NETWORK}.16/28", southbound_url=f"ssl:{NETWORK}.17:6642"
)
WANTED = config.changed(
    ALONE,
    control_hosts=(
        ControlHost("t1-host1", f"{NETWORK}.17"),
        ControlHost("t1-host2", f"{NETWORK}.30"),
        ControlHost("t1-host3", f"{NETWORK}.29"),
    ),
    shared_address=f"{NETWORK}.28",
)
JOIN_WITHIN_S = 20.0


@dataclass
class World:
    """`fails` are words that a host's `up` raises once. `told` is what each `up` found written."""

    first: HostSettings
    others: dict[str, HostSettings]
    fails: dict[str, str] = field(default_factory=dict)
    told: list[tuple[str, tuple[str, ...], str]] = field(default_factory=list)
    failures: dict[str, KumoiError] = field(default_factory=dict)
    followers: list[threading.Thread] = field(default_factory=list)
    troubled: set[str] = field(default_factory=set)
    current: CloudSettings = ALONE

    def cloud_of(self, name: str) -> CloudSettings:
        return config.read(CloudSettings, self.others[name].state).settings

    def host_of(self, name: str) -> HostSettings:
        return config.read(HostSettings, self.others[name].state).settings

    def bring_up(self, args: argparse.Namespace, _progress: Progress) -> None:
        host = config.read(HostSettings, Path(args.state_dir)).settings
        cloud = config.read(CloudSettings, host.state).settings
        if cloud.control_host(host.name):
            sharing.renew(cloud, host, NOW)
            sharing.require(host)
            members.etcd_dir(host).mkdir(exist_ok=True)
        self.told.append((host.name, host.roles, cloud.shared_address))
        if words := self.fails.pop(host.name, ""):
            self.troubled.add(host.name)
            raise Permanent(words)

    def following(self, *_: Any) -> set[str]:
        return {name for name, _, _ in self.told} - self.troubled

    def follow(self, name: str) -> None:
        """`cluster control` on that machine, beside this thread."""

        def run() -> None:
            try:
                control_part.follow(self.cloud_of(name), self.host_of(name), quiet())
            except KumoiError as error:
                self.failures[name] = error

        self.followers.append(threading.Thread(target=run, daemon=True, name=name))
        self.followers[-1].start()

    def join(self) -> None:
        for thread in self.followers:
            thread.join(JOIN_WITHIN_S)
            assert not thread.is_alive()
        self.followers.clear()

    @contextlib.contextmanager
    def ordered(self) -> Iterator[OtherMachines]:
        with other_machines.ordered(ALONE, self.first, NAMES) as machines:
            yield machines


def quiet() -> Progress:
    return Progress(OperatorConsole(quiet=True))


def played(monkeypatch: pytest.MonkeyPatch, world: World, home: Path) -> None:
    def keys(*_: Any) -> dict[str, str]:
        found = {name: pki.read_certificate(host) for name, host in world.others.items()}
        return {name: pki.public_key_sha256(each) for name, each in found.items()}

    def settings(*_: Any) -> str:
        return config.render(world.current)

    def from_here(_host: HostSettings, ask: Callable[[], Any]) -> Any:
        return ask()

    monkeypatch.setattr(other_machines, "_keys", keys)
    monkeypatch.setattr(other_machines, "_following", world.following)
    monkeypatch.setattr(joining, "from_here", from_here)
    monkeypatch.setattr(hostapi, "fetch_settings", settings)
    monkeypatch.setattr(up, "bring_up", world.bring_up)
    monkeypatch.setattr(packages, "ensure", lambda _wanted: [])
    monkeypatch.setattr(ovn_members, "leave", lambda *_: None)
    monkeypatch.setattr(virtual, "forget_control_address", lambda *_: None)
    monkeypatch.setattr(control_part, "ASK_EVERY_S", 0.02)
    monkeypatch.setattr(control_part, "AFTERWARDS_S", 0.5)
    monkeypatch.setattr(other_machines, "COME_WITHIN_S", 20.0)

    def person() -> clouds_yaml.Person:
        """Each machine has its own."""
        own = home / threading.current_thread().name
        own.mkdir(exist_ok=True)
        return clouds_yaml.Person(own, os.geteuid(), os.getegid())

    monkeypatch.setattr(choice, "person", person)


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    first = first_host(ALONE, str(tmp_path / "1"))
    pki.ensure(ALONE, first, NOW)
    passwords.ensure(first)
    others = {name: joined_host(ALONE, first, name, tmp_path / name, NOW) for name in NAMES}
    for host in others.values():
        config.write(ALONE, host.state)
        config.write(host, host.state)
    made = World(first, others)
    (tmp_path / "home").mkdir()
    played(monkeypatch, made, tmp_path / "home")
    return made


def test_two_machines_become_control_hosts(world: World, tmp_path: Path) -> None:
    with world.ordered() as machines:
        for name in NAMES:
            world.follow(name)
        machines.await_all(quiet(), anew=True)
        machines.start_members(WANTED, world.first)
        machines.await_members(WANTED, world.first, quiet())
        machines.give_roles(WANTED, world.first, quiet())
        world.join()
    assert world.failures == {}
    for name in NAMES:
        each = ("network", "api", "worker", "agent", "pipeline")
        told = [(roles, shared) for who, roles, shared in world.told if who == name]
        # Nobody has the clients' address who could not answer there.
        assert told == [(("network", "agent"), ""), (each, WANTED.shared_address)]
        assert world.cloud_of(name) == WANTED
        file = (tmp_path / "home" / name / clouds_yaml.FILE).read_text()
        assert f"https://{WANTED.shared_address}:5000/identity" in file


def test_nothing_begins_while_one_machine_is_not_there(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(other_machines, "COME_WITHIN_S", 0.5)
    monkeypatch.setattr(control_part, "WAIT_S", 0.5)
    with world.ordered() as machines:
        world.follow(NAMES[0])
        with pytest.raises(Permanent, match="t1-host3 not there after"):
            machines.await_all(quiet(), anew=True)
    world.join()
    assert world.told == []
    assert isinstance(world.failures[NAMES[0]], Transient)


def test_a_machine_whose_command_was_killed_goes_on_from_where_it_was(world: World) -> None:
    with world.ordered() as machines:
        world.follow(NAMES[0])
        machines.start_members(WANTED, world.first)
        half = world.others[NAMES[1]]  # Killed before its `up`.
        sharing.unpack(half, sharing.parcel(world.first))
        config.write(WANTED, half.state)
        world.follow(NAMES[1])
        machines.await_members(WANTED, world.first, quiet())
        machines.give_roles(WANTED, world.first, quiet())
        world.join()
    assert all(world.cloud_of(name) == WANTED for name in NAMES)


def test_what_one_machine_cannot_do_is_said_on_the_first_and_both_go_back(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(control_part, "WAIT_S", 5.0)
    world.fails[NAMES[1]] = "etcd not ready"
    with world.ordered() as machines:
        for name in NAMES:
            world.follow(name)
        machines.await_all(quiet(), anew=True)
        machines.start_members(WANTED, world.first)
        with pytest.raises(Permanent, match="t1-host3: etcd not ready"):
            machines.await_members(WANTED, world.first, quiet())
        machines.put_back(quiet())
        for name in NAMES:
            assert world.cloud_of(name) == ALONE
            assert world.host_of(name).roles == ("agent",)
            assert not members.etcd_dir(world.others[name]).exists()
            assert not (world.others[name].pki_dir / "ca.key").exists()
    monkeypatch.setattr(control_part, "WAIT_S", 0.0)
    world.join()


def test_what_a_machine_has_of_an_attempt_that_was_cut_off_goes_before_the_next(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its etcd was of another cluster, which is no more."""
    left = world.others[NAMES[0]]
    with world.ordered() as machines:
        machines.start_members(WANTED, world.first)
    sharing.unpack(left, sharing.parcel(world.first))
    config.write(WANTED, left.state)
    members.etcd_dir(left).mkdir()
    (members.etcd_dir(left) / "of-another-attempt").touch()
    with world.ordered() as machines:
        for name in NAMES:
            world.follow(name)
        machines.await_all(quiet(), anew=True)
        assert world.cloud_of(NAMES[0]) == ALONE
        assert not members.etcd_dir(left).exists()
        machines.start_members(WANTED, world.first)
        machines.await_members(WANTED, world.first, quiet())
        machines.give_roles(WANTED, world.first, quiet())
        world.join()
    assert world.failures == {}
    assert all(world.cloud_of(name) == WANTED for name in NAMES)


def test_a_machine_that_was_left_behind_goes_back_by_itself(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    with world.ordered() as machines:
        machines.start_members(WANTED, world.first)
        left = world.others[NAMES[0]]
        sharing.unpack(left, sharing.parcel(world.first))
        config.write(WANTED, left.state)
        config.write(config.changed(left, roles=("network", "agent")), left.state)
    monkeypatch.setattr(control_part, "WAIT_S", 0.1)
    world.follow(NAMES[0])
    world.join()
    assert world.cloud_of(NAMES[0]) == ALONE
    assert world.host_of(NAMES[0]).roles == ("agent",)


def test_a_first_host_that_is_called_again_hears_that_all_is_done(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody listened when it was done: it would wait for that until its time is over."""
    name, done, heard = NAMES[0], threading.Event(), threading.Event()

    def bring_up(args: argparse.Namespace, progress: Progress) -> None:
        world.bring_up(args, progress)
        done.set()
        assert heard.wait(JOIN_WITHIN_S)

    monkeypatch.setattr(control_part, "AFTERWARDS_S", JOIN_WITHIN_S)
    monkeypatch.setattr(up, "bring_up", bring_up)
    with world.ordered() as machines:
        machines.start_members(WANTED, world.first)
        machines._order(ControlStep.ROLES, WANTED, world.first, [Role.API])
        world.follow(name)
        assert done.wait(JOIN_WITHIN_S)
    asked = count_asked(monkeypatch)
    heard.set()
    assert asked.acquire(timeout=JOIN_WITHIN_S)
    with world.ordered() as again:
        world.join()
        assert again._listener.heard()[name].reached is ControlStep.ROLES
    assert world.failures == {}


def count_asked(monkeypatch: pytest.MonkeyPatch) -> threading.Semaphore:
    """One more each time that a machine has asked in vain."""
    asked, ask = threading.Semaphore(0), control_orders.ask

    def asks(*words: Any) -> ControlOrder:
        try:
            return ask(*words)
        except Transient:
            asked.release()
            raise

    monkeypatch.setattr(control_orders, "ask", asks)
    return asked


def test_a_control_host_stays_while_the_first_one_is_off(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def off(*_: Any) -> str:
        raise Transient("the control plane does not answer")

    monkeypatch.setattr(hostapi, "fetch_settings", off)
    monkeypatch.setattr(control_part, "WAIT_S", 0.1)
    config.write(WANTED, world.others[NAMES[0]].state)
    world.follow(NAMES[0])
    world.join()
    assert world.cloud_of(NAMES[0]) == WANTED


def test_hosts_of_the_first_machine_are_not_ordered(world: World) -> None:
    near = config.changed(world.others[NAMES[0]], has_edge=True)
    with pytest.raises(Conflict, match="on the cloud's first machine"):
        control_part.follow(ALONE, near, quiet())


def test_it_is_said_which_hosts_when_more_have_joined(world: World) -> None:
    found = other_machines.chosen(ALONE, world.first, 3, [])
    assert found == list(NAMES)
    assert other_machines.chosen(WANTED, world.first, 3, []) == list(NAMES)
    with pytest.raises(NotFound, match="no host t1-host9 has joined"):
        other_machines.chosen(ALONE, world.first, 3, ["t1-host9", NAMES[0]])
    with pytest.raises(Conflict, match="--on names 1 hosts, and 2 are to be"):
        other_machines.chosen(ALONE, world.first, 3, [NAMES[0]])
    world.others["t1-host4"] = world.others[NAMES[0]]
    with pytest.raises(Conflict, match="say which 2 of t1-host2, t1-host3, t1-host4"):
        other_machines.chosen(ALONE, world.first, 3, [])
