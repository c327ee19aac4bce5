"""Servers of a host that is lost: by themselves, by an administrator's word, and never while it has its lease."""

from __future__ import annotations

import argparse
import threading
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from openstack.connection import Connection
from tests.running_cloud import FakeHost
from tests.stories.compute.conftest import Workbench

from kumoi.base.clock import SetClock
from kumoi.base.errors import Transient
from kumoi.cli import choice, healing, status
from kumoi.cloud.domain.host import enrolment, witness
from kumoi.cloud.drivers.instance.fake import EVERYTHING
from kumoi.cloud.hostapi.messages import Power
from kumoi.cloud.reconcilers.healing import (
    AGAIN_S,
    BREAK_S,
    NAME,
    PROVE_EVERY_S,
    Healer,
    WritableWatch,
)
from kumoi.cloud.store.compute import migration as migration_store
from kumoi.cloud.store.host import host as host_store
from kumoi.cloud.store.listing import Listing
from kumoi.config import CloudSettings, HostSettings
from kumoi.engine import lease
from kumoi.engine.db import now
from kumoi.hosts.cluster.leases import TTL_S, LeaseState
from kumoi.hosts.first_use import first_run

LOST, OTHER, THIRD = "lost", "host1", "third"
REBUILD = {"ha:policy": "rebuild"}


class Ward:
    """Three hosts, one of which will be lost, and a healer whose clock is set."""

    def __init__(self, bench: Workbench, admin: Connection) -> None:
        self.bench = bench
        self.cloud = bench.cloud
        self.book = bench.cloud.leases
        self.book.words.clear()
        self.admin = admin
        self.lost, self.third = (
            FakeHost(bench.cloud.host.url, name=name) for name in (LOST, THIRD)
        )
        self.hosts = [self.lost, bench.cloud.host, self.third]
        for number, host in enumerate(self.hosts):
            host.address = f"10.1.0.{number + 2}"
            host.fenced = True
            host.register()
            host.renew_lease()
        for service in admin.compute.services():
            if service.host in (LOST, THIRD):
                admin.compute.enable_service(service)
        self.clock = SetClock()
        self.token = "healer"
        self.watch = WritableWatch(self.cloud.database, self.book, self.clock, who="worker")
        self.healer = Healer(
            self.cloud.database, self.book, self.watch, self.clock, default="wait", token=self.token
        )
        self.claim(self.token)

    def claim(self, token: str) -> None:
        """Somebody is the healer by the store."""
        with self.cloud.database.write(wakes=False) as connection:
            held = lease.claim(connection, NAME, token=token, ttl_s=600)
            assert held or token != self.token

    def release(self) -> None:
        with self.cloud.database.write(wakes=False) as connection:
            lease.release(connection, NAME, token=self.token)

    def server(self, name: str, **metadata: str) -> Any:
        """On the host that will be lost."""
        return self.asked(name, metadata=metadata)

    def asked(self, name: str, **values: Any) -> Any:
        self._enable(OTHER, THIRD, enabled=False)
        made = self.bench.server(name, **values)
        self._enable(OTHER, THIRD, enabled=True)
        self.lost.settle()
        return self.bench.show(made)

    def _enable(self, *names: str, enabled: bool) -> None:
        with self.cloud.database.write() as connection:
            for name in names:
                host_store.update(connection, name, enabled=enabled)

    def lose(self, *names: str) -> None:
        """Neither lease nor life."""
        for name in names or (LOST,):
            self.book.held.pop(name, None)
            with self.cloud.database.write() as connection:
                long_ago = now(connection) - timedelta(seconds=60)
                host_store.update(connection, name, seen_at=long_ago)

    def witnesses(self, *, reached: bool = False, tunnel: str = "down") -> None:
        for host in (self.third, self.cloud.host):
            host.say_of(LOST, reached=reached, tunnel=tunnel)

    def looks(self, *, seconds: int = 20, reached: bool = False, tunnel: str = "down") -> None:
        """Look once a second, while others answer what they are asked."""
        for second in range(seconds):
            if second % PROVE_EVERY_S == 0:
                self.watch.prove()
            self.healer.round()
            self.witnesses(reached=reached, tunnel=tunnel)
            self.clock.advance(1)

    def host_of(self, made: Any) -> str:
        return str(self.admin.compute.get_server(made.id).compute_host)


