"""Load balancers: a virtual address with everything behind it."""

from __future__ import annotations

from typing import Any

import pytest
from openstack import exceptions
from openstack.connection import Connection

from tests.stories.load_balancer.conftest import Raw, Worker

pytestmark = pytest.mark.apis("compute")


def test_it_is_pending_until_the_network_has_it(
    demo: Connection, subnet: Any, worker: Worker
) -> None:
    made = demo.load_balancer.create_load_balancer(name="shop", vip_subnet_id=subnet.id)
    assert (made.provisioning_status, made.operating_status) == ("PENDING_CREATE", "OFFLINE")
    worker.round()
    active = demo.load_balancer.get_load_balancer(made.id)
    assert (active.provisioning_status, active.operating_status) == ("ACTIVE", "ONLINE")
    demo.load_balancer.update_load_balancer(made.id, description="the shop's")
    assert demo.load_balancer.get_load_balancer(made.id).provisioning_status == "PENDING_UPDATE"
    worker.round()
    assert demo.load_balancer.get_load_balancer(made.id).provisioning_status == "ACTIVE"


def test_a_listener_leads_to_the_members_by_their_weight(
    demo: Connection, balancer: Any, worker: Worker
) -> None:
    balancing = demo.load_balancer
    listener = balancing.create_listener(
        load_balancer_id=balancer.id, name="web", protocol="TCP", protocol_port=80
    )
    pool = balancing.create_pool(
        listener_id=listener.id, protocol="TCP", lb_algorithm="ROUND_ROBIN"
    )
    first = balancing.create_member(pool, address="10.0.0.11", protocol_port=8080, weight=4)
    balancing.create_member(pool, address="10.0.0.12", protocol_port=8080, weight=2)
    ends = ["10.0.0.11:8080", "10.0.0.11:8080", "10.0.0.12:8080"]
    assert worker.backends(listener.id) == ends
    balancing.update_member(first, pool, weight=0)
    assert worker.backends(listener.id) == ends[2:]
    assert balancing.get_member(first, pool).operating_status == "DRAINING"


def test_all_of_it_is_made_in_one_request(demo: Connection, subnet: Any, worker: Worker) -> None:
    pool = {
        "name": "web",
        "protocol": "TCP",
        "lb_algorithm": "ROUND_ROBIN",
        "members": [{"address": "10.0.0.11", "protocol_port": 8080, "tags": ["blue"]}],
    }
    made = demo.load_balancer.create_load_balancer(
        name="shop",
        vip_subnet_id=subnet.id,
        listeners=[
            {"name": "a", "protocol": "TCP", "protocol_port": 80, "default_pool": pool},
            {"name": "b", "protocol": "TCP", "protocol_port": 81, "default_pool": {"name": "x"}},
        ],
        pools=[pool | {"name": "x", "members": []}],
    )
    first, second = made.listeners
    assert worker.backends(first["id"]) == ["10.0.0.11:8080"]
    assert worker.backends(second["id"]) == []
    with pytest.raises(exceptions.ConflictException, match="has children"):
        demo.load_balancer.delete_load_balancer(made.id)
    demo.load_balancer.delete_load_balancer(made.id, cascade=True)
    with pytest.raises(exceptions.NotFoundException):
        demo.load_balancer.get_load_balancer(made.id)
    worker.round()
    assert made.id not in {one.id for one in worker.northbound.topology.balancers}
    assert not list(demo.network.ports(id=made.vip_port_id))


def test_the_virtual_address_is_the_one_asked_for_and_nobody_elses(
    demo: Connection, subnet: Any, raw: Raw
) -> None:
    made = demo.load_balancer.create_load_balancer(
        vip_network_id=subnet.network_id, vip_address="10.0.0.50"
    )
    assert (made.vip_address, made.vip_subnet_id) == ("10.0.0.50", subnet.id)
    port = demo.network.get_port(made.vip_port_id)
    assert (port.device_owner, port.device_id) == ("Octavia", f"lb-{made.id}")
    with pytest.raises(exceptions.ConflictException):
        demo.network.delete_port(port)
    with pytest.raises(exceptions.ConflictException):
        demo.network.update_port(port, device_id="mine", device_owner="")
    with pytest.raises(exceptions.ConflictException, match="virtual address"):
        demo.network.update_port(port.id, fixed_ips=[{"subnet_id": subnet.id}])
    with pytest.raises(exceptions.ConflictException):
        demo.network.delete_network(subnet.network_id)
    taken = {"loadbalancer": {"vip_subnet_id": subnet.id, "vip_address": "10.0.0.50"}}
    assert raw.fault("POST", "lbaas/loadbalancers", taken)[0] == 409
    assert raw.fault("POST", "lbaas/loadbalancers", {"loadbalancer": {}}) == (
        400,
        "Validation failure: VIP must contain one of: vip_port_id, vip_network_id, vip_subnet_id.",
    )


