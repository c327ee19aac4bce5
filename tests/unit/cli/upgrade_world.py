"""A first host and three others on other machines, which go to another release and back: over real TLS, with a real
store. What starts processes is played.
"""

from __future__ import annotations

import argparse
import os
import signal
import threading
from collections.abc import Callable, Iterator, MutableMapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from tests.unit.cli.joined_host import joined_host
from tests.unit.cli.test_other_machines import NETWORK

from kumoi import config, members
from kumoi.base import files
from kumoi.base.errors import KumoiError, Permanent
from kumoi.cli import joining, status, up, upgrade_machines, upgrade_part, upgrading
from kumoi.cli.output import OperatorConsole
from kumoi.cli.progress import Progress
from kumoi.cli.upgrade_machines import UpgradeMachines
from kumoi.cli.upgrade_plan import Plan
from kumoi.cloud.domain.host import enrolment
from kumoi.cloud.domain.host import host as domain
from kumoi.cloud.hostapi.hello import HostHello
from kumoi.cloud.store.host import host as host_store
from kumoi.cloud.store.tables import metadata
from kumoi.config import CloudSettings, HostSettings, first_host
from kumoi.control_host import ControlHost
from kumoi.engine.db import Database, now
from kumoi.hosts.cluster import databases, handover, places, succession
from kumoi.hosts.cluster.databases import Members
from kumoi.hosts.cluster.succession import Succession
from kumoi.hosts.cluster.upgrade_orders import UpgradeAction
from kumoi.hosts.first_use import pki
from kumoi.hosts.install import image
from kumoi.hosts.units import releases
from kumoi.hosts.units.releases import Release

NOW = datetime.now(UTC)
TARGET, BEFORE = "9.0.0-new", "8.0.0-old"
FIRST, NAMES = "t1-host1", ("t1-host2", "t1-host3", "t1-host4")
CONTROL = (FIRST, *NAMES[:2])
JOIN_WITHIN_S = 20.0


def hello(release: str) -> HostHello:
    version = release.partition("-")[0]
    return HostHello(release=version, hostname="h", drivers=[], vcpus=1, ram_mib=1, disk_gib=1)


