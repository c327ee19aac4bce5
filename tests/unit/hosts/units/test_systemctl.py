"""What is decided about units under systemd, on a systemd that only remembers."""

from __future__ import annotations

import shutil
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from kumoi import config
from kumoi.base.errors import Conflict, Permanent
from kumoi.base.process import Completed
from kumoi.config import CloudSettings, HostSettings, first_host
from kumoi.hosts.units import rights, running, systemctl, table
from kumoi.hosts.units.releases import Release
from kumoi.hosts.units.systemctl import Systemd
from kumoi.hosts.units.table import Unit

CLOUD = CloudSettings(name="t1", public_cidr="10.0.4.0/24", underlay_cidr="10.0.5.0/28")
HOST = first_host(CLOUD, "/s")
RELEASE = Release("1", Path("/s/releases/1/bin/python"))
OTHER = config.changed(CLOUD, token_ttl_s=7)  # All roles are told something else.
ROLES = ("api", "inspector", "worker", "agent", "repositories", "pipeline")


@dataclass
class FakeSystemctl:
    """`broken` are words: no service with one of them in its name starts. `looked` is what `look` gave at each
    service's last start; `most` is how many services of a unit there were at once.
    """

    directory: Path
    active: set[str] = field(default_factory=set)
    commands: list[str] = field(default_factory=list)
    broken: set[str] = field(default_factory=set)
    since_s: dict[str, float] = field(default_factory=dict)
    look: Callable[[], object] = lambda: None
    looked: dict[str, object] = field(default_factory=dict)
    most: Counter[str] = field(default_factory=Counter)

    def __call__(self, *words: str, **_: bool) -> Completed:
        verb, *names = [word for word in words if not word.startswith("--")]
        known = {
            "enable": self._enable,
            "disable": self._disable,
            "start": self._start,
            "stop": self._stop,
        }
        if verb in known:
            self.commands += [f"{verb} {_short(name)}" for name in names]
            known[verb](names)
        out = "\n\n".join(map(self._shown, names)) if verb == "show" else ""
        status = 0 if verb != "is-active" or set(names) <= self.active else 3
        return Completed(words, status, out, "", 0.0)

    def _wanted_by(self, name: str) -> Path:
        target = "multi-user.target" if name == "kumoi-t1.target" else "kumoi-t1.target"
        return self.directory / f"{target}.wants"

    def _enable(self, names: Sequence[str]) -> None:
        for name in names:
            self._wanted_by(name).mkdir(exist_ok=True)
            (self._wanted_by(name) / name).touch()

    def _disable(self, names: Sequence[str]) -> None:
        for name in names:
            (self._wanted_by(name) / name).unlink(missing_ok=True)

    def _start(self, names: Sequence[str]) -> None:
        for name in names:
            if name.endswith(
                ".target"
            ):  # With all that belongs to it, whether it is there already or not.
                wants = self.directory / f"{name}.wants"
                self._start(sorted(path.name for path in wants.glob("*.service")))
            assert (self.directory / name).exists(), name
            self.looked[name] = self.look()
            if not any(word in name for word in self.broken):
                if name not in self.active:
                    self.since_s[name] = time.monotonic()
                self.active.add(name)
                unit = _short(name)
                there = sum(_short(other) == unit for other in self.active)
                self.most[unit] = max(self.most[unit], there)
                if name == "kumoi-t1-sockets.service":
                    self._start(sorted(path.name for path in self.directory.glob("*.socket")))

    def _stop(self, names: Sequence[str]) -> None:
        self.active -= set(names)

    def _shown(self, name: str) -> str:
        state = "active" if name in self.active else "failed"
        restarts = 0 if name in self.active else 3
        known = f"Id={name}\nActiveState={state}\n"
        known += "" if name.endswith(".target") else "Result=x\n"
        known += f"ActiveEnterTimestampMonotonic={round(self.since_s.get(name, 0) * 1e6)}"
        if not name.endswith(".service"):  # It has no process to tell of.
            return known
        return f"{known}\nMainPID=0\nNRestarts={restarts}\nExecMainStatus=3"


def _short(name: str) -> str:
    return name.partition("@")[0].removeprefix("kumoi-t1-")


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeSystemctl:
    made = FakeSystemctl(tmp_path)
    monkeypatch.setattr(systemctl, "_systemctl", made)
    monkeypatch.setattr(running, "run_then", lambda _unit: None)
    return made


def up(fake: FakeSystemctl, cloud: CloudSettings = CLOUD, host: HostSettings = HOST) -> None:
    """As `kumoi up` does it."""
    units = table.all_units(cloud, host, RELEASE, only_engines=False)
    systemd_keeper = Systemd(CLOUD, host, RELEASE, fake.directory)
    systemd_keeper.tell(units)
    for kind in table.UnitKind:
        systemd_keeper.ensure_ready([unit.name for unit in units if unit.kind is kind], timeout_s=1)


