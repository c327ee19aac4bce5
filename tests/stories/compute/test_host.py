"""Hosts: what an administrator sees of them, what they may fetch, and when they are down."""

from __future__ import annotations

import base64
import contextlib
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import httpx
import msgspec
import pytest
from openstack import exceptions
from openstack.connection import Connection
from tests import host_messages
from tests.plain_http import PLAIN
from tests.running_cloud import HOST_HEADER, RunningCloud
from tests.stories.compute.conftest import Workbench
from tests.tarball import tarball

import kumoi
from kumoi.base.clock import SetClock
from kumoi.base.ids import new_id
from kumoi.cloud.hostapi.hello import PATH, PROTOCOL, PROTOCOL_OLDEST, Allocation
from kumoi.cloud.hostapi.offer import Offer
from kumoi.cloud.hostapi.things import ThingReport
from kumoi.cloud.reconcilers import server as reconciler
from kumoi.cloud.reconcilers.host import HostReconciler
from kumoi.cloud.reconcilers.server import BUILD_S, DELETED_KEPT_S, ServerReconciler
from kumoi.engine.db import Database


@contextlib.contextmanager
def later(cloud: RunningCloud, seconds: float) -> Iterator[Database]:
    """The cloud's store as somebody sees it whose database is that much further in time."""
    url = cloud.database.url.render_as_string(hide_password=False)
    opened = Database(url, wake_dir=cloud.here.wake_dir)
    opened.set_clock(SetClock(at=opened.now() + timedelta(seconds=seconds)))
    yield opened
    opened.close()


def test_claims_come_and_go_with_servers(
    bench: Workbench, admin: Connection, demo: Connection
) -> None:
    def used() -> int:
        (server_count,) = [
            len(host.servers or [])
            for host in admin.compute.hypervisors(details=True, with_servers=True)
            if host.name == "host1"
        ]
        return server_count

    before = used()
    made = bench.active()
    assert used() == before + 1
    demo.compute.delete_server(made)
    bench.cloud.host.settle()
    assert used() == before


def test_a_host_promises_no_more_memory_than_it_has_unless_its_operator_says_so(
    bench: Workbench, admin: Connection
) -> None:
    answer = admin.compute.get("/os-hypervisors/statistics", microversion="2.87")
    claimed = answer.json()["hypervisor_statistics"]["memory_mb_used"]

    def status(ram_ratio: float) -> str:
        """Of a server more on a host that has room for one."""
        allowed = Allocation(ram_reserved_mib=1_024, ram_ratio=ram_ratio)
        bench.cloud.host.register(ram_mib=1_024 + claimed + 512, allocation=allowed)
        return str(bench.show(bench.server()).status)

    try:
        assert [status(1.0), status(1.0), status(2.0)] == ["BUILD", "ERROR", "BUILD"]
    finally:
        bench.cloud.host.register()


def test_a_host_shows_the_address_that_it_tells(bench: Workbench, admin: Connection) -> None:
    def shown() -> set[str]:
        hosts = admin.compute.hypervisors(details=True)
        return {host.host_ip for host in hosts if host.name == "host1"}

    assert shown() == {"0.0.0.0"}
    bench.cloud.host.address = "10.5.0.2"
    try:
        bench.cloud.host.register()
        assert shown() == {"10.5.0.2"}
    finally:
        bench.cloud.host.address = ""
        bench.cloud.host.register()


def test_a_host_shows_the_type_of_its_first_driver(bench: Workbench, admin: Connection) -> None:
    host = bench.cloud.host
    host.offers = {"qemu": Offer(), "lxc": Offer()}
    try:
        host.register()
        (shown,) = (
            hypervisor
            for hypervisor in admin.compute.hypervisors(details=True)
            if hypervisor.name == "host1"
        )
        assert shown.hypervisor_type == "QEMU"
    finally:
        host.offers = {}
        host.register()


def test_a_silent_host_is_down_and_gets_no_servers_until_it_is_heard(
    bench: Workbench, admin: Connection
) -> None:
    with later(bench.cloud, 60) as database:
        HostReconciler(database, silent_s=30).round()
    assert {service.state for service in admin.compute.services()} == {"down"}
    failed = bench.show(bench.server())
    assert failed.status == "ERROR"
    assert "down" in failed.fault["message"]
    bench.cloud.host.register()
    assert "up" in {service.state for service in admin.compute.services()}
    assert bench.active("again").status == "ACTIVE"