@pytest.fixture
def ward(bench: Workbench, admin: Connection) -> Iterator[Ward]:
    made = Ward(bench, admin)
    yield made
    made.release()
    for server in bench.connection.compute.servers():
        bench.connection.compute.delete_server(server)
    for host in made.hosts:
        host.register()
        host.settle()
        host.fenced = False
    with bench.cloud.database.write() as connection:
        witness.forget(connection, LOST)
    bench.cloud.leases.held.clear()
    bench.cloud.leases.healing.clear()
    for service in admin.compute.services():
        if service.host in (LOST, THIRD):
            admin.compute.update_service_forced_down(service, forced=False)
            admin.compute.disable_service(service)


def test_a_server_of_a_lost_host_runs_elsewhere_with_all_that_it_was(
    ward: Ward, demo: Connection
) -> None:
    made = ward.server("web", **REBUILD)
    before = demo.compute.get_server(made.id)
    ward.lose()
    ward.looks()
    assert ward.host_of(made) in (OTHER, THIRD)
    assert ward.bench.show(made).status == "REBUILD"
    for host in (ward.third, ward.cloud.host):
        host.settle()
    after = ward.bench.show(made)
    assert (after.status, after.addresses, after.metadata, after.name) == (
        "ACTIVE",
        before.addresses,
        before.metadata,
        before.name,
    )
    assert ward.book.healing == {}
    assert "moves the servers of lost" in ward.book.words


def test_a_server_that_was_on_its_way_from_a_lost_host_is_healed(
    ward: Ward, admin: Connection
) -> None:
    made = ward.server("web", **REBUILD)
    for host in ward.hosts:
        host.offers = {"lxc": EVERYTHING}
        with ward.cloud.database.write() as connection:
            enrolment.enrol(connection, host.name, f"key of {host.name}")
        host.register()
    body = {"os-migrateLive": {"host": THIRD, "block_migration": "auto"}}
    assert admin.compute.post(f"/servers/{made.id}/action", json=body, microversion="2.80").ok
    assert admin.compute.get_server(made.id).status == "MIGRATING"
    ward.lost.settle()
    ward.lose()
    ward.looks()
    assert ward.host_of(made) in (OTHER, THIRD)
    for host in (ward.third, ward.cloud.host):
        host.settle()
    assert ward.bench.show(made).status == "ACTIVE"


