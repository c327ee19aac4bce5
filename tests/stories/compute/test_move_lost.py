"""A host that is lost while a server moves from it or to it: the move ends, and the server runs once or says why not."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from openstack import exceptions
from openstack.connection import Connection
from tests.running_cloud import FakeHost
from tests.stories.compute import movers as moving
from tests.stories.compute.conftest import Workbench
from tests.stories.compute.movers import SPARE, Movers

from kumoi.cloud.domain.compute.move_lost import SILENT_S
from kumoi.cloud.domain.host import host as host_domain
from kumoi.cloud.hostapi.arrival import ArrivalState
from kumoi.cloud.hostapi.messages import Power
from kumoi.cloud.reconcilers.server import ServerReconciler
from kumoi.cloud.store.compute import server as server_store
from kumoi.engine import db

SOURCE = "host1"


@pytest.fixture
def movers(bench: Workbench, admin: Connection) -> Iterator[Movers]:
    yield from moving.between(bench, admin)
    for service in admin.compute.services():
        if service.binary == "nova-compute" and service.host in (SOURCE, SPARE):
            admin.compute.update_service_forced_down(service, forced=False)


def goes_down(movers: Movers, host: FakeHost) -> None:
    """It is not heard of any more, and the worker looks at what moves."""
    with movers.bench.cloud.database.write() as connection:
        late = db.now(connection) + timedelta(seconds=1)
        host_domain.mark_silent(connection, before=late, now=late)
    comes_back(movers.spare if host is movers.first else movers.first)
    worker_looks(movers)


def comes_back(host: FakeHost) -> None:
    host.register(ram_mib=65_536 if host.name == SPARE else 262_144)


def worker_looks(movers: Movers) -> None:
    ServerReconciler(movers.bench.cloud.database).round()


def is_off(movers: Movers, host: str) -> None:
    """An administrator says so."""
    service = next(each for each in movers.admin.compute.services() if each.host == host)
    movers.admin.compute.update_service_forced_down(service, forced=True)
    worker_looks(movers)


def evacuate(movers: Movers, server: Any, **values: Any) -> None:
    answer = movers.admin.compute.post(
        f"/servers/{server.id}/action", json={"evacuate": values}, microversion="2.95"
    )
    exceptions.raise_from_response(answer)


def brought_to(movers: Movers, server: Any, step: str) -> None:
    movers.migrate(server)
    if step == "copying":
        return
    movers.copied(ArrivalState.READY)
    if step == "stopping":
        return
    movers.first.settle()
    if step == "finishing":
        return
    movers.copied(ArrivalState.COMPLETE)
    assert movers.spare.servers() != []


@pytest.mark.parametrize("lost", [SOURCE, SPARE])
@pytest.mark.parametrize("step", ["copying", "stopping", "finishing"])
def test_before_the_other_host_has_it_a_move_ends_where_it_began(
    movers: Movers, step: str, lost: str
) -> None:
    made = movers.bench.active()
    before = movers.claimed(SOURCE)
    brought_to(movers, made, step)
    host = movers.first if lost == SOURCE else movers.spare
    goes_down(movers, host)
    assert movers.where(made)[1] != "MIGRATING"
    assert movers.migrations(made) == [("live-migration", "error", SPARE)]
    comes_back(host)
    movers.first.settle()
    assert movers.where(made) == (SOURCE, "ACTIVE", None)
    assert (movers.arrivals(), movers.spare.servers()) == ([], [])
    assert (movers.claimed(SOURCE), movers.claimed(SPARE)) == (before, 0)


def test_a_copy_of_which_nothing_is_heard_is_given_up(movers: Movers) -> None:
    made = movers.bench.active()
    movers.migrate(made)
    with movers.bench.cloud.database.write() as connection:
        row = server_store.get(connection, made.id)
        assert row is not None
        long_ago = db.now(connection) - timedelta(seconds=SILENT_S + 1)
        server_store.update(connection, row, now=long_ago)
    worker_looks(movers)
    movers.first.settle()
    assert movers.where(made) == (SOURCE, "ACTIVE", None)
    assert movers.admin.compute.get_server(made.id).fault is None


def test_a_new_host_that_is_down_may_run_it_so_it_starts_nowhere_else(movers: Movers) -> None:
    made = movers.bench.active()
    brought_to(movers, made, "starting")
    goes_down(movers, movers.spare)
    assert movers.where(made)[:2] == (SPARE, "ERROR")
    shown = movers.admin.compute.get_server(made.id)
    assert "Its disk as it was stopped is on host1" in shown.fault["message"]
    assert movers.bench.spec(made).power is Power.STOPPED  # The first host keeps its disk.
    movers.first.settle()
    worker_looks(movers)
    assert movers.where(made)[:2] == (SPARE, "ERROR")
    comes_back(movers.spare)
    movers.spare.settle()
    assert movers.where(made) == (SPARE, "ACTIVE", None)
    assert [spec for spec in movers.first.servers() if spec.id == made.id] == []


@pytest.mark.parametrize("word", ["evacuate", "forced down"])
def test_it_starts_from_the_disk_that_it_has_once_its_new_host_is_lost(
    movers: Movers, word: str
) -> None:
    made = movers.bench.active()
    before = movers.claimed(SOURCE)
    build = movers.bench.spec(made).build
    brought_to(movers, made, "starting")
    goes_down(movers, movers.spare)
    if word == "evacuate":
        evacuate(movers, made)
    else:
        is_off(movers, SPARE)
    spec = movers.bench.spec(made)
    assert (spec.power, spec.build, spec.arrived) == (Power.RUNNING, build, False)
    assert movers.spare.servers() == []  # Should it come back.
    movers.first.settle()
    assert movers.where(made) == (SOURCE, "ACTIVE", None)
    assert (movers.claimed(SOURCE), movers.claimed(SPARE)) == (before, 0)
    (port,) = movers.admin.network.ports(device_id=made.id)
    assert port.binding_host_id == SOURCE


def test_with_both_hosts_down_the_disk_is_waited_for(movers: Movers) -> None:
    made = movers.bench.active()
    brought_to(movers, made, "starting")
    with movers.bench.cloud.database.write() as connection:
        late = db.now(connection) + timedelta(seconds=1)
        host_domain.mark_silent(connection, before=late, now=late)
    worker_looks(movers)
    with pytest.raises(exceptions.ConflictException, match="host1, which is down as well"):
        evacuate(movers, made)
    comes_back(movers.first)
    other = FakeHost(movers.first.url, name="third", address="172.21.0.4")
    other.register()
    with pytest.raises(exceptions.BadRequestException, match="is on host host1"):
        evacuate(movers, made, host="third")
    evacuate(movers, made)
    movers.first.settle()
    assert movers.where(made) == (SOURCE, "ACTIVE", None)


def test_a_server_whose_first_host_is_lost_on_the_way_is_made_again(movers: Movers) -> None:
    made = movers.bench.active()
    brought_to(movers, made, "finishing")
    goes_down(movers, movers.first)
    evacuate(movers, made)
    assert movers.migrations(made)[0][1] == "done"
    movers.spare.settle()
    assert movers.where(made) == (SPARE, "ACTIVE", None)
    assert movers.spare.servers()[0].arrived is False
    comes_back(movers.first)
    assert [spec for spec in movers.first.servers() if spec.id == made.id] == []
    movers.first.settle()
    assert movers.claimed(SPARE) == 512


def test_a_server_that_has_arrived_is_healed_although_its_former_host_is_not_cleared(
    movers: Movers,
) -> None:
    made = movers.bench.active()
    before = movers.claimed(SOURCE)
    brought_to(movers, made, "starting")
    movers.spare.settle()
    assert movers.where(made) == (SPARE, "ACTIVE", None)
    goes_down(movers, movers.spare)
    evacuate(movers, made)
    movers.first.settle()
    assert movers.where(made) == (SOURCE, "ACTIVE", None)
    assert (movers.claimed(SOURCE), movers.claimed(SPARE)) == (before, 0)


def test_what_a_host_could_not_start_waits_until_it_is_removed_or_the_host_is_off(
    movers: Movers,
) -> None:
    made = movers.bench.active()
    brought_to(movers, made, "starting")
    movers.spare.fail_with = "start a server: LXC says no"
    movers.spare.settle()
    goes_down(movers, movers.spare)
    assert movers.bench.spec(made).power is Power.STOPPED
    is_off(movers, SPARE)
    assert movers.bench.spec(made).power is Power.RUNNING
    movers.first.settle()
    assert movers.where(made) == (SOURCE, "ACTIVE", None)