def test_a_disabled_host_keeps_its_servers_and_gets_no_more(
    bench: Workbench, admin: Connection
) -> None:
    made = bench.active()
    services = list(admin.compute.services())
    for service in services:
        admin.compute.disable_service(service, disabled_reason="repair")
    assert "disabled" in bench.show(bench.server("more")).fault["message"]
    assert bench.show(made).status == "ACTIVE"
    admin.compute.enable_service(next(item for item in services if item.host == "host1"))


def test_a_host_is_found_by_its_id_and_by_a_part_of_its_name(admin: Connection) -> None:
    (found,) = admin.compute.hypervisors(hypervisor_hostname_pattern="ost1")
    shown = admin.compute.get_hypervisor(found.id)
    assert (shown.name, shown.hypervisor_type, shown.status) == ("host1", "LXC", "enabled")
    assert shown.service_details["host"] == "host1"
    older = {"microversion": "2.52"}
    (number,) = admin.compute.get("/os-hypervisors/ost1/search", **older).json()["hypervisors"]
    assert (number["hypervisor_hostname"], number["state"]) == ("host1", "up")
    numbered = admin.compute.get(f"/os-hypervisors/{number['id']}", **older).json()["hypervisor"]
    assert numbered["service"]["host"] == "host1"
    for path in (f"/os-hypervisors/{new_id()}", "/os-hypervisors?hypervisor_hostname_pattern=moon"):
        assert admin.compute.get(path).status_code == 404
    assert admin.compute.get("/os-hypervisors/moon/search", **older).status_code == 404


def test_a_host_tells_how_long_it_is_up(bench: Workbench, admin: Connection) -> None:
    (host,) = admin.compute.hypervisors(details=True)
    assert host.uptime is None
    path = f"/os-hypervisors/{host.id}/uptime"
    assert admin.compute.get(path, microversion="2.87").status_code == 501
    bench.cloud.host.booted_at = int(time.time()) - 3 * 86_400
    try:
        bench.cloud.host.register()
        answer = admin.compute.get(path, microversion="2.87").json()["hypervisor"]
        assert "up 3 days, 0:" in answer["uptime"]
        assert "up 3 days, 0:" in admin.compute.get_hypervisor(host.id).uptime
    finally:
        bench.cloud.host.booted_at = None
        bench.cloud.host.register()
    assert admin.compute.get(path, microversion="2.88").status_code == 404


def test_a_hosts_servers_are_listed_when_asked_for(bench: Workbench, admin: Connection) -> None:
    (host,) = admin.compute.hypervisors()

    def listed(version: str) -> object:
        path = f"/os-hypervisors/{host.id}?with_servers=true"
        shown = admin.compute.get(path, microversion=version).json()["hypervisor"]
        return shown.get("servers")

    assert (listed("2.74"), listed("2.75")) == (None, [])
    made = bench.active()
    assert listed("2.53") == listed("2.96") == [{"uuid": made.id, "name": "web"}]


def test_statistics_are_the_sums_over_all_hosts(bench: Workbench, admin: Connection) -> None:
    def sums() -> Any:
        answer = admin.compute.get("/os-hypervisors/statistics", microversion="2.87")
        return answer.json()["hypervisor_statistics"]

    before = sums()
    bench.active()
    after = sums()
    claims = ("vcpus_used", "memory_mb_used", "local_gb_used", "running_vms")
    assert [after[name] - before[name] for name in claims] == [1, 512, 5, 1]
    assert (after["count"], after["vcpus"]) == (1, 64)


def test_an_administrator_sees_who_works_in_a_zone(admin: Connection) -> None:
    (zone,) = admin.compute.availability_zones(details=True)
    (service,) = zone.hosts["host1"].values()
    assert (zone.name, list(zone.hosts["host1"])) == ("nova", ["nova-compute"])
    assert (service["available"], service["active"]) == (True, True)


@pytest.mark.parametrize(
    "path",
    [
        "/os-hypervisors/1",
        "/os-hypervisors/1/uptime",
        "/os-hypervisors/host1/search",
        "/os-hypervisors/statistics",
        "/os-availability-zone/detail",
        "/os-migrations",
    ],
)
def test_what_is_for_administrators_is_refused_to_a_tenant(tenant: Connection, path: str) -> None:
    assert tenant.compute.get(path, microversion="2.1").status_code == 403


def test_a_tenant_sees_nothing_of_hosts(bench: Workbench, demo: Connection) -> None:
    made = bench.active()
    assert (made.compute_host, made.hypervisor_hostname) == (None, None)
    attempts: list[Callable[[], Any]] = [
        lambda: list(demo.compute.hypervisors()),
        lambda: list(demo.compute.services()),
        lambda: list(demo.compute.aggregates()),
    ]
    for attempt in attempts:
        with pytest.raises(exceptions.ForbiddenException):
            attempt()
    (zone,) = demo.compute.availability_zones()
    assert (zone.name, zone.state) == ("nova", {"available": True})


