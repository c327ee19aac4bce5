"""Stores that move to PostgreSQL, and back where something fails. What starts processes is played."""

from __future__ import annotations

import argparse
import contextlib
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from kumoi import config, members
from kumoi.base.errors import Conflict, Invalid, Permanent
from kumoi.cli import backup, choice, cluster, copies, replicating, up
from kumoi.cli.other_machines import NOBODY, OtherMachines
from kumoi.cli.output import OperatorConsole
from kumoi.cli.progress import Progress
from kumoi.config import CloudSettings, HostSettings, first_host
from kumoi.control_host import ControlHost
from kumoi.engine import copy, feed
from kumoi.engine.db import Database
from kumoi.hosts.cluster import databases
from kumoi.hosts.cluster.control_orders import ControlListener
from kumoi.hosts.units import keeper, users

ALONE = CloudSettings(name="t1", underlay_cidr="10.0.5.0/28", southbound_url="ssl:10.0.5.1:6642")
NAMES = ("t1-host2", "t1-host3")


@dataclass
class World:
    """A cloud of three hosts whose processes are played. `fails_at` is the step that raises."""

    hosts: list[HostSettings]
    fails_at: str = ""
    is_written: bool = False
    told: list[tuple[str, CloudSettings]] = field(default_factory=list)
    waited: list[str] = field(default_factory=list)
    others: list[HostSettings] = field(default_factory=list)

    @property
    def first(self) -> HostSettings:
        return self.hosts[0]

    def settings(self, host: HostSettings) -> CloudSettings:
        return config.read(CloudSettings, host.state).settings

    def roles(self, host: HostSettings) -> tuple[str, ...]:
        return config.read(HostSettings, host.state).settings.roles

    def bring_up(self, args: argparse.Namespace, _progress: Progress) -> None:
        host = next(host for host in self.hosts if host.state_dir == args.state_dir)
        cloud = self.settings(host)
        self.told.append((host.name, cloud))
        if cloud.control_host(host.name):
            members.postgres_dir(host).mkdir(exist_ok=True)
            for path in kept(host):
                path.parent.mkdir(parents=True, exist_ok=True)
                path.touch()
        if self.fails_at == "members" and cloud.is_replicated:
            raise Permanent("etcd not ready")

    def start_roles(self, cloud: CloudSettings, host: HostSettings, _progress: Progress) -> None:
        if self.is_written:
            touch(members.cloud_database(cloud, host), "later")
        if self.fails_at == "roles":
            raise Permanent("api not ready")

    def replicate(self, machines: OtherMachines = NOBODY) -> None:
        progress = Progress(OperatorConsole(quiet=True))
        replicating.replicate(
            self.settings(self.first), self.first, progress, number=3, machines=machines
        )


def kept(host: HostSettings) -> list[Path]:
    """An image, a repository and the authorities' keys."""
    keys = [host.pki_dir / f"{name}.key" for name in ("ca", "engines")]
    return [host.image_dir / "aa", host.state / "git/p/app.git/HEAD", *keys]


def touch(url: str, key: str) -> None:
    opened = contextlib.closing(Database(url, wake_dir=Path("/unused")))
    with opened as database, database.write() as connection:
        feed.touch(connection, "things", key)


def keys(url: str) -> list[str]:
    opened = contextlib.closing(Database(url, wake_dir=Path("/unused")))
    with opened as database, database.read() as connection:
        return list(feed.changes(connection, "things", since=0).keys)