def keeper(fake: FakeSystemctl) -> Systemd:
    return Systemd(CLOUD, HOST, RELEASE, fake.directory)


def test_all_units_start_and_are_in_charge(fake: FakeSystemctl) -> None:
    up(fake)
    units: list[Unit] = table.all_units(CLOUD, HOST, RELEASE, only_engines=False)
    assert keeper(fake).in_charge().keys() == {unit.name for unit in units}
    assert keeper(fake).is_running(units)
    fake.commands.clear()
    up(fake)
    assert [word for word in fake.commands if word.startswith("stop")] == []


def test_only_what_changed_is_replaced_and_the_agent_is_never_there_twice(
    fake: FakeSystemctl,
) -> None:
    up(fake)
    before = keeper(fake).in_charge()
    fake.commands.clear()
    up(fake, OTHER)
    after = keeper(fake).in_charge()
    assert {name for name in before if before[name] != after[name]} == set(ROLES)
    assert [word for word in fake.commands if word.partition(" ")[2] == "api"] == [
        "start api", "disable api", "enable api", "stop api",
    ]  # fmt: skip
    assert [word for word in fake.commands if word.partition(" ")[2] == "agent"] == [
        "stop agent", "start agent", "disable agent", "enable agent",
    ]  # fmt: skip
    leaving = {path.parent.name.partition("@")[0] for path in fake.directory.glob("*.d/*.conf")}
    assert leaving == {
        "kumoi-t1-inspector",
        "kumoi-t1-api",
        "kumoi-t1-worker",
        "kumoi-t1-repositories",
        "kumoi-t1-pipeline",
    }


def test_what_was_to_leave_and_is_wanted_again_stays(fake: FakeSystemctl) -> None:
    up(fake)
    before = keeper(fake).in_charge()
    up(fake, OTHER)
    up(fake)
    assert keeper(fake).in_charge() == before
    leaving = {path.parent.name.removesuffix(".d") for path in fake.directory.glob("*.d/*.conf")}
    assert leaving.isdisjoint(before.values())


@pytest.mark.parametrize("name", ROLES)
def test_what_does_not_start_replaces_nothing(fake: FakeSystemctl, name: str) -> None:
    up(fake)
    before = keeper(fake).in_charge()
    units = table.all_units(OTHER, HOST, RELEASE, only_engines=False)
    fake.broken = {f"{name}@{unit.digest}" for unit in units if unit.name == name}
    with pytest.raises(Permanent, match=f"{name}: what is wanted does not start"):
        up(fake, OTHER)
    after = keeper(fake).in_charge()
    replaced = set(ROLES[: ROLES.index(name)])
    assert {item for item in before if before[item] != after[item]} == replaced
    assert before[name] in fake.active


def test_what_an_update_that_was_killed_left_goes(fake: FakeSystemctl) -> None:
    up(fake)
    stray = "kumoi-t1-api@0123456789abcdef.service"
    (fake.directory / stray).write_text("[X-Kumoi]\nKind=role\n")
    fake.active.add(stray)
    up(fake)
    assert stray not in fake.active
    assert not (fake.directory / stray).exists()


def test_a_role_that_listens_elsewhere_leaves_before_its_socket_is_opened_anew(
    fake: FakeSystemctl,
) -> None:
    """It holds the addresses that stay: systemd cannot open them beside it."""
    up(fake)
    fake.commands.clear()
    moved = config.changed(CLOUD, host_api_port=5_011)
    units = table.all_units(moved, HOST, RELEASE, only_engines=False)
    keeper(fake).tell(units)
    assert fake.commands[-1] == "start sockets.service"
    assert not [word for word in fake.commands if word.startswith("stop")]
    fake.commands.clear()
    up(fake, moved)
    assert [word for word in fake.commands if "api" in word or "sockets" in word] == [
        "start sockets.service", "stop api", "stop sockets.service", "stop api.socket",
        "start sockets.service", "start api", "disable api", "enable api", "stop api",
    ]  # fmt: skip
    fake.commands.clear()
    up(fake, moved)
    assert {"stop sockets.service", "start api"}.isdisjoint(fake.commands)


def tell(host: HostSettings) -> None:
    """As `up` leaves the settings of each role that it is about to replace."""
    for role in ("api", "worker"):
        directory = rights.settings_dir(host, role)
        (directory / "before").mkdir(parents=True)
        (directory / "cloud.toml").write_text("new")
        (directory / "before/cloud.toml").write_text("old")


