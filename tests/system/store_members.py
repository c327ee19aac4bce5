"""A store on three hosts of one machine: their members of etcd and PostgreSQL, an address that they share, and
nothing else of a cloud.
"""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Self

from tests.system.live import eventually

from kumoi import config, members
from kumoi.base import process, trees
from kumoi.base.clock import Clock
from kumoi.config import CONTROL, CloudSettings, HostSettings, Keeper
from kumoi.control_host import ControlHost
from kumoi.engine.db import Database
from kumoi.engine.schema import metadata
from kumoi.hosts import boot
from kumoi.hosts.cluster import databases, handover, succession
from kumoi.hosts.first_use import engines_pki, pki
from kumoi.hosts.units import keeper, ownership, releases, running, table, users
from kumoi.hosts.wires import keepalived, links, virtual

NUMBERS = (1, 2, 3)
LEADER_S = 60.0


class StoreMembers:
    """`reclaim` ends all of it, also what a killed run left."""

    def __init__(self, name: str, parent: Path, octet: int) -> None:
        listed = tuple(ControlHost(f"{name}-host{n}", f"10.201.{octet}.{128 + n}") for n in NUMBERS)
        self.cloud = CloudSettings(
            name=name,
            underlay_cidr=f"10.201.{octet}.128/28",
            control_hosts=listed,
            shared_address=f"10.201.{octet}.137",
        )
        self.hosts = [
            HostSettings(
                name=host.name,
                state_dir=str(parent / host.name),
                underlay_address=f"10.201.{octet}.{138 + number}",
                roles=(),
                keeper=Keeper.KUMOI,
                shares_machine=number > 0,
            )
            for number, host in enumerate(listed)
        ]

    @contextlib.contextmanager
    def running(self) -> Iterator[Self]:
        """Started, and nothing of it afterwards."""
        self.reclaim()
        try:
            self.start()
            yield self
        finally:
            self.reclaim()

    def start(self) -> None:
        bridge = virtual.underlay_bridge(self.cloud)
        links.ensure_bridge(bridge)
        links.ensure_address(bridge, address=self.cloud.control_address, prefix=28)
        for host in self.hosts:
            virtual.ensure_control(self.cloud, host)
            boot.make_directories(host)
            config.write(self.cloud, host.state)
            config.write(host, host.state)
        first, *others = self.hosts
        pki.ensure(self.cloud, first, Clock().now())
        engines_pki.ensure(self.cloud, first, others, Clock().now())
        for host in self.hosts:
            users.ensure(self.cloud, host)
            ownership.ensure(self.cloud, host)
            keepalived.ensure_file(self.cloud, host)
            self.start_host(host)
        databases.wait_for_leader(self.cloud, first, timeout_s=LEADER_S)
        databases.ensure(self.cloud, first)

    def start_host(self, host: HostSettings) -> None:
        release = releases.install(self.hosts[0].release_dir)
        units = table.all_units(self.cloud, host, release, only_engines=False)
        keeper.of(self.cloud, host, release=release).tell(units)

    def lose_host(self, host: HostSettings) -> None:
        """Everything of it at once."""
        keeper.stop(self.cloud, host, at_once=True)

    def lose_disk(self, host: HostSettings) -> None:
        """With all that its members kept."""
        self.lose_host(host)
        for directory in (members.etcd_dir(host), members.postgres_dir(host)):
            trees.remove(directory)

    def start_in_its_place(self, host: HostSettings) -> None:
        """An empty one."""
        new = config.changed(host, joins_stores=True)
        self.hosts[self.hosts.index(host)] = new
        boot.make_directories(new)
        config.write(new, new.state)
        ownership.ensure(self.cloud, new)
        self.start_host(new)

    @contextlib.contextmanager
    def without_etcd(self) -> Iterator[None]:
        """All of its members frozen: whoever asks waits."""
        every = [unit for host in self.hosts for unit in running.found(host.state_dir)]
        pids = [unit.pid for unit in every if unit.name == members.ETCD]
        assert len(pids) == len(self.hosts)
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            for pid in pids:
                os.kill(pid, signal.SIGCONT)

    def cut(self, host: HostSettings) -> None:
        """The link of its control plane."""
        self._set_link(host, "down")

    def mend(self, host: HostSettings) -> None:
        self._set_link(host, "up")

    def _set_link(self, host: HostSettings, state: str) -> None:
        veth = virtual.control_veth(self.cloud, host)
        process.run(["ip", "link", "set", "dev", veth.name, state])

    def holder(self) -> HostSettings | None:
        """Who has the shared address, where it is one."""
        found = keepalived.holders(self.cloud, self.hosts)
        return next((host for host in self.hosts if [host.name] == found), None)

    def open(self) -> Database:
        """As a role of the first host does."""
        first = self.hosts[0]
        opened = Database(members.cloud_database(self.cloud, first), wake_dir=first.wake_dir)
        metadata.create_all(opened.engine)
        return opened

    def leader(self) -> HostSettings:
        """Of now, or of soon where a member that does not answer is asked first."""
        name = eventually(
            lambda: databases.look(self.cloud, self.hosts[0]).leader,
            within_s=LEADER_S,
            what="one leads",
        )
        return next(host for host in self.hosts if host.name == name)

    def lead_beyond_the_first(self) -> None:
        """By a host whose control plane has a link that can be cut."""
        first = self.hosts[0]
        databases.wait_for_leader(self.cloud, first, timeout_s=LEADER_S)
        if self.leader() == first:
            handover.hand_over(
                self.cloud, first
            )  # One that is killed may begin again in its place.
            eventually(
                lambda: databases.look(self.cloud, first).leader not in {"", first.name},
                within_s=LEADER_S,
                what="another leads",
            )
            databases.wait_for_leader(self.cloud, first, timeout_s=LEADER_S)

    def wait_until_whole(self) -> None:
        """One leads and any one may be lost, as `cluster status` sees it."""
        eventually(
            lambda: not succession.look(self.cloud, self.hosts[0]).missing,
            within_s=LEADER_S,
            what="the store is whole",
        )

    def wait_for_follower(self, host: HostSettings) -> None:
        eventually(
            lambda: host.name in databases.look(self.cloud, self.hosts[0]).followers,
            within_s=LEADER_S,
            what="it follows",
        )

    def kill_postgres(self, host: HostSettings) -> None:
        """The process that all others of the database come from."""
        file = members.postgres_dir(host) / "data/postmaster.pid"
        process.run(["kill", f"-{int(signal.SIGKILL)}", file.read_text().split()[0]])

    def reclaim(self) -> None:
        for host in self.hosts:
            if host.state.exists():
                keeper.stop(self.cloud, host, at_once=True)
            trees.remove(host.state)
            users.remove(host)
            links.delete_link(virtual.control_veth(self.cloud, host).name)
            links.delete_namespace(f"{host.name}{CONTROL}")
        links.delete_link(virtual.underlay_bridge(self.cloud))