@pytest.fixture
def world(postgres_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    from tests.postgres import fresh_database

    first = first_host(ALONE, str(tmp_path / "1"))
    others = [
        HostSettings(name=name, state_dir=str(tmp_path / name), roles=("agent",)) for name in NAMES
    ]
    made = World([first, *others], others=others)
    for host in made.hosts:
        host.store_dir.mkdir(parents=True)
        host.pipeline_dir.mkdir()
        config.write(ALONE, host.state)
        config.write(host, host.state)
    for store in backup.stores(ALONE, first):
        store.upgrade(store.url)
    touch(members.cloud_database(ALONE, first), "before")
    monkeypatch.setattr(choice, "others_here", lambda *_: others)
    monkeypatch.setattr(up, "bring_up", made.bring_up)
    monkeypatch.setattr(up, "is_open_to_hosts", lambda _cloud: True)
    monkeypatch.setattr(keeper, "stop_roles", lambda *_: None)
    monkeypatch.setattr(replicating, "_start_roles", made.start_roles)
    monkeypatch.setattr(databases, "let_copies_read", lambda *_: None)
    monkeypatch.setattr(copies, "wait", lambda *_: made.waited.append("copies"))
    with fresh_database(postgres_url) as cloud, fresh_database(postgres_url) as pipeline:
        urls = {members.CLOUD: cloud, members.PIPELINE: pipeline}
        monkeypatch.setattr(members, "store_url", lambda _cloud, _host, store: urls[store])
        yield made


def test_a_cloud_moves_with_all_its_rows(world: World) -> None:
    world.replicate()
    cloud = world.settings(world.first)
    assert [host.name for host in cloud.control_hosts] == ["t1-host1", *NAMES]
    assert [host.address for host in cloud.control_hosts] == ["10.0.5.1", "10.0.5.14", "10.0.5.13"]
    assert cloud.shared_address == "10.0.5.12"
    assert cloud.database_url == ""
    assert keys(members.cloud_database(cloud, world.first)) == ["before"]
    assert {path.name for path in world.first.store_dir.glob("*.db*")} == {"cloud.db.moved"}
    assert all(world.settings(host) == cloud for host in world.hosts)
    assert world.waited == ["copies"]  # No disk is the only one that has something.
    each = ("network", "api", "worker", "agent", "pipeline")
    assert [world.roles(host) for host in world.hosts[1:]] == [each] * 2


def test_a_cloud_whose_other_control_hosts_have_no_roles_gets_them_later(world: World) -> None:
    world.replicate()
    for host in world.hosts[1:]:
        settings = config.read(HostSettings, host.state).settings
        config.write(config.changed(settings, roles=("agent", "of-later")), host.state)
    cloud = world.settings(world.first)
    replicating.share_roles(cloud, world.first, Progress(OperatorConsole(quiet=True)))
    each = ("api", "worker", "agent", "pipeline", "of-later")
    assert [world.roles(host) for host in world.hosts[1:]] == [each] * 2


def test_a_cloud_that_has_its_stores_on_three_hosts_gets_an_address_for_clients_later(
    world: World,
) -> None:
    world.replicate()
    cloud = world.settings(world.first)
    without = config.changed(cloud, shared_address="")
    assert replicating.share_address(without, world.first, without, address="") == cloud
    assert replicating.share_address(cloud, world.first, cloud, address="") == cloud
    elsewhere = replicating.share_address(cloud, world.first, cloud, address="192.0.2.9")
    assert elsewhere.shared_address == "192.0.2.9"
    with pytest.raises(Invalid, match="is one host's own"):
        replicating.share_address(cloud, world.first, cloud, address="10.0.5.14")
    behind_proxy = config.changed(without, api_public_url="https://cloud.example")
    assert (
        replicating.share_address(behind_proxy, world.first, behind_proxy, address="")
        == behind_proxy
    )
    last = (ControlHost("t1-host2", "10.0.5.2"),)
    full = config.changed(without, underlay_cidr="10.0.5.0/30", control_hosts=last)
    assert replicating.share_address(full, world.first, full, address="") == full


def test_where_the_first_host_is_without_pipeline_the_others_are(world: World) -> None:
    world.replicate()
    roles = tuple(role for role in world.first.roles if role != "pipeline")
    first, cloud = config.changed(world.first, roles=roles), world.settings(world.first)
    replicating.share_roles(cloud, first, Progress(OperatorConsole(quiet=True)))
    each = ("network", "api", "worker", "agent")
    assert [world.roles(host) for host in world.hosts[1:]] == [each] * 2


class PlayedMachines(OtherMachines):
    """One host on another machine."""

    def __init__(self, world: World) -> None:
        super().__init__(("t1-host7",), ControlListener("t1", {}))
        self._world = world
        self.orders: list[str] = []

    def await_all(self, _progress: Progress, *, anew: bool) -> None:
        assert anew
        assert self._world.settings(self._world.first) == ALONE
        self.orders.append("there")

    def start_members(self, wanted: CloudSettings, *_: Any) -> None:
        assert wanted.control_host("t1-host7") is not None
        self.orders.append("members")

    def await_members(self, *_: Any) -> None:
        assert self._world.told[-1][0] == "t1-host1"
        self.orders.append("follow")

    def give_roles(self, cloud: CloudSettings, *_: Any, **__: Any) -> None:
        assert members.have_stores(cloud)
        self.orders.append("roles")

    def put_back(self, _progress: Progress) -> None:
        assert self._world.settings(self._world.first).is_replicated
        self.orders.append("back")


def test_a_host_on_another_machine_is_ordered_before_the_first_one_begins(world: World) -> None:
    world.others.pop()
    machines = PlayedMachines(world)
    world.replicate(machines)
    assert machines.orders == ["there", "members", "follow", "roles"]
    cloud = world.settings(world.first)
    assert [host.name for host in cloud.control_hosts] == ["t1-host1", "t1-host2", "t1-host7"]


def test_a_host_on_another_machine_goes_back_before_the_first_one(world: World) -> None:
    world.others.pop()
    world.fails_at = "roles"
    machines = PlayedMachines(world)
    with pytest.raises(Permanent):
        world.replicate(machines)
    assert machines.orders == ["there", "members", "follow", "back"]
    assert world.settings(world.first) == ALONE


@dataclass
class PlayedKeeper:
    """Sees what there is of the members when they end."""

    host: HostSettings
    ended: list[tuple[str, bool]]

    def stop_units(self, names: Collection[str]) -> None:
        assert set(names) == set(users.MEMBERS)
        self.ended.append((self.host.name, members.etcd_dir(self.host).exists()))


def test_members_of_an_attempt_whose_way_back_was_cut_off_end_before_their_files_go(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended: list[tuple[str, bool]] = []
    monkeypatch.setattr(keeper, "of", lambda _cloud, host: PlayedKeeper(host, ended))
    for directory in (members.etcd_dir(world.first), members.postgres_dir(world.hosts[1])):
        directory.mkdir()
        (directory / "of-another-attempt").touch()
    world.replicate()
    assert ended == [("t1-host1", True), ("t1-host2", False)]
    for host in world.hosts:
        assert not list(host.state.rglob("of-another-attempt"))


def test_roles_keep_their_files_while_the_members_start(world: World) -> None:
    world.replicate()
    name, meanwhile = world.told[0]
    assert name == "t1-host1"
    assert meanwhile.is_replicated
    assert members.cloud_database(meanwhile, world.first).endswith("/1/cloud/cloud.db")
    assert members.pipeline_database(meanwhile, world.first).endswith("/1/pipeline/pipeline.db")


def fails_when_copying(monkeypatch: pytest.MonkeyPatch) -> None:
    def differs(*_: Any) -> int:
        raise Permanent("the table feed differs")

    monkeypatch.setattr(copy, "move", differs)


@pytest.mark.parametrize("fails_at", ["members", "copy", "roles"])
def test_what_fails_leaves_the_cloud_on_its_files(
    world: World, monkeypatch: pytest.MonkeyPatch, fails_at: str
) -> None:
    world.fails_at = fails_at
    if fails_at == "copy":
        fails_when_copying(monkeypatch)
    with pytest.raises(Permanent, match=r"etcd not ready|differs|api not ready"):
        world.replicate()
    for host in world.hosts:
        assert world.settings(host) == ALONE
        assert not members.postgres_dir(host).exists()
        assert {path.exists() for path in kept(host)} == {host is world.first}
    assert [world.roles(host) for host in world.hosts[1:]] == [("agent",)] * 2
    assert [name for name, cloud in world.told if cloud == ALONE] == ["t1-host1", *NAMES]
    assert keys(members.cloud_database(ALONE, world.first)) == ["before"]


def test_after_a_failure_it_may_be_tried_again(world: World) -> None:
    world.fails_at = "roles"
    with pytest.raises(Permanent):
        world.replicate()
    touch(members.cloud_database(ALONE, world.first), "meanwhile")
    world.fails_at = ""
    world.replicate()
    cloud = world.settings(world.first)
    assert keys(members.cloud_database(cloud, world.first)) == ["before", "meanwhile"]


class Killed(BaseException):
    """As by a signal: nothing is put back."""


@pytest.mark.parametrize("at", ["members", "copy", "roles", "again"])
def test_whoever_is_killed_goes_on_with_the_same_command(
    world: World, monkeypatch: pytest.MonkeyPatch, at: str
) -> None:
    def kill(*_: Any) -> Any:
        raise Killed

    names = {
        "members": (databases, "let_copies_read"),
        "copy": (copy, "move"),
        "roles": (replicating, "_start_roles"),
        "again": (replicating, "share_roles"),
    }
    with monkeypatch.context() as cut:
        cut.setattr(*names[at], kill)
        cut.setattr(replicating, "_has_changed_since", kill)
        with pytest.raises(Killed):
            world.replicate()
    chosen = world.settings(world.hosts[1])
    monkeypatch.setattr(
        choice, "existing", lambda _args: (world.settings(world.first), world.first)
    )
    create(control_hosts=3)
    cloud = world.settings(world.first)
    assert cloud == chosen
    assert members.have_stores(cloud)
    assert keys(members.cloud_database(cloud, world.first)) == ["before"]
    assert {path.name for path in world.first.store_dir.glob("*.db*")} == {"cloud.db.moved"}
    each = ("network", "api", "worker", "agent", "pipeline")
    assert [world.roles(host) for host in world.hosts[1:]] == [each] * 2
    assert world.waited == ["copies"]


def test_what_was_begun_with_three_does_not_go_on_with_five(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def kill(*_: Any) -> None:
        raise Killed

    with monkeypatch.context() as cut:
        cut.setattr(databases, "let_copies_read", kill)
        cut.setattr(replicating, "_has_changed_since", kill)
        with pytest.raises(Killed):
            world.replicate()
    monkeypatch.setattr(
        choice, "existing", lambda _args: (world.settings(world.first), world.first)
    )
    with pytest.raises(
        Conflict, match="on its way to 3 hosts, which was cut off: --control-hosts 3"
    ):
        create(control_hosts=5)


def create(*, control_hosts: int) -> None:
    words: dict[str, Any] = {
        "address": "",
        "underlay_interface": None,
        "on": [],
        "name": "t1",
        "state_dir": None,
    }
    cluster.create(argparse.Namespace(control_hosts=control_hosts, **words))


def test_what_was_written_to_postgresql_already_is_not_thrown_away(world: World) -> None:
    world.fails_at, world.is_written = "roles", True
    with pytest.raises(Permanent, match="api not ready"):
        world.replicate()
    cloud = world.settings(world.first)
    assert cloud.is_replicated
    assert keys(members.cloud_database(cloud, world.first)) == ["before", "later"]


def test_where_postgresql_does_not_say_whether_it_was_written_to_nothing_is_thrown_away(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its members had no leader just then, and the command ended by that, with nothing said."""
    found = members.store_url

    def start_roles(*_: Any) -> None:
        monkeypatch.setattr(members, "store_url", lambda *_: "postgresql+psycopg://127.0.0.1:1/k")
        raise Permanent("api not ready")

    monkeypatch.setattr(replicating, "_start_roles", start_roles)
    with pytest.raises(Permanent, match="api not ready"):
        world.replicate()
    monkeypatch.setattr(members, "store_url", found)
    cloud = world.settings(world.first)
    assert members.have_stores(cloud)
    assert keys(members.cloud_database(cloud, world.first)) == ["before"]


@pytest.mark.parametrize(
    ("cloud", "number", "message"),
    [
        (ALONE, 5, "has 3 hosts, and the control plane is to be on 5"),
        (ALONE, 2, "may be on 3 or 5 hosts, not 2"),
        (config.changed(ALONE, database_url="postgresql+psycopg://db/k"), 3, "database_url is set"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_changed(
    world: World, cloud: CloudSettings, number: int, message: str
) -> None:
    with pytest.raises(Conflict, match=message):
        replicating.replicate(
            cloud, world.first, Progress(OperatorConsole(quiet=True)), number=number
        )
    assert world.told == []
    assert world.settings(world.first) == ALONE
