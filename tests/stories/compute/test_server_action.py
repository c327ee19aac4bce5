"""Everything that may be asked of a server, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
import pytest
from openstack import exceptions
from openstack.connection import Connection
from tests.stories.compute.conftest import Workbench
from tests.stories.unified_limits import limited
from tests.tarball import tarball

from kumoi.cloud.domain.compute import action
from kumoi.cloud.domain.compute.server_rebuild import ADVICE
from kumoi.cloud.drivers.image.files import DraftRoom


def status(bench: Workbench, server: object) -> tuple[str, str | None]:
    shown = bench.show(server)
    return shown.status, shown.task_state


def test_stop_and_start(bench: Workbench, demo: Connection) -> None:
    made = bench.active()
    demo.compute.stop_server(made)
    assert status(bench, made) == ("ACTIVE", "powering-off")
    bench.cloud.host.settle()
    assert status(bench, made) == ("SHUTOFF", None)
    with pytest.raises(exceptions.ConflictException):
        demo.compute.stop_server(made)
    demo.compute.start_server(made)
    assert status(bench, made) == ("SHUTOFF", "powering-on")
    bench.cloud.host.settle()
    assert status(bench, made) == ("ACTIVE", None)


def test_pause_and_unpause(bench: Workbench, demo: Connection) -> None:
    made = bench.active()
    demo.compute.pause_server(made)
    bench.cloud.host.settle()
    assert status(bench, made) == ("PAUSED", None)
    with pytest.raises(exceptions.ConflictException):
        demo.compute.start_server(made)
    demo.compute.unpause_server(made)
    bench.cloud.host.settle()
    assert status(bench, made) == ("ACTIVE", None)


def test_a_reboot_is_seen_until_it_is_over(bench: Workbench, demo: Connection) -> None:
    made = bench.active()
    demo.compute.reboot_server(made, "SOFT")
    assert status(bench, made) == ("REBOOT", "reboot_started")
    bench.cloud.host.settle()
    assert status(bench, made) == ("ACTIVE", None)
    demo.compute.stop_server(made)
    bench.cloud.host.settle()
    with pytest.raises(exceptions.ConflictException):
        demo.compute.reboot_server(made, "SOFT")
    demo.compute.reboot_server(made, "HARD")
    assert status(bench, made) == ("HARD_REBOOT", "reboot_started_hard")
    bench.cloud.host.settle()
    assert status(bench, made) == ("ACTIVE", None)


def test_a_rebuild_keeps_the_addresses(bench: Workbench, demo: Connection) -> None:
    made = bench.active()
    rebuilt = demo.compute.rebuild_server(made, bench.image_id, name="again")
    assert rebuilt.name == "again"
    assert status(bench, made) == ("REBUILD", "rebuilding")
    bench.cloud.host.settle()
    assert status(bench, made) == ("ACTIVE", None)
    assert bench.show(made).addresses == made.addresses


def test_a_server_that_failed_comes_back_with_a_hard_reboot(
    bench: Workbench, demo: Connection
) -> None:
    made = bench.active()
    bench.cloud.host.fail_with = "no space left"
    demo.compute.reboot_server(made, "HARD")
    bench.cloud.host.settle()
    assert status(bench, made) == ("ERROR", None)
    bench.cloud.host.fail_with = ""
    demo.compute.reboot_server(made, "HARD")
    bench.cloud.host.settle()
    shown = bench.show(made)
    assert (shown.status, shown.fault) == ("ACTIVE", None)
    assert shown.addresses == made.addresses


def test_a_refused_rebuild_leaves_the_server_that_was(bench: Workbench, demo: Connection) -> None:
    made, host = bench.active(), bench.cloud.host
    other = demo.image.create_image(
        "other", data=tarball(), disk_format="root-tar", container_format="bare"
    ).id
    host.fail_with = "the host's disk is full"
    demo.compute.rebuild_server(made, other)
    host.settle()
    shown = bench.show(made)
    assert (shown.status, shown.image.id) == ("ERROR", other)
    assert shown.fault["message"] == f"the host's disk is full. {ADVICE}"

    demo.compute.rebuild_server(made, other)  # Tried again, refused again.
    host.settle()
    assert bench.show(made).status == "ERROR"
    host.fail_with = ""
    demo.compute.reboot_server(made, "HARD")
    wanted = bench.spec(made)
    assert (wanted.build, wanted.image and wanted.image.id) == (0, bench.image_id)
    host.settle()
    shown = bench.show(made)
    assert (shown.status, shown.fault, shown.image.id) == ("ACTIVE", None, bench.image_id)

    demo.compute.rebuild_server(made, other)
    host.settle()
    assert (bench.show(made).image.id, bench.spec(made).build) == (other, 1)
    host.fail_with = "no such thing"
    demo.compute.reboot_server(made, "HARD")
    host.settle()
    assert bench.show(made).fault["message"] == "no such thing"
    host.fail_with = ""
    demo.compute.reboot_server(made, "HARD")
    assert bench.spec(made).build == 1  # What was rebuilt is never gone back on.


@pytest.mark.parametrize("kind", ["HARD", "SOFT"])
def test_a_server_that_was_never_built_is_not_rebooted(
    bench: Workbench, demo: Connection, kind: str
) -> None:
    bench.cloud.host.fail_with = "no space left"
    failed = bench.active()
    with pytest.raises(exceptions.ConflictException):
        demo.compute.reboot_server(failed, kind)
    with pytest.raises(exceptions.ConflictException):
        demo.compute.stop_server(failed)
    assert status(bench, failed) == ("ERROR", None)


def test_a_locked_server_is_left_alone_until_it_is_unlocked(
    bench: Workbench, demo: Connection, admin: Connection
) -> None:
    made = bench.active()
    demo.compute.lock_server(made, locked_reason="in use")
    shown = bench.show(made)
    assert (shown.is_locked, shown.locked_reason) == (True, "in use")
    with pytest.raises(exceptions.ConflictException):
        demo.compute.delete_server(made)
    demo.compute.unlock_server(made)
    admin.compute.lock_server(made)
    with pytest.raises(exceptions.ConflictException):
        demo.compute.unlock_server(made)
    admin.compute.unlock_server(made)
    assert not bench.show(made).is_locked


def test_what_containers_cannot_do_is_refused_in_words(bench: Workbench, demo: Connection) -> None:
    made = bench.active()
    attempts: list[Callable[[], Any]] = [
        lambda: demo.compute.change_server_password(made, "secret"),
        lambda: demo.compute.get_server_console_url(made, "novnc"),
        lambda: demo.compute.create_console(made, "novnc"),
    ]
    for attempt in attempts:
        with pytest.raises(exceptions.HttpException) as refused:
            attempt()
        assert refused.value.status_code == 501
    assert status(bench, made) == ("ACTIVE", None)


def test_interfaces_are_attached_and_detached(bench: Workbench, demo: Connection) -> None:
    made = bench.active()
    port = demo.network.create_port(network_id=bench.network_id)
    demo.compute.create_server_interface(made, port_id=port.id)
    demo.compute.create_server_interface(made, net_id=bench.network_id)
    assert [item.name for item in bench.spec(made).ports] == ["eth0", "eth1", "eth2"]
    shown = list(demo.compute.server_interfaces(made))
    assert port.id in [item.port_id for item in shown]
    found = demo.compute.get_server_interface(port.id, server=made)
    assert (found.net_id, found.mac_addr) == (bench.network_id, port.mac_address)
    for item in shown[1:]:
        demo.compute.delete_server_interface(item.port_id, server=made)
    assert len(list(demo.compute.server_interfaces(made))) == 1
    assert demo.network.get_port(port.id).device_id == ""
    with pytest.raises(exceptions.NotFoundException):
        demo.compute.get_server_interface(port.id, server=made)
    with pytest.raises(exceptions.NotFoundException):
        demo.compute.delete_server_interface(port.id, server=made, ignore_missing=False)


def test_security_groups_are_added_and_removed(bench: Workbench, demo: Connection) -> None:
    made = bench.active()
    demo.network.create_security_group(name="http")
    demo.compute.add_security_group_to_server(made, {"name": "http"})
    groups = {group["name"] for group in bench.show(made).security_groups}
    assert groups == {"default", "http"}
    listed = demo.compute.fetch_server_security_groups(made.id).security_groups
    assert {group["name"] for group in listed} == groups
    assert {group["tenant_id"] for group in listed} == {demo.current_project_id}
    demo.compute.remove_security_group_from_server(made, {"name": "http"})
    with pytest.raises(exceptions.ConflictException):
        demo.compute.remove_security_group_from_server(made, {"name": "http"})


def test_every_request_is_told_with_how_it_ended(bench: Workbench, demo: Connection) -> None:
    made = bench.server()
    assert [(action.action, action.message) for action in demo.compute.server_actions(made)] == [
        ("create", None)
    ]
    bench.cloud.host.settle()
    demo.compute.stop_server(made)
    bench.cloud.host.settle()
    listed = list(demo.compute.server_actions(made))
    assert [item.action for item in listed] == ["stop", "create"]
    (event,) = demo.compute.get_server_action(listed[0].request_id, made).events
    assert (event.event, event.result) == ("compute_stop_instance", "Success")


def test_of_a_server_that_is_told_things_without_end_the_newest_are_remembered(
    bench: Workbench, demo: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(action, "KEPT_MAX", 3)
    made, other = bench.active(), bench.active("other")
    for _ in range(3):
        demo.compute.lock_server(made)
        demo.compute.unlock_server(made)
    listed = [item.action for item in demo.compute.server_actions(made)]
    assert listed == ["unlock", "lock", "unlock"]
    assert [item.action for item in demo.compute.server_actions(other)] == ["create"]


def test_the_console_is_what_the_host_last_sent(bench: Workbench, demo: Connection) -> None:
    made = bench.active()
    assert demo.compute.get_server_console_output(made)["output"] == ""
    bench.host_says("PUT", f"servers/{made.id}/console", b"one\ntwo\nthree\n")
    assert demo.compute.get_server_console_output(made)["output"] == "one\ntwo\nthree\n"
    assert demo.compute.get_server_console_output(made, length=1)["output"] == "three\n"


def test_an_image_is_made_from_a_server_by_its_host(bench: Workbench, demo: Connection) -> None:
    made = bench.active()
    image = demo.compute.create_server_image(made, "golden", {"release": "7"})
    assert demo.image.get_image(image.id).status == "queued"
    assert bench.spec(made).snapshots == [image.id]
    bench.host_says("PUT", f"images/{image.id}", tarball())
    shown = demo.image.get_image(image.id)
    assert (shown.status, shown.visibility, shown.disk_format) == ("active", "private", "root-tar")
    assert shown.properties["release"] == "7"
    assert bench.spec(made).snapshots == []
    assert bench.active("copy", image_id=image.id).status == "ACTIVE"


def test_what_a_host_uploads_of_a_server_counts_to_the_project_while_it_is_on_its_way(
    bench: Workbench, admin: Connection, demo: Connection
) -> None:
    """With what the project uploads itself: who had its servers' disks sent had more than its limit."""
    made = bench.active()
    image = demo.compute.create_server_image(made, "golden")
    files, project_id = bench.cloud.services.images, demo.current_project_id
    with limited(admin, demo, service="glance", resource="image_size_total", most=1):
        with files.draft(1 << 20, DraftRoom(project_id, 0, 1 << 20)) as sent_slowly:
            sent_slowly.write(bytes(1 << 20))
            with pytest.raises(httpx.HTTPStatusError, match="413"):
                bench.host_says("PUT", f"images/{image.id}", tarball())
            assert demo.image.get_image(image.id).status == "queued"
        bench.host_says("PUT", f"images/{image.id}", tarball())
    assert demo.image.get_image(image.id).status == "active"