def test_a_role_that_stays_starts_with_the_settings_that_it_had(
    fake: FakeSystemctl, tmp_path: Path
) -> None:
    """It had ended, so that its socket could be opened anew, and came back to settings that its sandbox cannot read."""
    host = first_host(CLOUD, str(tmp_path / "state"))
    told = {role: rights.settings_dir(host, role) / "cloud.toml" for role in ("api", "worker")}
    moved = config.changed(CLOUD, host_api_port=5_011)
    up(fake, host=host)
    before = Systemd(CLOUD, host, RELEASE, fake.directory).in_charge()["api"]
    tell(host)
    fake.look = told["api"].read_text
    fake.broken = {
        f"api@{unit.digest}"
        for unit in table.all_units(moved, host, RELEASE, only_engines=False)
        if unit.name == "api"
    }
    with pytest.raises(Permanent, match="api: what is wanted does not start"):
        up(fake, moved, host)
    assert before in fake.active
    assert fake.looked[before] == "old"
    assert told["worker"].read_text() == "old"  # It was not its turn.

    fake.broken = set()
    for path in told.values():
        assert not (path.parent / "before").exists()
    shutil.rmtree(host.state / "settings")
    tell(host)
    up(fake, moved, host)
    assert fake.looked[Systemd(CLOUD, host, RELEASE, fake.directory).in_charge()["api"]] == "new"
    for path in told.values():
        assert path.read_text() == "new"
        assert not (path.parent / "before").exists()


def test_an_update_that_was_killed_in_the_middle_never_has_an_agent_twice(
    fake: FakeSystemctl, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next one found something to start, and with it started all that was in charge."""

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    up(fake)
    units = table.all_units(OTHER, HOST, RELEASE, only_engines=False)
    (agent,) = (f"kumoi-t1-agent@{unit.digest}.service" for unit in units if unit.name == "agent")
    with monkeypatch.context() as until_then:
        until_then.setattr(Systemd, "_await_replacement", killed)
        one = keeper(fake)
        one.tell(units)
        with pytest.raises(KeyboardInterrupt):
            one.ensure_ready(["agent"], timeout_s=1)
    assert agent in fake.active
    assert keeper(fake).in_charge()["agent"] != agent
    fake.active = {name for name in fake.active if "ovs-db@" not in name}
    up(fake, OTHER)
    assert keeper(fake).in_charge()["agent"] == agent
    assert fake.most["agent"] == 1
    assert fake.most["api"] == 2  # Of which there may be two.


def test_a_role_that_is_wanted_no_more_goes_with_its_socket(fake: FakeSystemctl) -> None:
    up(fake)
    units = table.all_units(CLOUD, HOST, RELEASE, only_engines=False)
    keeper(fake).tell([unit for unit in units if unit.name != "pipeline"])
    assert list(fake.directory.rglob("*pipeline*.socket")) == []
    assert not any("pipeline" in name for name in fake.active)
    assert "pipeline" not in keeper(fake).in_charge()


def test_nothing_is_left_and_nothing_of_it_starts_with_the_machine(fake: FakeSystemctl) -> None:
    up(fake)
    up(fake, OTHER)
    keeper(fake).stop()
    assert fake.active == set()
    left = [path for path in fake.directory.rglob("*") if path.is_file()]
    assert left == []


def test_another_cloud_of_the_name_on_the_machine_is_left_alone(fake: FakeSystemctl) -> None:
    up(fake)
    other = Systemd(CLOUD, config.changed(HOST, state_dir="/o"), RELEASE, fake.directory)
    with pytest.raises(Conflict, match="is of another cloud t1 on this machine"):
        other.tell([])


def test_two_hosts_of_a_cloud_on_one_machine_have_units_of_their_own(fake: FakeSystemctl) -> None:
    """They shared their names, and the second was refused."""
    up(fake)
    first = keeper(fake).in_charge()
    hosts = [
        HostSettings(name=name, state_dir=f"/{name}", roles=("agent",), underlay_address="10.0.5.9")
        for name in ("rack7", "rack7-x")
    ]
    cloud = config.changed(CLOUD, southbound_url="ssl:10.0.5.1:6642")
    for host in hosts:
        one = Systemd(cloud, host, RELEASE, fake.directory)
        one.tell(table.all_units(cloud, host, RELEASE, only_engines=False))
    names = [set(Systemd(cloud, host, RELEASE, fake.directory)._files()) for host in hosts]
    assert all(names)
    assert not names[0] & names[1]
    assert keeper(fake).in_charge() == first
    assert {name.partition("@")[0] for name in names[0]} > {
        "kumoi-t1.rack7-agent",
        "kumoi-t1.rack7-ovs-vswitchd",
        "kumoi-t1.rack7.target",
    }