def test_a_build_that_takes_too_long_is_an_error_until_its_host_reports(
    bench: Workbench,
) -> None:
    made = bench.server()
    with later(bench.cloud, BUILD_S + 60) as database:
        ServerReconciler(database).round()
    assert "took longer" in bench.show(made).fault["message"]
    bench.cloud.host.settle()
    assert bench.show(made).status == "ACTIVE"


def test_servers_long_deleted_are_forgotten(
    bench: Workbench, admin: Connection, demo: Connection
) -> None:
    made = bench.active()
    demo.compute.delete_server(made)
    bench.cloud.host.settle()
    assert made.id in [
        server.id for server in admin.compute.servers(all_projects=True, deleted=True)
    ]
    with later(bench.cloud, DELETED_KEPT_S + 60) as database:
        ServerReconciler(database).round()
    assert list(admin.compute.servers(all_projects=True, deleted=True)) == []


def test_of_servers_that_are_made_and_deleted_without_end_the_newest_are_remembered(
    bench: Workbench, admin: Connection, demo: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reconciler, "DELETED_KEPT_MAX", 2)
    given = base64.b64encode(b"of a deleted server").decode()
    made = [bench.active(f"gone-{number}", user_data=given) for number in range(4)]
    for server in made:
        demo.compute.delete_server(server)
        bench.cloud.host.settle()
    ServerReconciler(bench.cloud.database).round()
    listed = admin.compute.servers(all_projects=True, deleted=True)
    left = [server for server in listed if server.project_id == demo.current_project_id]
    assert {server.id for server in left} == {server.id for server in made[2:]}
    assert {server.user_data for server in left} == {None}


def test_a_host_that_read_another_epoch_is_told_everything(bench: Workbench) -> None:
    made = bench.active()
    seen = bench.cloud.host.wanted()
    again = bench.cloud.host.wanted(seen)
    assert (again.complete, again.things, again.epoch) == (False, [], seen.epoch)
    anew = bench.cloud.host.wanted(msgspec.structs.replace(seen, epoch="another"))
    assert anew.complete
    assert made.id in [server.id for server in host_messages.servers(anew)]


def test_a_host_newer_than_the_control_plane_may_not_act(bench: Workbench) -> None:
    host = bench.cloud.host

    def hears() -> int:
        url, who = f"{host.url}{PATH}/wanted", {HOST_HEADER: host.name}
        return httpx.get(url, params={"wait_s": 0}, headers=who, verify=PLAIN).status_code

    def says_hello(**words: object) -> httpx.Response:
        had: dict[str, object] = {"hostname": host.name, "drivers": ["lxc"], "release": "0"}
        had |= {"vcpus": 64, "ram_mib": 262_144, "disk_gib": 10_000, "protocol": PROTOCOL}
        url, who = f"{host.url}{PATH}/hello", {HOST_HEADER: host.name}
        return httpx.put(url, json=had | words, headers=who, verify=PLAIN)

    try:
        refused = says_hello(release="999.1")
        assert refused.status_code == 409
        words = refused.json()["error"]["message"]
        assert f"release 999.1, newer than the control plane's {kumoi.__version__}" in words
        assert hears() == 409
        assert says_hello(protocol=PROTOCOL_OLDEST - 1).status_code == 409
        assert hears() == 409
    finally:
        accepted = says_hello()
    assert accepted.status_code == 200
    assert accepted.json()["release"] == kumoi.__version__
    assert accepted.json()["epoch"] == host.wanted().epoch
    assert hears() == 200


def test_what_a_host_cannot_understand_of_a_server_is_its_fault_alone(
    bench: Workbench, admin: Connection
) -> None:
    first, second = bench.active("one"), bench.active("two")
    things = {thing.id: thing for thing in host_messages.things(bench.cloud.host.wanted())}
    words = "not understood by this host, which is of release 0"
    faulty = ThingReport(
        kind="server", id=first.id, generation=things[first.id].generation, fault=words
    )
    newer = ThingReport(kind="volume", id=new_id(), generation=1)
    odd = msgspec.structs.replace(
        faulty, id=second.id, fault="", status=msgspec.Raw(b'{"state":"asleep"}')
    )
    many = [faulty, newer, odd]
    bench.host_says("POST", "reports", msgspec.json.encode(host_messages.reports(many)))
    bench.host_says("POST", "reports", b'{"reports": [{"kind": 1}, {}, "x"]}')
    shown = bench.show(first)
    assert (shown.status, shown.fault["message"]) == ("ERROR", words)
    assert bench.show(second).status == "ACTIVE"
    bench.cloud.host.settle()
    assert bench.show(first).status == "ACTIVE"


