"""Tags, on every noun that can have some."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from openstack import exceptions
from openstack.connection import Connection

from tests.stories.network.conftest import Raw


def in_network(owner: Connection, make: Callable[..., Any], **values: Any) -> Any:
    return make(network_id=owner.network.create_network(name="tagged").id, **values)


MAKE: dict[str, Callable[[Connection, Any], Any]] = {
    "network": lambda owner, _: owner.network.create_network(name="tagged"),
    "subnet": lambda owner, _: in_network(
        owner, owner.network.create_subnet, ip_version=4, cidr="10.0.0.0/24"
    ),
    "subnet pool": lambda owner, _: owner.network.create_subnet_pool(
        name="tagged", prefixes=["10.0.0.0/16"]
    ),
    "port": lambda owner, _: in_network(owner, owner.network.create_port),
    "router": lambda owner, _: owner.network.create_router(name="tagged"),
    "floating IP": lambda owner, public: owner.network.create_ip(floating_network_id=public.id),
    "security group": lambda owner, _: owner.network.create_security_group(name="tagged"),
}
EACH_NOUN = pytest.mark.parametrize("noun", MAKE)


@EACH_NOUN
def test_every_noun_is_tagged_in_every_way(tenant: Connection, public: Any, noun: str) -> None:
    made = MAKE[noun](tenant, public)

    def words() -> list[str]:
        found: list[str] = tenant.network.get_tags(made)
        return found

    tenant.network.set_tags(made, ["red", "blue"])
    tenant.network.add_tags(made, ["green", "blue"])
    assert words() == ["blue", "green", "red"]
    tenant.network.add_tag(made, "white")
    tenant.network.remove_tag(made, "red")
    assert words() == ["blue", "green", "white"]
    assert tenant.network.check_tag(made, "white")
    with pytest.raises(exceptions.NotFoundException):
        tenant.network.check_tag(made, "red")
    shown = tenant.network.get(f"{made.base_path}/{made.id}").json()[made.resource_key]
    assert shown["tags"] == ["blue", "green", "white"]
    tenant.network.remove_all_tags(made)
    assert words() == []


@EACH_NOUN
def test_the_tags_of_another_tenants_things_cannot_be_seen_or_changed(
    tenant: Connection, neighbour: Connection, public: Any, noun: str
) -> None:
    made = MAKE[noun](tenant, public)
    tenant.network.set_tags(made, ["mine"])
    path = f"{made.base_path}/{made.id}/tags"
    attempts = {
        "GET": (path, f"{path}/mine"),
        "PUT": (path, f"{path}/theirs"),
        "POST": (path,),
        "DELETE": (path, f"{path}/mine"),
    }
    for method, places in attempts.items():
        for place in places:
            body = {"tags": ["theirs"]} if place == path and method in ("PUT", "POST") else None
            answer = neighbour.network.request(place, method, json=body)
            assert answer.status_code == 404, (method, place)
    assert tenant.network.get_tags(made) == ["mine"]


def test_several_tags_added_at_once_join_those_there(demo: Connection, raw: Raw) -> None:
    network = demo.network.create_network(name="tagged")
    demo.network.set_tags(network, ["red"])
    added = raw("POST", f"networks/{network.id}/tags", {"tags": ["blue"]})
    assert (added.status_code, added.json()) == (201, {"tags": ["blue", "red"]})
    assert raw.fault("POST", f"networks/{network.id}/tags", {"tags": "blue"})[0] == 400


def test_tags_are_added_replaced_and_taken_away(demo: Connection, raw: Raw) -> None:
    network = demo.network.create_network(name="tagged")
    path = f"networks/{network.id}/tags"
    assert raw("PUT", path, {"tags": ["red", "blue"]}).json() == {"tags": ["blue", "red"]}
    assert raw("PUT", f"{path}/green").status_code == 201
    assert raw("GET", f"{path}/green").status_code == 204
    assert raw("DELETE", f"{path}/red").status_code == 204
    assert raw.fault("DELETE", f"{path}/red")[:2] == (404, "TagNotFound")
    assert demo.network.get_network(network.id).tags == ["blue", "green"]
    assert raw("DELETE", path).status_code == 204
    assert demo.network.get_network(network.id).tags == []


def test_things_are_found_by_their_tags(demo: Connection) -> None:
    for name, tags in (("a", ["x"]), ("b", ["x", "y"]), ("c", ["z"]), ("d", [])):
        demo.network.set_tags(demo.network.create_network(name=name), tags)

    def found(**filters: str) -> list[str]:
        mine = demo.network.networks(project_id=demo.current_project_id, **filters)
        return sorted(network.name for network in mine)

    assert found(tags="x,y") == ["b"]
    assert found(any_tags="y,z") == ["b", "c"]
    assert found(not_tags="x,y") == ["a", "c", "d"]
    assert found(not_any_tags="x,z") == ["d"]


@pytest.mark.parametrize("body", [{"tags": ["x" * 61]}, {"tags": "x"}, {"tags": ["a", "a"]}, {}])
def test_tags_are_a_list_of_short_words(demo: Connection, raw: Raw, body: Any) -> None:
    network = demo.network.create_network(name="tagged")
    assert raw.fault("PUT", f"networks/{network.id}/tags", body)[0] == 400


def test_things_are_made_with_tags(demo: Connection, raw: Raw) -> None:
    network = demo.network.create_network(name="private")
    body = {"ports": [{"network_id": network.id, "tags": ["one"]}, {"network_id": network.id}]}
    made = raw("POST", "ports", body).json()["ports"]
    assert [port["tags"] for port in made] == [["one"], []]
