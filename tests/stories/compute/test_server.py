"""Servers from create to delete, as openstacksdk sees them."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any

import httpx
import msgspec
import pytest
from openstack import exceptions
from openstack.connection import Connection
from tests import host_messages
from tests.stories.compute.conftest import Workbench

from kumoi.base.ids import new_hex_id
from kumoi.cloud.domain.compute import keypair
from kumoi.cloud.hostapi.messages import InjectedFile, InstanceSpec, Power
from kumoi.cloud.hostapi.offer import Capability, Offer


def test_a_server_is_build_until_its_host_says_it_runs(bench: Workbench) -> None:
    made = bench.server("web", metadata={"role": "web"}, description="the first")
    building = bench.show(made)
    assert (building.status, building.vm_state, building.task_state) == (
        "BUILD",
        "building",
        "spawning",
    )
    bench.cloud.host.settle()
    shown = bench.show(made)
    assert (shown.status, shown.vm_state, shown.power_state) == ("ACTIVE", "active", 1)
    assert shown.metadata == {"role": "web"}
    assert shown.description == "the first"
    assert shown.hostname == "web"
    assert shown.flavor.original_name.startswith("small-")
    assert shown.image.id == bench.image_id
    assert [item["addr"] for item in shown.addresses["private"]] == ["10.206.0.2"]
    assert [group["name"] for group in shown.security_groups] == ["default"]
    assert shown.launched_at is not None


def test_the_host_is_told_all_it_needs(bench: Workbench, demo: Connection) -> None:
    key = demo.compute.create_keypair(
        name="told", public_key=keypair.generate("ssh", "me").public_key
    )
    user_data = base64.encodebytes(b"#cloud-config\n" * 9).decode()  # In lines, as Ruby's.
    made = bench.server("Web Server_1.example", key_name="told", user_data=user_data)
    spec = bench.spec(made)
    assert (spec.vcpus, spec.ram_mib, spec.disk_gib) == (1, 512, 5)
    assert spec.hostname == "web-server-1-example"
    assert spec.ssh_keys == [key.public_key]
    assert spec.user_data == user_data.replace("\n", "")
    assert spec.image is not None
    assert spec.image.id == bench.image_id
    (port,) = spec.ports
    (address,) = port.addresses
    assert (address.address, address.prefix, address.gateway) == ("10.206.0.2", 24, "10.206.0.1")
    assert address.dns == ["9.9.9.9"]
    assert (port.name, port.mtu) == ("eth0", 1442)


def test_a_deleted_server_is_gone_with_its_ports_when_its_host_says_so(
    bench: Workbench, demo: Connection
) -> None:
    made = bench.active()
    demo.compute.delete_server(made)
    assert bench.show(made).task_state == "deleting"
    assert len(list(demo.network.ports(device_id=made.id))) == 1
    bench.cloud.host.settle()
    with pytest.raises(exceptions.NotFoundException):
        bench.show(made)
    assert list(demo.network.ports(device_id=made.id)) == []
    with pytest.raises(exceptions.NotFoundException):
        demo.compute.delete_server(made, ignore_missing=False)


def test_a_server_may_be_deleted_before_its_host_made_it(
    bench: Workbench, demo: Connection
) -> None:
    made = bench.server()
    demo.compute.delete_server(made)
    bench.cloud.host.settle()
    assert list(demo.compute.servers()) == []


def test_a_port_of_the_users_outlives_the_server(bench: Workbench, demo: Connection) -> None:
    port = demo.network.create_port(network_id=bench.network_id, name="mine")
    made = bench.active(networks=[{"port": port.id}])
    assert demo.network.get_port(port.id).device_id == made.id
    demo.compute.delete_server(made)
    bench.cloud.host.settle()
    left = demo.network.get_port(port.id)
    assert (left.device_id, left.fixed_ips) == ("", port.fixed_ips)


def test_what_a_host_cannot_build_is_in_error_with_its_words_and_holds_nothing(
    bench: Workbench, admin: Connection, demo: Connection
) -> None:
    before = [host.memory_used for host in admin.compute.hypervisors(details=True)]
    own_port = demo.network.create_port(network_id=bench.network_id, name="mine")
    seen = bench.cloud.host.wanted()
    bench.cloud.host.fail_with = "image is no root filesystem"
    failed = bench.active(networks=[{"uuid": bench.network_id}, {"port": own_port.id}])
    assert failed.status == "ERROR"
    assert failed.fault["message"] == "image is no root filesystem"
    assert list(demo.network.ports(device_id=failed.id)) == []
    assert demo.network.get_port(own_port.id).device_id == ""
    assert [host.memory_used for host in admin.compute.hypervisors(details=True)] == before
    powers = {
        server.id: server.power for server in host_messages.servers(bench.cloud.host.wanted(seen))
    }
    assert powers[failed.id] == "absent"
    bench.cloud.host.settle()
    demo.compute.delete_server(failed)
    with pytest.raises(exceptions.NotFoundException):
        bench.show(failed)


def test_a_server_that_no_host_can_take_says_why_and_holds_nothing(
    bench: Workbench, admin: Connection, demo: Connection
) -> None:
    huge = admin.compute.create_flavor(
        name=f"huge-{bench.network_id[:4]}", ram=1, vcpus=1, disk=10**6
    )
    before = [host.memory_used for host in admin.compute.hypervisors(details=True)]
    made = bench.server(flavor_id=huge.id)
    failed = bench.show(made)
    assert failed.status == "ERROR"
    assert failed.fault["message"] == (
        "No valid host was found. 1 host is without 1000000 GiB of free disk."
    )
    assert list(demo.network.ports(device_id=made.id)) == []
    assert [host.memory_used for host in admin.compute.hypervisors(details=True)] == before
    demo.compute.delete_server(made)
    with pytest.raises(exceptions.NotFoundException):
        bench.show(made)


def test_a_network_without_a_free_address_leaves_an_error_that_holds_nothing(
    bench: Workbench, demo: Connection
) -> None:
    network = demo.network.create_network(name="tiny")
    demo.network.create_subnet(
        network_id=network.id,
        ip_version=4,
        cidr="10.206.1.0/24",
        allocation_pools=[{"start": "10.206.1.5", "end": "10.206.1.5"}],
    )
    first = bench.server("first", networks=[{"uuid": network.id}])
    second = bench.server("second", networks=[{"uuid": bench.network_id}, {"uuid": network.id}])
    assert bench.show(first).status == "BUILD"
    assert bench.show(second).status == "ERROR"
    assert "No more IP addresses" in bench.show(second).fault["message"]
    assert list(demo.network.ports(device_id=second.id)) == []


def test_several_servers_of_one_request_share_a_reservation(
    bench: Workbench, demo: Connection, admin: Connection
) -> None:
    bench.server("many", min_count=2, max_count=3)
    named = sorted(server.name for server in demo.compute.servers())
    assert named == ["many-1", "many-2", "many-3"]
    reservations = {
        server.reservation_id for server in admin.compute.servers(all_projects=True, name="^many-")
    }
    assert len(reservations) == 1


def test_another_tenants_server_does_not_exist(bench: Workbench, other: Connection) -> None:
    made = bench.active()
    attempts: list[Callable[[], Any]] = [
        lambda: other.compute.get_server(made.id),
        lambda: other.compute.delete_server(made.id, ignore_missing=False),
        lambda: other.compute.stop_server(made.id),
        lambda: other.compute.update_server(made.id, name="mine"),
        lambda: other.compute.get_server_metadata(made.id),
        lambda: other.compute.create_server_interface(made.id),
    ]
    for attempt in attempts:
        with pytest.raises(exceptions.NotFoundException):
            attempt()
    assert list(other.compute.servers()) == []


def test_names_descriptions_and_metadata_change_without_a_new_generation(
    bench: Workbench, demo: Connection
) -> None:
    made = bench.active()
    before = bench.spec(made)
    demo.compute.update_server(made, name="shop", description="renamed")
    demo.compute.set_server_metadata(made, role="shop", stage="blue")
    demo.compute.delete_server_metadata(made, ["stage"])
    demo.compute.add_tag_to_server(made, "green")
    shown = bench.show(made)
    assert (shown.name, shown.description, shown.metadata) == ("shop", "renamed", {"role": "shop"})
    assert shown.tags == ["green"]
    after = bench.spec(made)
    assert after.generation == before.generation
    assert after.metadata == {"role": "shop"}


def test_metadata_is_read_replaced_and_changed_item_by_item(
    bench: Workbench, demo: Connection
) -> None:
    made = bench.active(metadata={"role": "web", "stage": "blue"})
    path = f"/servers/{made.id}/metadata"
    assert demo.compute.get(f"{path}/role").json() == {"meta": {"role": "web"}}
    put = demo.compute.put(f"{path}/stage", json={"meta": {"stage": "green"}})
    assert put.json() == {"meta": {"stage": "green"}}
    assert bench.spec(made).metadata == {"role": "web", "stage": "green"}
    assert demo.compute.put(f"{path}/stage", json={"meta": {"role": "db"}}).status_code == 400
    replaced = demo.compute.put(path, json={"metadata": {"owner": "me"}})
    assert replaced.json() == {"metadata": {"owner": "me"}}
    assert demo.compute.get(path).json() == {"metadata": {"owner": "me"}}
    assert demo.compute.get(f"{path}/role").status_code == 404
    assert demo.compute.delete(f"{path}/role").status_code == 404


def test_tags_are_added_replaced_and_taken_away(bench: Workbench, demo: Connection) -> None:
    made = bench.active()
    path = f"/servers/{made.id}/tags"
    added = demo.compute.put(f"{path}/red")
    assert (added.status_code, demo.compute.put(f"{path}/red").status_code) == (201, 204)
    assert added.headers["Location"].endswith(f"{path}/red")
    assert demo.compute.put(path, json={"tags": ["c", "a", "b"]}).json() == {
        "tags": ["a", "b", "c"]
    }
    assert demo.compute.get(f"{path}/a").status_code == 204
    assert demo.compute.get(f"{path}/red").status_code == 404
    demo.compute.remove_tag_from_server(made, "a")
    assert demo.compute.delete(f"{path}/a").status_code == 404
    assert demo.compute.get(path).json() == {"tags": ["b", "c"]}
    assert demo.compute.put(f"{path}/{'x' * 61}").status_code == 400
    demo.compute.remove_tags_from_server(made)
    assert bench.show(made).tags == []
    assert demo.compute.get(path, microversion="2.25").status_code == 404


def test_addresses_are_listed_by_network(bench: Workbench, demo: Connection) -> None:
    made = bench.active()
    for label in (None, "private"):
        listed = [
            (address.network_label, address.address, address.version)
            for address in demo.compute.server_ips(made, network_label=label)
        ]
        assert listed == [("private", "10.206.0.2", 4)]
    assert demo.compute.get(f"/servers/{made.id}/ips/nowhere").status_code == 404


def test_a_server_has_no_volumes(bench: Workbench, demo: Connection) -> None:
    assert list(demo.compute.volume_attachments(bench.active())) == []


@pytest.mark.parametrize("method", ["GET", "PUT", "POST", "DELETE"])
def test_no_part_of_another_tenants_server_exists(
    bench: Workbench, neighbour: Connection, method: str
) -> None:
    made = bench.active(metadata={"a": "1"}, tags=["a"])
    (port,) = bench.connection.compute.server_interfaces(made)
    read = "ips ips/private metadata metadata/a tags tags/a os-interface os-security-groups"
    interface = f"os-interface/{port.port_id}"
    bodies: dict[str, dict[str, Any]] = {
        "GET": dict.fromkeys(
            [*read.split(), interface, "os-instance-actions", "os-volume_attachments"]
        ),
        "PUT": {
            "metadata": {"metadata": {}},
            "metadata/a": {"meta": {"a": "2"}},
            "tags": {"tags": []},
            "tags/b": None,
        },
        "POST": {
            "metadata": {"metadata": {"b": "2"}},
            "os-interface": {"interfaceAttachment": {}},
            "remote-consoles": {"remote_console": {"type": "novnc", "protocol": "vnc"}},
        },
        "DELETE": dict.fromkeys(("metadata/a", "tags", "tags/a", interface)),
    }
    for part, body in bodies[method].items():
        answer = neighbour.compute.request(f"/servers/{made.id}/{part}", method, json=body)
        assert answer.status_code == 404, part
    shown = bench.show(made)
    assert (shown.metadata, shown.tags) == ({"a": "1"}, ["a"])


def test_a_server_that_the_cloud_does_not_know_is_wanted_absent_of_whoever_has_it(
    bench: Workbench,
) -> None:
    made = bench.active()
    before = bench.cloud.host.wanted()
    unknown = "11111111-2222-4333-8444-555555555555"
    reports = host_messages.reports(
        [host_messages.report(InstanceSpec(id=unknown, generation=3, power=Power.RUNNING))]
    )
    bench.host_says("POST", "reports", msgspec.json.encode(reports))
    specs = host_messages.servers(bench.cloud.host.wanted(since=before))
    assert [(item.id, item.power) for item in specs] == [(unknown, Power.ABSENT)]
    assert bench.show(made).status == "ACTIVE"


def test_a_flavor_without_a_disk_makes_no_server(bench: Workbench, admin: Connection) -> None:
    flavor = admin.compute.create_flavor(name=f"none-{new_hex_id()[:6]}", ram=64, vcpus=1, disk=0)
    with pytest.raises(exceptions.ForbiddenException, match="zero disk"):
        bench.server(flavor_id=flavor.id)
    assert list(bench.connection.compute.servers()) == []


def test_a_host_name_may_have_a_domain_since_2_94(bench: Workbench, demo: Connection) -> None:
    made = bench.active(hostname="web.example.org")
    assert bench.show(made).hostname == "web.example.org"
    assert bench.spec(made).hostname == "web.example.org"
    bench.server("pair", hostname="pair.example.org", min_count=2, max_count=2)
    named = sorted(server.hostname for server in demo.compute.servers(name="^pair"))
    assert named == ["pair-1.example.org", "pair-2.example.org"]
    body = {"server": {"hostname": "web.example.com"}}
    path = f"/servers/{made.id}"
    assert demo.compute.put(path, json=body, microversion="2.93").status_code == 400
    assert demo.compute.put(path, json=body, microversion="2.94").status_code == 200


def test_files_are_written_into_a_new_disk_until_2_56(
    bench: Workbench, demo: Connection, admin: Connection
) -> None:
    host = bench.cloud.host
    wanted = {
        "name": "filed",
        "imageRef": bench.image_id,
        "flavorRef": bench.flavor_id,
        "networks": [{"uuid": bench.network_id}],
        "personality": [{"path": "/etc/motd", "contents": "aGVs\nbG8="}],
    }

    def create(version: str = "2.56", **values: object) -> httpx.Response:
        body = {"server": wanted | values}
        answer: httpx.Response = demo.compute.post("/servers", json=body, microversion=version)
        return answer

    failed = create().json()["server"]["id"]
    assert "without files" in demo.compute.get_server(failed).fault["message"]
    host.offers = {"lxc": Offer(formats=["root-tar"], capabilities=list(Capability))}
    host.register()
    try:
        made = demo.compute.get_server(create().json()["server"]["id"])
        assert bench.spec(made).files == [InjectedFile(path="/etc/motd", contents="aGVsbG8=")]
        assert create("2.57").status_code == 400
        for refused, files in (
            (400, [{"path": "/a", "contents": "%"}]),
            (400, [{"path": "/a\n", "contents": ""}]),
            (403, [{"path": f"/{number}", "contents": ""} for number in range(6)]),
            (403, [{"path": f"/{'x' * 255}", "contents": ""}]),
            (403, [{"path": "/a", "contents": base64.b64encode(b"x" * 10_241).decode()}]),
        ):
            assert create(personality=files).status_code == refused, files
        host.settle()
        again = {"imageRef": bench.image_id, "personality": [{"path": "/b", "contents": ""}]}
        demo.compute.post(
            f"/servers/{made.id}/action", json={"rebuild": again}, microversion="2.56"
        )
        assert bench.spec(made).files == [InjectedFile(path="/b", contents="")]
        host.settle()
        demo.compute.rebuild_server(made, image=bench.image_id)
        assert bench.spec(made).files == []
    finally:
        host.offers = {}
        host.register()