def test_an_administrator_deletes_a_server_whose_host_is_gone(
    bench: Workbench, admin: Connection
) -> None:
    made = bench.active()
    with later(bench.cloud, 60) as database:
        HostReconciler(database, silent_s=30).round()
    admin.compute.delete_server(made, force=True)
    with pytest.raises(exceptions.NotFoundException):
        bench.show(made)
    bench.cloud.host.register()
    assert made.id not in [server.id for server in bench.cloud.host.servers()]


def test_a_host_fetches_public_images_and_those_of_its_servers(
    bench: Workbench, demo: Connection
) -> None:
    private = demo.image.create_image(
        "mine", data=tarball(), disk_format="root-tar", container_format="bare"
    )

    def fetch(image_id: str) -> httpx.Response:
        host = bench.cloud.host
        return httpx.get(
            f"{host.url}{PATH}/images/{image_id}", headers={HOST_HEADER: host.name}, verify=PLAIN
        )

    assert fetch(bench.image_id).content == tarball()
    assert fetch(private.id).status_code == 404
    bench.server(image_id=private.id)
    answer = fetch(private.id)
    assert answer.content == tarball()
    assert len(answer.headers["X-Kumoi-Sha256"]) == 64
    assert fetch(new_id()).status_code == 404


def old(who: Connection, path: str, method: str = "GET", body: Any = None) -> Any:
    """As until 2.42."""
    return who.compute.request(f"/os-hosts{path}", method, json=body, microversion="2.42")


def test_hosts_are_listed_as_old_clients_have_them(admin: Connection, demo: Connection) -> None:
    host = {"host_name": "host1", "service": "compute", "zone": "nova"}
    assert host in old(admin, "").json()["hosts"]
    assert host in old(admin, "?zone=nova").json()["hosts"]
    assert host in old(admin, "?zone=").json()["hosts"]
    assert old(admin, "?zone=mars").json() == {"hosts": []}
    assert old(demo, "").status_code == 403
    assert admin.compute.get("/os-hosts", microversion="2.43").status_code == 404


def test_a_host_tells_what_projects_have_of_it(
    bench: Workbench, admin: Connection, demo: Connection
) -> None:
    bench.active()
    shown = [each["resource"] for each in old(admin, "/host1").json()["host"]]
    assert [each["project"] for each in shown[:3]] == ["(total)", "(used_now)", "(used_max)"]
    own = {"project": demo.current_project_id, "host": "host1"}
    assert own | {"cpu": 1, "memory_mb": 512, "disk_gb": 5} in shown[3:]
    assert shown[0]["memory_mb"] >= shown[1]["memory_mb"] >= 512
    assert old(admin, "/mars").status_code == 404


def test_a_host_is_disabled_as_old_clients_do(admin: Connection) -> None:
    answer = old(admin, "/host1", "PUT", {"status": "Disable"})
    assert answer.json() == {"host": "host1", "status": "disabled"}
    assert "host1" not in [each["host_name"] for each in old(admin, "").json()["hosts"]]
    answer = old(admin, "/host1", "PUT", {"status": "enable"})
    assert answer.json() == {"host": "host1", "status": "enabled"}
    for body, status in (
        ({}, 400),
        ({"status": "odd"}, 400),
        ({"maintenance_mode": "enable"}, 501),
    ):
        assert old(admin, "/host1", "PUT", body).status_code == status
    assert old(admin, "/mars", "PUT", {"status": "enable"}).status_code == 404


def test_hosts_are_not_switched_on_or_off(admin: Connection) -> None:
    for verb in ("startup", "shutdown", "reboot"):
        assert old(admin, f"/host1/{verb}").status_code == 501
        assert old(admin, f"/mars/{verb}").status_code == 404


def test_servers_of_hypervisors_are_found_by_name_until_2_52(
    bench: Workbench, admin: Connection
) -> None:
    made = bench.active()
    path = "/os-hypervisors/host1/servers"
    (found,) = admin.compute.get(path, microversion="2.52").json()["hypervisors"]
    assert found["hypervisor_hostname"] == "host1"
    assert {"uuid": made.id, "name": made.name} in found["servers"]
    assert admin.compute.get(path, microversion="2.53").status_code == 404
    missing = admin.compute.get("/os-hypervisors/mars/servers", microversion="2.52")
    assert missing.status_code == 404