def test_a_server_cannot_take_the_virtual_addresss_port(
    demo: Connection, admin: Connection, balancer: Any
) -> None:
    flavor = admin.compute.create_flavor(name=f"f-{balancer.id}", ram=64, vcpus=1, disk=0)
    image = demo.image.create_image(name="empty", container_format="bare", disk_format="raw")
    demo.image.upload_image(container_format="bare", disk_format="raw", name="i", data=b"x")
    with pytest.raises(exceptions.HttpException):
        demo.compute.create_server(
            name="thief",
            image_id=image.id,
            flavor_id=flavor.id,
            networks=[{"port": balancer.vip_port_id}],
        )
    assert demo.network.get_port(balancer.vip_port_id).device_id == f"lb-{balancer.id}"


def test_a_port_of_the_users_own_stays_when_the_balancer_goes(
    demo: Connection, subnet: Any, raw: Raw
) -> None:
    port = demo.network.create_port(network_id=subnet.network_id, name="mine")
    made = demo.load_balancer.create_load_balancer(vip_port_id=port.id)
    assert made.vip_address == port.fixed_ips[0]["ip_address"]
    again = {"loadbalancer": {"vip_port_id": port.id}}
    assert "already used by another device" in raw.fault("POST", "lbaas/loadbalancers", again)[1]
    demo.load_balancer.delete_load_balancer(made.id)
    assert demo.network.get_port(port.id).device_owner == ""


def test_a_floating_ip_leads_to_it(
    demo: Connection, public: Any, balancer: Any, subnet: Any, worker: Worker
) -> None:
    router = demo.network.create_router(external_gateway_info={"network_id": public.id})
    demo.network.update_subnet(subnet, gateway_ip="10.0.0.1")
    demo.network.add_interface_to_router(router, subnet=subnet.id)
    floating = demo.network.create_ip(floating_network_id=public.id, port_id=balancer.vip_port_id)
    assert floating.fixed_ip_address == balancer.vip_address
    demo.load_balancer.create_listener(
        load_balancer_id=balancer.id, protocol="TCP", protocol_port=80
    )
    worker.round()
    kinds = [str(key.kind) for key in worker.northbound.records if floating.id in key.id]
    assert sorted(kinds) == ["floating_ip", "floating_listener"]


def test_on_an_external_network_it_is_refused_in_words(raw_admin: Raw, public: Any) -> None:
    wanted = {"loadbalancer": {"vip_network_id": public.id}}
    status, message = raw_admin.fault("POST", "lbaas/loadbalancers", wanted)
    assert status == 501
    assert "floating IP" in message


def test_anothers_is_forbidden_and_not_listed(
    demo: Connection, other: Connection, balancer: Any
) -> None:
    with pytest.raises(exceptions.ForbiddenException):
        other.load_balancer.get_load_balancer(balancer.id)
    with pytest.raises(exceptions.ForbiddenException):
        other.load_balancer.delete_load_balancer(balancer.id)
    assert not list(other.load_balancer.load_balancers())
    assert [one.id for one in demo.load_balancer.load_balancers()] == [balancer.id]