def test_an_image_that_the_host_cannot_make_goes(bench: Workbench, demo: Connection) -> None:
    made = bench.active()
    image = demo.compute.create_server_image(made, "golden")
    bench.host_says("DELETE", f"images/{image.id}", b"")
    with pytest.raises(exceptions.NotFoundException):
        demo.image.get_image(image.id)
    assert bench.spec(made).snapshots == []
    assert status(bench, made) == ("ACTIVE", None)


def test_addresses_come_and_go_as_they_did_before_2_44(
    bench: Workbench, demo: Connection, http: httpx.Client
) -> None:
    made = bench.active()

    def act(action: dict[str, Any], version: str = "2.43") -> int:
        headers = {
            "X-Auth-Token": demo.auth_token,
            "OpenStack-API-Version": f"compute {version}",
        }
        path = f"/compute/v2.1/servers/{made.id}/action"
        return http.post(path, json=action, headers=headers).status_code

    def addresses() -> list[str]:
        (port,) = bench.spec(made).ports
        return [address.address for address in port.addresses]

    (first,) = addresses()
    assert act({"addFixedIp": {"networkId": bench.network_id}}) == 202
    assert addresses()[0] == first
    assert len(addresses()) == 2
    assert act({"removeFixedIp": {"address": first}}) == 202
    assert len(addresses()) == 1
    assert act({"removeFixedIp": {"address": first}}) == 400
    assert act({"addFixedIp": {"networkId": made.id}}) == 400
    assert act({"removeFixedIp": {"address": addresses()[0]}}, version="2.44") == 404
    assert len(addresses()) == 1


