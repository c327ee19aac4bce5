"""OVN's units on three control hosts of one machine, as the table has them: databases, northd, and where servers
may be a switch with its controller. What ends is not started again.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from pathlib import Path

from tests.system.conftest import STATE_PARENT
from tests.system.network_world import Engines

from kumoi import config
from kumoi.base import process
from kumoi.base.clock import Clock
from kumoi.config import CloudSettings, HostSettings, Role
from kumoi.control_host import ControlHost
from kumoi.hosts import boot, teardown
from kumoi.hosts.cluster import ovn_members
from kumoi.hosts.cluster.ovn_members import OvnMembers
from kumoi.hosts.first_use import engines_pki, pki
from kumoi.hosts.units import rights, table, users
from kumoi.hosts.units.control import SupervisorStatus
from kumoi.hosts.units.table import Unit
from kumoi.hosts.wires import virtual
from kumoi.members import ETCD, OVN_DATABASES, PATRONI, OvnDatabase

ALONE = CloudSettings(
    name="kraft",
    public_cidr="10.206.0.0/24",
    underlay_cidr="10.206.1.0/28",
    southbound_url="ssl:10.206.1.1:6642",
)
NAMES = ("kraft-host1", "kraft-host2", "kraft-host3")
ADDRESSES = ("10.206.1.1", "10.206.1.14", "10.206.1.13")
CLOUD = config.changed(ALONE, control_hosts=tuple(map(ControlHost, NAMES, ADDRESSES)))
STATE = STATE_PARENT / "kraft"
NETWORK, AGENT = Role.NETWORK.value, Role.AGENT.value


def settings(number: int) -> HostSettings:
    """As it is before there are members. The third one has no server."""
    roles = {1: (NETWORK, AGENT), 2: (AGENT,), 3: ()}
    return HostSettings(
        name=NAMES[number - 1],
        state_dir=str(STATE / f"host{number}"),
        underlay_address=f"10.206.1.{number + 1}",
        roles=roles[number],
        shares_machine=number > 1,
    )


def with_member(host: HostSettings) -> HostSettings:
    return host if NETWORK in host.roles else replace(host, roles=(NETWORK, *host.roles))


class ControlEngines(Engines):
    """Those of one host. It is a keeper of units (hosts/units/keeper.py) that starts nothing again."""

    def become(self, cloud: CloudSettings, host: HostSettings) -> None:
        """What `up` does with files and links; what runs stays."""
        self.config, self.here = cloud, host
        boot.ensure_links(cloud, host)
        self.prepare()

    def tell(self, wanted: Sequence[Unit]) -> None:
        before = self.units
        self.units = {unit.name: unit for unit in wanted if unit.name not in {ETCD, PATRONI}}
        for name in self.processes.keys() - self.units.keys():
            self.kill(name)
        for name, unit in self.units.items():
            runs = name in self.processes
            if runs and before[name].digest != unit.digest:
                self.kill(name)
                runs = False
            if not runs:
                self.start(name)

    def kill(self, name: str) -> None:
        super().kill(name)
        del self.processes[name]

    def stop_units(self, names: Collection[str]) -> None:
        for name in set(names) & self.processes.keys():
            self.processes[name].terminate()
            self.processes.pop(name).wait()

    def ensure_ready(
        self,
        names: Sequence[str],
        *,
        timeout_s: float,
        tell: Callable[[str], None] = lambda _text: None,
    ) -> None:
        del timeout_s, tell
        assert set(names) <= self.processes.keys()

    def is_running(self, wanted: Sequence[Unit]) -> bool:
        return {unit.name for unit in wanted} == self.processes.keys()

    def read_status(self) -> SupervisorStatus | None:
        return SupervisorStatus(0, "", ()) if self.processes else None

    def stop_roles(self, *, at_once: bool = False) -> None:
        del at_once

    def stop(self, *, at_once: bool = False) -> None:
        del at_once
        for name in list(self.processes):
            self.kill(name)


class ControlHosts:
    """All three; at first the first one has the databases alone."""

    def __init__(self) -> None:
        self.engines = [ControlEngines(ALONE, settings(number)) for number in (1, 2, 3)]

    @property
    def first(self) -> ControlEngines:
        return self.engines[0]

    def start(self) -> None:
        for each in self.engines:
            boot.make_directories(each.here)
        pki.ensure(ALONE, self.first.here, Clock().now())
        authority = pki.Authority.of(self.first.here.pki_dir)
        assert authority is not None
        for each in self.engines[1:]:
            host = each.here
            pki.make_directory(host.pki_dir)
            subject = pki.host_subject(ALONE.name, host.name, host.underlay_address)
            pki.ensure_each(host.pki_dir, authority, [subject], Clock().now())
            (host.pki_dir / "ca.crt").write_bytes((self.first.here.pki_dir / "ca.crt").read_bytes())
        for each in self.engines:
            each.become(ALONE, each.here)
            each.tell(table.engines(ALONE, each.here))

    def make_members(self) -> None:
        """As `up` does it on the first host, and then on the others."""
        hosts = [with_member(each.here) for each in self.engines]
        for host in hosts:
            users.ensure(CLOUD, host)
        engines_pki.ensure(CLOUD, hosts[0], hosts[1:], Clock().now())
        for each, host in zip(self.engines, hosts, strict=True):
            each.become(CLOUD, host)
            self._change(each)

    def make_alone(self) -> None:
        """The way back."""
        ovn_members.leave(CLOUD, (each.here for each in self.engines[1:]))
        for number, each in enumerate(self.engines, 1):
            each.become(ALONE, settings(number))
            self._change(each)

    def _change(self, each: ControlEngines) -> None:
        wanted = [
            unit
            for unit in table.engines(each.config, each.here)
            if unit.name not in {ETCD, PATRONI}
        ]
        if virtual.is_central_to_change(each.config, each.here):
            ovn_members.convert(each.config, each.here, each, wanted)
        each.tell(wanted)
        late = ovn_members.settle(each.config, each.here)
        assert not late
        if not each.config.is_replicated and AGENT in each.here.roles:
            virtual.forget_southbound_members(each.here)

    def look(self, database: OvnDatabase) -> OvnMembers:
        """As the first host sees it."""
        return ovn_members.look(CLOUD, self.first.here)[OVN_DATABASES.index(database)]

    def leader(self, database: OvnDatabase) -> ControlEngines | None:
        found = self.look(database).leader
        return next((each for each in self.engines if each.here.name == found), None)

    def status(self, each: ControlEngines, database: OvnDatabase) -> str:
        return self.ask(each, database, "cluster/status", database.schema)

    def ask(self, each: ControlEngines, database: OvnDatabase, *words: str) -> str:
        control: Path = rights.ovn_control(each.here, database)
        return process.run(["ovs-appctl", "-t", control, "--timeout=5", *words], check=False).out

    def transfer(self, database: OvnDatabase) -> None:
        """As a leader does that is about to compact what it has."""
        leader = self.leader(database)
        if leader is not None:
            self.ask(leader, database, "cluster/failure-test", "transfer-leadership")

    def reclaim(self) -> None:
        """Also what a killed run left."""
        for each in self.engines:
            each.stop()
        for number in (1, 2, 3):
            teardown.stop(CLOUD, with_member(settings(number)), at_once=True)
        for number in (1, 2, 3):
            if settings(number).state.exists():
                teardown.purge(settings(number))
        process.run(["rm", "-rf", STATE])