def test_states_statistics_and_failover(
    demo: Connection, balancer: Any, raw: Raw, raw_admin: Raw, worker: Worker
) -> None:
    listener = demo.load_balancer.create_listener(
        load_balancer_id=balancer.id, name="web", protocol="TCP", protocol_port=80
    )
    pool = demo.load_balancer.create_pool(
        listener_id=listener.id, name="servers", protocol="TCP", lb_algorithm="SOURCE_IP"
    )
    demo.load_balancer.create_member(pool, address="10.0.0.11", protocol_port=1, name="first")
    worker.round()
    for word in ("status", "statuses"):
        shown = raw("GET", f"lbaas/loadbalancers/{balancer.id}/{word}").json()
        tree = shown["statuses"]["loadbalancer"]
        (web,) = tree["listeners"]
        (servers,) = web["pools"]
        (first,) = servers["members"]
        states = [one["operating_status"] for one in (tree, web, servers, first)]
        assert states == ["ONLINE", "ONLINE", "ONLINE", "NO_MONITOR"]
        assert {one["provisioning_status"] for one in (tree, web, servers, first)} == {"ACTIVE"}
    assert demo.load_balancer.get_load_balancer_statistics(balancer.id).total_connections == 0
    assert demo.load_balancer.get_listener_statistics(listener.id).bytes_in == 0
    answer = raw_admin("PUT", f"lbaas/loadbalancers/{balancer.id}/failover")
    assert answer.status_code == 202
    assert "nothing to fail over" in answer.headers["Warning"]


def test_one_is_active_when_every_host_has_it(
    demo: Connection, subnet: Any, worker: Worker
) -> None:
    worker.northbound.behind = 1
    made = demo.load_balancer.create_load_balancer(vip_subnet_id=subnet.id)

    def status() -> str:
        worker.round()
        return str(demo.load_balancer.get_load_balancer(made.id).provisioning_status)

    assert status() == "PENDING_CREATE"
    worker.northbound.behind = 0
    assert status() == "ACTIVE"


def test_lists_are_filtered_sorted_and_paged(demo: Connection, subnet: Any, raw: Raw) -> None:
    for name, tags in (("a", ["red"]), ("b", ["red", "big"]), ("c", [])):
        demo.load_balancer.create_load_balancer(name=name, vip_subnet_id=subnet.id, tags=tags)

    def names(query: str) -> list[str]:
        found = raw("GET", f"lbaas/loadbalancers?{query}").json()["loadbalancers"]
        return [one["name"] for one in found]

    assert names("sort=name:desc") == ["c", "b", "a"]
    assert names("sort_key=name&sort_dir=desc&limit=1") == ["c"]
    assert names("tags=red,big") == ["b"]
    assert names("not-tags-any=red") == ["c"]
    assert names("name=a&name=c&sort=name") == ["a", "c"]
    assert names("provisioning_status=ACTIVE") == []
    assert names("unknown=1&admin_state_up=false") == []
    page = raw("GET", "lbaas/loadbalancers?sort=name&limit=2&fields=name,id").json()
    assert [set(one) for one in page["loadbalancers"]] == [{"name", "id"}] * 2
    (link,) = page["loadbalancers_links"]
    assert link["rel"] == "next"
    assert raw.fault("GET", "lbaas/loadbalancers?sort=colour")[0] == 400
    assert raw.fault("GET", "lbaas/loadbalancers?sort=name:up")[0] == 400


def test_what_is_not_offered_is_refused_in_words(subnet: Any, raw: Raw) -> None:
    for said, status in (
        ({"additional_vips": [{"subnet_id": subnet.id}]}, 501),
        ({"vip_qos_policy_id": subnet.id}, 501),
        ({"provider": "amphora"}, 400),
        ({"flavor_id": subnet.id}, 400),
        ({"availability_zone": "far"}, 400),
        ({"vip_address": "nowhere"}, 400),
        ({"colour": "red"}, 400),
        ({"vip_network_id": raw.token[:36]}, 400),
    ):
        wanted = {"loadbalancer": {"vip_subnet_id": subnet.id} | said}
        assert raw.fault("POST", "lbaas/loadbalancers", wanted)[0] == status, said
    assert raw("GET", "lbaas/loadbalancers").json() == {"loadbalancers": []}


def test_a_change_of_null_is_the_default(demo: Connection, balancer: Any, raw: Raw) -> None:
    path = f"lbaas/loadbalancers/{balancer.id}"
    said = {"description": "x", "admin_state_up": False, "tags": ["a"]}
    shown = raw("PUT", path, {"loadbalancer": said}).json()["loadbalancer"]
    assert (shown["operating_status"], shown["tags"]) == ("OFFLINE", ["a"])
    nothing = {"description": None, "admin_state_up": None, "tags": None}
    shown = raw("PUT", path, {"loadbalancer": nothing}).json()["loadbalancer"]
    assert (shown["description"], shown["admin_state_up"], shown["tags"]) == ("", True, [])