def test_only_an_administrator_overrides_a_state(
    bench: Workbench, demo: Connection, admin: Connection
) -> None:
    made = bench.active()
    with pytest.raises(exceptions.ForbiddenException):
        demo.compute.reset_server_state(made, "error")
    admin.compute.reset_server_state(made, "error")
    assert bench.show(made).status == "ERROR"


def test_the_actions_of_a_deleted_server_are_shown_since_2_21(
    bench: Workbench, demo: Connection, neighbour: Connection
) -> None:
    made = bench.active()
    demo.compute.delete_server(made)
    bench.cloud.host.settle()
    path = f"/servers/{made.id}/os-instance-actions"
    assert demo.compute.get(path, microversion="2.20").status_code == 404
    listed = demo.compute.get(path, microversion="2.21").json()["instanceActions"]
    assert [entry["action"] for entry in listed] == ["delete", "create"]
    assert neighbour.compute.get(path, microversion="2.21").status_code == 404


def test_a_suspended_server_is_frozen_as_a_paused_one_is(
    bench: Workbench, demo: Connection
) -> None:
    made = bench.active()
    demo.compute.suspend_server(made)
    assert status(bench, made) == ("ACTIVE", "suspending")
    assert bench.spec(made).power == "paused"
    bench.cloud.host.settle()
    shown = bench.show(made)
    assert (shown.status, shown.vm_state, shown.power_state) == ("SUSPENDED", "suspended", 7)
    for attempt in (demo.compute.unpause_server, demo.compute.suspend_server):
        with pytest.raises(exceptions.ConflictException):
            attempt(made)
    demo.compute.resume_server(made)
    assert status(bench, made) == ("SUSPENDED", "resuming")
    bench.cloud.host.settle()
    assert status(bench, made) == ("ACTIVE", None)
    with pytest.raises(exceptions.ConflictException):
        demo.compute.resume_server(made)
    demo.compute.pause_server(made)
    bench.cloud.host.settle()
    assert status(bench, made) == ("PAUSED", None)


