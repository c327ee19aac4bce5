"""Moving a server to another host: copied while it runs, stopped, started there, and back where that fails."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest
from openstack import exceptions
from openstack.connection import Connection
from tests.stories.compute import movers as moving
from tests.stories.compute.conftest import Workbench
from tests.stories.compute.movers import SPARE, Movers

from kumoi.cloud.domain.host import host as host_domain
from kumoi.cloud.hostapi.arrival import ArrivalState
from kumoi.cloud.hostapi.messages import Departure, Power
from kumoi.cloud.reconcilers.server import ServerReconciler
from kumoi.engine import db


@pytest.fixture
def movers(bench: Workbench, admin: Connection) -> Iterator[Movers]:
    yield from moving.between(bench, admin)


def test_a_server_moves_step_by_step(movers: Movers, demo: Connection) -> None:
    made = movers.bench.active()
    ports = [(port.id, port.fixed_ips) for port in demo.network.ports(device_id=made.id)]
    movers.migrate(made)
    assert movers.where(made) == ("host1", "MIGRATING", "migrating")
    assert movers.bench.spec(made).departure == Departure(host=SPARE, key_sha256="key of spare")
    (arrival,) = movers.arrivals()
    assert (arrival.host, arrival.address, arrival.key_sha256, arrival.final) == (
        "host1",
        "172.21.0.2",
        "key of host1",
        False,
    )
    assert movers.spare.servers() == []
    assert movers.migrations(made) == [("live-migration", "running", SPARE)]
    movers.copied(ArrivalState.COPYING)
    assert movers.bench.spec(made).power is Power.RUNNING
    movers.copied(ArrivalState.READY)
    assert movers.bench.spec(made).power is Power.STOPPED
    assert movers.arrivals()[0].final is False  # Not before it has stopped.
    movers.first.settle()
    assert movers.arrivals()[0].final
    assert movers.spare.servers() == []
    movers.copied(ArrivalState.COMPLETE)
    (server,) = movers.spare.servers()
    assert (server.power, server.arrived) == (Power.RUNNING, True)
    assert movers.bench.spec(made).power is Power.STOPPED  # Its disk stays until it runs there.
    assert movers.arrivals()[0].done
    movers.first.settle()
    movers.spare.settle()
    assert movers.where(made) == (SPARE, "ACTIVE", None)
    assert [spec for spec in movers.first.servers() if spec.id == made.id] == []
    assert movers.migrations(made) == [("live-migration", "completed", SPARE)]
    assert ports == [(port.id, port.fixed_ips) for port in demo.network.ports(device_id=made.id)]
    assert movers.spare.servers()[0].arrived is False


def test_both_hosts_are_claimed_until_the_first_has_removed_it(movers: Movers) -> None:
    made = movers.bench.active()
    before = movers.claimed("host1")
    movers.started(made)
    movers.spare.settle()
    assert (movers.claimed("host1"), movers.claimed(SPARE)) == (before, 512)
    with pytest.raises(exceptions.ConflictException, match="still being removed"):
        movers.migrate(made)
    movers.removed(made)
    movers.first.settle()
    assert (movers.claimed("host1"), movers.claimed(SPARE)) == (before - 512, 512)


def test_a_server_that_is_stopped_stays_so(movers: Movers, demo: Connection) -> None:
    made = movers.bench.active()
    demo.compute.stop_server(made)
    movers.first.settle()
    movers.migrate_cold(made)
    movers.first.settle()
    movers.copied(ArrivalState.READY)
    movers.copied(ArrivalState.COMPLETE)
    movers.spare.settle()
    assert movers.where(made) == (SPARE, "SHUTOFF", None)
    assert movers.migrations(made) == [("migration", "confirmed", SPARE)]


def test_a_copy_that_fails_leaves_the_server_running_where_it_is(movers: Movers) -> None:
    made = movers.bench.active()
    movers.migrate(made)
    movers.copied(ArrivalState.COPYING, fault="the host's disk is full")
    movers.first.settle()
    assert movers.where(made) == ("host1", "ACTIVE", None)
    assert movers.bench.spec(made).power is Power.RUNNING
    assert (movers.arrivals(), movers.claimed(SPARE)) == ([], 0)
    assert movers.migrations(made) == [("live-migration", "error", SPARE)]
    newest = next(iter(movers.admin.compute.server_actions(made.id)))
    assert (newest.action, newest.message) == ("live-migration", "Error")


def test_the_rest_of_a_copy_that_fails_has_the_server_started_again(movers: Movers) -> None:
    made = movers.bench.active()
    movers.migrate(made)
    movers.copied(ArrivalState.READY)
    movers.first.settle()
    stopped = movers.bench.spec(made)
    movers.copied(ArrivalState.COPYING, fault="the host's disk is full")
    again = movers.bench.spec(made)
    assert again.power is Power.RUNNING
    assert again.generation > stopped.generation  # Or the host would keep it stopped.
    movers.first.settle()
    assert movers.where(made) == ("host1", "ACTIVE", None)


def test_what_the_other_host_cannot_start_comes_back(movers: Movers) -> None:
    made = movers.bench.active()
    movers.started(made)
    movers.spare.fail_with = "start a server: LXC says no"
    movers.spare.settle()
    assert movers.bench.spec(made).power is Power.STOPPED  # While the other may have it.
    assert movers.spare.servers() == []
    movers.spare.fail_with = ""
    movers.removed(made)
    assert movers.bench.spec(made).power is Power.STOPPED
    movers.spare.settle()
    assert movers.bench.spec(made).power is Power.RUNNING
    movers.first.settle()
    assert movers.where(made) == ("host1", "ACTIVE", None)
    assert (movers.claimed(SPARE), movers.migrations(made)[0][1]) == (0, "error")
    (port,) = movers.admin.network.ports(device_id=made.id)
    assert port.binding_host_id == "host1"


def test_a_move_is_cancelled_while_the_disk_is_copied(movers: Movers) -> None:
    made = movers.bench.active()
    movers.migrate(made)
    movers.copied(ArrivalState.COPYING)
    path = f"/servers/{made.id}/migrations"
    (shown,) = movers.admin.compute.get(path, microversion="2.80").json()["migrations"]
    assert (shown["status"], shown["disk_total_bytes"]) == ("running", 6 << 20)
    one = movers.admin.compute.get(f"{path}/{shown['id']}", microversion="2.80").json()
    assert one["migration"] == shown
    answer = movers.admin.compute.delete(f"{path}/{shown['id']}", microversion="2.24")
    assert answer.status_code == 202
    movers.first.settle()
    assert movers.where(made) == ("host1", "ACTIVE", None)
    assert movers.migrations(made) == [("live-migration", "cancelled", SPARE)]
    movers.removed(made)
    movers.started(made)
    (shown,) = movers.admin.compute.get(path, microversion="2.80").json()["migrations"]
    late = movers.admin.compute.delete(f"{path}/{shown['id']}", microversion="2.24")
    assert late.status_code == 409
    assert movers.admin.compute.delete(f"{path}/77", microversion="2.24").status_code == 404


@pytest.mark.parametrize("stage", ["copying", "stopping", "starting", "leaving"])
def test_a_server_is_deleted_on_its_way(movers: Movers, demo: Connection, stage: str) -> None:
    made = movers.bench.active()
    before = movers.claimed("host1")
    movers.migrate(made)
    if stage != "copying":
        movers.copied(ArrivalState.READY)
    if stage in ("starting", "leaving"):
        movers.first.settle()
        movers.copied(ArrivalState.COMPLETE)
    if stage == "leaving":
        movers.spare.settle()
    demo.compute.delete_server(made)
    movers.first.settle()
    movers.spare.settle()
    with pytest.raises(exceptions.NotFoundException):
        demo.compute.get_server(made.id)
    assert (movers.claimed("host1"), movers.claimed(SPARE)) == (before - 512, 0)
    assert movers.arrivals() == []
    assert [spec for spec in movers.first.servers() if spec.id == made.id] == []


def test_nothing_else_is_done_to_a_server_on_its_way(movers: Movers, demo: Connection) -> None:
    made = movers.bench.active()
    movers.migrate(made)
    with pytest.raises(exceptions.ConflictException, match="task_state migrating"):
        demo.compute.stop_server(made)
    with pytest.raises(exceptions.ConflictException, match="task_state migrating"):
        movers.migrate(made)
    demo.compute.set_server_metadata(made, colour="red")
    assert movers.bench.spec(made).metadata == {"colour": "red"}


def test_only_a_host_that_can_take_it_is_chosen(movers: Movers) -> None:
    made = movers.bench.active()
    with pytest.raises(exceptions.BadRequestException, match="No valid host"):
        movers.migrate(made, host="host1")
    with pytest.raises(exceptions.BadRequestException, match="could not be found"):
        movers.migrate(made, host="nowhere")
    movers.spare.offers = {}
    movers.spare.register(ram_mib=65_536)
    with pytest.raises(exceptions.BadRequestException, match="No valid host"):
        movers.migrate(made)


def test_the_worker_gives_a_move_up_to_a_host_that_is_down(movers: Movers) -> None:
    made = movers.bench.active()
    movers.migrate(made)
    reconciler = ServerReconciler(movers.bench.cloud.database)
    reconciler.round()
    assert movers.where(made)[1] == "MIGRATING"
    with movers.bench.cloud.database.write() as connection:
        late = db.now(connection) + timedelta(seconds=1)
        host_domain.mark_silent(connection, before=late, now=late)
    movers.first.register()
    reconciler.round()
    movers.first.settle()
    assert movers.where(made) == ("host1", "ACTIVE", None)
    assert movers.migrations(made)[0][1] == "error"