def test_the_store_is_asked_rarely_while_every_host_has_its_lease(ward: Ward) -> None:
    asked: list[str] = []
    me = threading.get_ident()

    def sent(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        if threading.get_ident() == me:
            asked.append(statement)

    def looked() -> bool:
        asked.clear()
        ward.healer.round()
        ward.clock.advance(1)
        return bool(asked)

    with ward.cloud.database.read() as connection:
        for host in host_store.every(connection):
            ward.book.renew(host.id)
    engine = ward.cloud.database.engine
    sa.event.listen(engine, "before_cursor_execute", sent)
    try:
        assert [looked() for _ in range(7)] == [True, *[False] * 4, True, False]
        ward.lose()
        assert [looked() for _ in range(3)] == [True] * 3
    finally:
        sa.event.remove(engine, "before_cursor_execute", sent)


def test_it_is_said_who_moved_it_and_on_whose_word(ward: Ward, admin: Connection) -> None:
    made = ward.server("web", **REBUILD)
    ward.lose()
    ward.looks()
    shown = admin.compute.get(
        f"/os-migrations?instance_uuid={made.id}&migration_type=evacuation", microversion="2.59"
    ).json()["migrations"]
    assert [(each["source_compute"], each["dest_compute"], each["status"]) for each in shown] == [
        (LOST, ward.host_of(made), "done")
    ]
    with ward.cloud.database.read() as connection:
        wanted = Listing(filters={"server_id": [made.id]}, sorts=(), limit=9, marker=None)
        (row,) = migration_store.page(connection, wanted)
    assert row.reason == "lost is lost"
    assert (row.witnesses or {})["peers"] == "reached by none"
    actions = admin.compute.get(f"/servers/{made.id}/os-instance-actions").json()
    assert [each["action"] for each in actions["instanceActions"]] == ["evacuate", "create"]


def test_a_host_that_comes_back_is_asked_to_remove_what_it_lost(ward: Ward) -> None:
    made = ward.server("web", **REBUILD)
    ward.lose()
    ward.looks()
    new_host = ward.host_of(made)
    assert ward.lost.renew_lease().state == LeaseState.HELD
    assert [each for each in ward.lost.servers() if each.power != Power.ABSENT] == []
    ward.lost.settle()
    assert ward.host_of(made) == new_host


@pytest.mark.parametrize("policy", ["wait", "never", "", "what"])
def test_others_wait_for_their_host(ward: Ward, policy: str) -> None:
    made = ward.server("web", **({"ha:policy": policy} if policy else {}))
    ward.lose()
    ward.looks()
    assert ward.host_of(made) == LOST
    assert ward.book.words[-1].endswith("its servers wait for it, or for `kumoi host heal lost`")


def test_what_its_host_does_not_stop_is_not_moved(ward: Ward) -> None:
    ward.lost.fenced = False
    made = ward.server("web", **REBUILD)
    ward.lose()
    ward.looks()
    assert ward.host_of(made) == LOST


def test_a_host_that_others_reach_is_not_lost(ward: Ward) -> None:
    made = ward.server("web", **REBUILD)
    ward.lose()
    ward.looks(reached=True, tunnel="up")
    assert ward.host_of(made) == LOST
    assert "its fence does not run" in ward.book.words[-1]


def test_others_are_asked_and_a_host_that_is_back_is_asked_about_no_more(ward: Ward) -> None:
    ward.server("web", **REBUILD)
    ward.lose()
    for _ in range(int(TTL_S / PROVE_EVERY_S) + 1):
        ward.watch.prove()
        ward.clock.advance(PROVE_EVERY_S)
    ward.watch.prove()
    ward.healer.round()
    assert len(ward.third.wanted().questions) == 1
    assert len(ward.lost.wanted().questions) == 0
    ward.third.say_of(LOST, reached=True)
    assert ward.third.wanted().questions == []
    assert len(ward.cloud.host.wanted().questions) == 1
    ward.lost.renew_lease()
    ward.clock.advance(1)
    ward.healer.round()
    assert ward.cloud.host.wanted().questions == []


def test_half_of_the_hosts_are_never_healed(ward: Ward) -> None:
    made = ward.server("web", **REBUILD)
    ward.lose(LOST, THIRD)
    ward.looks()
    assert ward.host_of(made) == LOST
    assert "2 of 3 hosts are gone" in ward.book.words[-1]


def test_nothing_is_healed_before_both_stores_took_writes_for_a_whole_lease(ward: Ward) -> None:
    made = ward.server("web", **REBUILD)
    ward.lose()
    ward.looks(seconds=TTL_S - 1)
    ward.book.is_away = True
    ward.looks(seconds=3)
    ward.book.is_away = False
    ward.looks(seconds=TTL_S - 1)
    assert ward.host_of(made) == LOST
    ward.looks(seconds=8)
    assert ward.host_of(made) != LOST


def test_a_long_pause_of_the_control_plane_is_a_break(ward: Ward) -> None:
    for _ in range(10):
        ward.watch.prove()
        ward.clock.advance(PROVE_EVERY_S)
    assert ward.watch.for_s >= TTL_S
    ward.clock.advance(BREAK_S)
    assert ward.watch.for_s == 0.0
    ward.watch.prove()
    assert ward.watch.for_s == 0.0


def test_a_host_that_is_back_at_the_last_moment_keeps_its_servers(ward: Ward) -> None:
    made = ward.server("web", **REBUILD)
    ward.lose()
    ward.book.before_heal = lambda: ward.book.held.update({LOST: 99})
    try:
        ward.looks()
    finally:
        ward.book.before_heal = lambda: None
    assert ward.host_of(made) == LOST


def test_while_its_servers_are_moved_a_host_gets_no_lease(ward: Ward) -> None:
    ward.lose()
    assert ward.book.begin_heal(LOST, "somebody")
    assert ward.lost.renew_lease().state == LeaseState.HEALING
    ward.healer.round()  # Whoever began it is not the healer any more.
    assert ward.lost.renew_lease().state == LeaseState.HELD


def test_a_healer_that_was_frozen_meanwhile_moves_nothing(ward: Ward) -> None:
    made = ward.server("web", **REBUILD)
    ward.lose()
    ward.release()
    ward.claim("another")
    with pytest.raises(Transient, match="another process is the healer"):
        ward.looks()
    assert ward.host_of(made) == LOST
    with ward.cloud.database.write(wakes=False) as connection:
        lease.release(connection, NAME, token="another")
    ward.claim(ward.token)


def test_one_for_which_there_is_no_room_waits_and_others_move(ward: Ward) -> None:
    large = ward.server("large", **REBUILD)
    small = ward.server("small", **REBUILD)
    with ward.cloud.database.write() as connection:
        for host in (OTHER, THIRD):
            host_store.update(connection, host, ram_free_mib=600 if host == THIRD else 0)
    ward.lose()
    ward.looks()
    assert sorted({ward.host_of(large), ward.host_of(small)}) == [LOST, THIRD]
    assert len([words for words in ward.book.words if words.startswith("moves")]) == 1
    with ward.cloud.database.write() as connection:
        for host in (OTHER, THIRD):
            host_store.update(connection, host, ram_free_mib=200_000)
    ward.looks(seconds=int(AGAIN_S))
    assert LOST not in {ward.host_of(large), ward.host_of(small)}


def evacuate(admin: Connection, made: Any, version: str = "2.95", **values: Any) -> Any:
    return admin.compute.post(
        f"/servers/{made.id}/action", json={"evacuate": values}, microversion=version
    )


def force_down(admin: Connection, name: str) -> None:
    service = next(each for each in admin.compute.services() if each.host == name)
    admin.compute.update_service_forced_down(service, forced=True)


def test_an_administrator_evacuates_what_waits_once_its_host_is_down(
    ward: Ward, admin: Connection, demo: Connection
) -> None:
    made = ward.server("web")
    answers = [evacuate(admin, made), evacuate(demo, made)]
    assert [answer.status_code for answer in answers] == [400, 403]
    assert "still in use" in answers[0].text
    with ward.cloud.database.write() as connection:
        host_store.update(connection, LOST, state=host_store.DOWN)
    refused = evacuate(admin, made)
    assert (refused.status_code, "has its lease" in refused.text) == (400, True)
    ward.lose()
    assert evacuate(admin, made, host=THIRD).status_code == 200
    assert ward.host_of(made) == THIRD
    assert ward.book.healing == {}


def test_an_administrators_word_counts_more_than_a_lease(ward: Ward, admin: Connection) -> None:
    made = ward.server("web")
    force_down(admin, LOST)
    before = evacuate(admin, made, "2.13", onSharedStorage=False)
    assert before.status_code == 200
    assert before.json()["adminPass"]
    assert ward.host_of(made) != LOST


@pytest.mark.parametrize(
    ("values", "version", "status"),
    [
        ({"host": "nowhere"}, "2.95", 400),
        ({"host": LOST}, "2.95", 400),
        ({"onSharedStorage": True}, "2.14", 400),
        ({"force": True}, "2.68", 400),
        ({"what": 1}, "2.95", 400),
        ({"host": 7}, "2.95", 400),
    ],
)
def test_what_cannot_be_evacuated_so_is_refused(
    ward: Ward, admin: Connection, values: dict[str, Any], version: str, status: int
) -> None:
    made = ward.server("web")
    force_down(admin, LOST)
    assert evacuate(admin, made, version, **values).status_code == status
    assert ward.host_of(made) == LOST


def test_a_paused_or_shelved_server_is_not_evacuated(
    ward: Ward, admin: Connection, demo: Connection
) -> None:
    made = ward.server("web")
    demo.compute.pause_server(made)
    ward.lost.settle()
    force_down(admin, LOST)
    assert evacuate(admin, made).status_code == 409


def test_a_group_that_wants_to_be_together_moves_together(ward: Ward, demo: Connection) -> None:
    group = demo.compute.create_server_group(name="pair", policy="affinity")
    pair = [
        ward.asked(name, metadata=REBUILD, scheduler_hints={"group": group.id})
        for name in ("one", "two")
    ]
    ward.lose()
    ward.looks()
    hosts = {ward.host_of(made) for made in pair}
    assert len(hosts) == 1
    assert LOST not in hosts


def test_an_operators_command_moves_what_waits_for_its_host(
    ward: Ward, admin: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = ward.server("web")
    ward.lose()
    monkeypatch.setattr(choice, "existing", lambda _args: (CloudSettings(), HostSettings()))
    monkeypatch.setattr(status, "admin_entry", lambda _cloud, _host: {})
    monkeypatch.setattr(first_run, "connect", lambda _entry: admin)
    assert healing.heal(argparse.Namespace(host=LOST, force=True)) == 0
    assert ward.host_of(made) in (OTHER, THIRD)