def test_while_an_image_is_made_of_a_server_another_one_waits(
    bench: Workbench, demo: Connection
) -> None:
    made = bench.active()
    image = demo.compute.create_server_image(made, "first")
    assert status(bench, made) == ("ACTIVE", "image_uploading")
    with pytest.raises(exceptions.ConflictException):
        demo.compute.create_server_image(made, "second")
    bench.host_says("PUT", f"images/{image.id}", tarball())
    assert status(bench, made) == ("ACTIVE", None)


def test_of_backups_only_the_newest_stay(bench: Workbench, demo: Connection) -> None:
    made = bench.active()

    def back_up(name: str, kind: str, rotation: int) -> None:
        demo.compute.backup_server(made, name, kind, rotation)
        (image_id,) = bench.spec(made).snapshots
        bench.host_says("PUT", f"images/{image_id}", tarball())

    def kept() -> set[str]:
        return {image.name for image in demo.image.images() if image.name.startswith("b-")}

    back_up("b-daily-1", "daily", 2)
    back_up("b-weekly-1", "weekly", 1)
    back_up("b-daily-2", "daily", 2)
    assert kept() == {"b-daily-1", "b-weekly-1", "b-daily-2"}
    protected = next(image for image in demo.image.images() if image.name == "b-daily-1")
    assert protected.properties["backup_type"] == "daily"
    back_up("b-daily-3", "daily", 2)
    assert kept() == {"b-weekly-1", "b-daily-2", "b-daily-3"}
    back_up("b-daily-4", "daily", 0)
    assert kept() == {"b-weekly-1"}
    with pytest.raises(exceptions.BadRequestException):
        demo.compute.backup_server(made, "b", "daily", -1)