class Runs(MutableMapping[str, str]):
    """By host, in files: whoever is killed has changed what the next one finds."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        directory.mkdir()

    def __getitem__(self, name: str) -> str:
        return (self._directory / name).read_text()

    def __setitem__(self, name: str, release: str) -> None:
        files.replace(self._directory / name, release.encode(), promise=files.Promise.OLD_OR_NEW)

    def __delitem__(self, name: str) -> None:
        (self._directory / name).unlink()

    def __iter__(self) -> Iterator[str]:
        return (path.name for path in sorted(self._directory.glob("t1-host?")))

    def __len__(self) -> int:
        return len(list(iter(self)))


@dataclass
class World:
    """`runs` are the releases of hosts, `done` is what was done to them. `fails` are words that a host's `up` raises
    once. The first of three control hosts leads the stores; the fourth host only runs servers. Of those that are not
    heard of `members` have members of the stores that answer. `takes_along` names who goes off when a host has had its turn. A process is killed when it reaches what `dies_at` says.
    """

    cloud: CloudSettings
    first: HostSettings
    others: dict[str, HostSettings]
    runs: Runs
    done: list[str] = field(default_factory=list)
    fails: dict[str, str] = field(default_factory=dict)
    failures: dict[str, KumoiError] = field(default_factory=dict)
    followers: list[threading.Thread] = field(default_factory=list)
    dies_at: str = ""
    members: set[str] = field(default_factory=set)
    takes_along: dict[str, str] = field(default_factory=dict)

    def goes_to(self, name: str, release: str) -> None:
        self.reach(f"{name} begins")
        if words := self.fails.pop(name, ""):
            raise Permanent(words)
        self.done.append(name)
        self.runs[name] = release
        self.say_hello(name)
        self.reach(f"{name} is done")
        if lost := self.takes_along.pop(name, ""):
            self.fall_silent(lost)

    def reach(self, point: str) -> None:
        if point == self.dies_at:
            os.kill(os.getpid(), signal.SIGKILL)

    def say_hello(self, name: str) -> None:
        with closing(self.open()) as database, database.write() as connection:
            domain.register(connection, name, hello(self.runs[name]), now(connection))

    def fall_silent(self, name: str) -> None:
        with closing(self.open()) as database, database.write() as connection:
            host_store.update(connection, name, state=host_store.DOWN)

    def open(self) -> Database:
        return Database(
            members.cloud_database(self.cloud, self.first), wake_dir=self.first.wake_dir
        )

    def follow(self, action: UpgradeAction, names: Sequence[str] = NAMES) -> None:
        """The command on these machines, beside this thread."""

        def run(name: str) -> None:
            try:
                upgrade_part.follow(self.cloud, self.others[name], action, quiet())
            except KumoiError as error:
                self.failures[name] = error

        for name in names:
            self.followers.append(threading.Thread(target=run, args=[name], daemon=True))
            self.followers[-1].start()

    def join(self) -> None:
        for thread in self.followers:
            thread.join(JOIN_WITHIN_S)
            assert not thread.is_alive()
        self.followers.clear()

    def run(self) -> Plan:
        """`upgrade run` on the first host."""
        names = upgrading.on_machines(self.cloud, self.first)
        with upgrade_machines.ordered(
            self.cloud, self.first, names, UpgradeAction.RUN, releases.release_id()
        ) as machines:
            return upgrading.run(self.cloud, self.first, quiet(), watch_s=0, machines=machines)

    def go_back(self) -> list[str]:
        """`upgrade rollback` on the first host."""
        wanted = upgrading.older(self.cloud, self.first)
        names = upgrading.on_machines(self.cloud, self.first)
        with upgrade_machines.ordered(
            self.cloud, self.first, names, UpgradeAction.ROLLBACK, wanted
        ) as machines:
            return upgrading.go_back(self.cloud, self.first, wanted, quiet(), machines)

    def go_there(self) -> None:
        """All of them, with nothing amiss."""
        self.follow(UpgradeAction.RUN)
        self.run()
        self.join()
        self.done.clear()


def add_oldest(host: HostSettings) -> None:
    home = host.release_dir / "7.0.0-oldest"
    home.mkdir()
    os.utime(home, (1, 1))


def quiet() -> Progress:
    return Progress(OperatorConsole(quiet=True))


def played(monkeypatch: pytest.MonkeyPatch, world: World) -> None:
    def bring_up(args: argparse.Namespace, _progress: Progress) -> None:
        host = config.read(HostSettings, Path(args.state_dir)).settings
        world.goes_to(host.name, releases.release_id())

    def bring_back(home: Path, words: Sequence[str]) -> None:
        host = config.read(HostSettings, Path(words[-1])).settings
        world.goes_to(host.name, home.name)

    def install(directory: Path) -> Release:
        home = directory / releases.release_id()
        home.mkdir(parents=True, exist_ok=True)
        world.reach("the release is there")
        return Release(home.name, home / "bin/python3")

    def from_here(_host: HostSettings, ask: Callable[[], Any]) -> Any:
        return ask()

    def give_lead(_cloud: CloudSettings, host: HostSettings) -> None:
        world.done.append(f"hand over {host.name}")
        world.reach("the lead is given away")

    following = CONTROL[1:]
    monkeypatch.setattr(releases, "release_id", lambda: TARGET)
    monkeypatch.setattr(releases, "install", install)
    monkeypatch.setattr(releases, "bring_up", bring_back)
    monkeypatch.setattr(up, "bring_up", bring_up)

    def expand(*_: object) -> None:
        world.done.append("stores")
        world.reach("stores are expanded")

    def end(machines: UpgradeMachines) -> None:
        world.reach("all are done")
        end_of(machines)

    end_of = UpgradeMachines.end
    monkeypatch.setattr(UpgradeMachines, "end", end)
    monkeypatch.setattr(up, "ensure_stores", expand)
    monkeypatch.setattr(upgrading, "running_releases", lambda host: (world.runs[host.name],))
    monkeypatch.setattr(upgrading, "_servers", lambda *_: frozenset())
    monkeypatch.setattr(status, "processes", lambda *_: [])
    monkeypatch.setattr(databases, "look", lambda *_: Members(FIRST, following))
    monkeypatch.setattr(databases, "wait_for_leader", lambda *_, **__: None)
    monkeypatch.setattr(handover, "hand_over", give_lead)
    monkeypatch.setattr(
        succession, "look", lambda *_, **__: Succession(FIRST, following, following, ())
    )
    monkeypatch.setattr(places, "answers", lambda _cloud, _here, place: place.name in world.members)
    monkeypatch.setattr(image, "share", lambda: None)
    monkeypatch.setattr(joining, "from_here", from_here)
    monkeypatch.setattr(upgrade_part, "ASK_EVERY_S", 0.02)
    monkeypatch.setattr(upgrade_machines, "POLL_S", 0.02)
    monkeypatch.setattr(upgrading, "POLL_S", 0.02)
    monkeypatch.setattr(upgrading, "SETTLED_S", 0.0)


def make_world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    state = tmp_path / "1"
    cloud = CloudSettings(
        name="t1",
        underlay_cidr=f"{NETWORK}.32/28",
        control_hosts=tuple(
            ControlHost(name, f"{NETWORK}.{33 + number}") for number, name in enumerate(CONTROL)
        ),
        database_url=f"sqlite:///{state}/cloud.db",
    )
    first = first_host(cloud, str(state))
    pki.ensure(cloud, first, NOW)
    others = {name: joined_host(cloud, first, name, tmp_path / name, NOW) for name in NAMES}
    made = World(cloud, first, others, Runs(tmp_path / "runs"))
    made.runs.update(dict.fromkeys((FIRST, *NAMES), BEFORE))
    with closing(made.open()) as database:
        metadata.create_all(database.engine)
        with database.write() as connection:
            for host in (first, *others.values()):
                config.write(cloud, host.state)
                config.write(host, host.state)
                (host.release_dir / BEFORE).mkdir(parents=True)
                key = pki.public_key_sha256(pki.read_certificate(host))
                enrolment.enrol(connection, host.name, key)
                domain.register(connection, host.name, hello(BEFORE), now(connection))
    played(monkeypatch, made)
    return made
