"""Tags, on every noun that can have some."""

from __future__ import annotations

from typing import Any

import pytest
from openstack.connection import Connection

from tests.stories.network.conftest import Raw


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


def test_a_tag_of_another_tenants_thing_cannot_be_seen(
    demo: Connection, other: Connection, raw: Raw
) -> None:
    network = demo.network.create_network(name="tagged")
    theirs = Raw(raw.http, other.auth_token)
    assert theirs.fault("GET", f"networks/{network.id}/tags")[0] == 404
    assert theirs.fault("PUT", f"networks/{network.id}/tags/mine")[0] == 404


@pytest.mark.parametrize("body", [{"tags": ["x" * 61]}, {"tags": "x"}, {"tags": ["a", "a"]}, {}])
def test_tags_are_a_list_of_short_words(demo: Connection, raw: Raw, body: Any) -> None:
    network = demo.network.create_network(name="tagged")
    assert raw.fault("PUT", f"networks/{network.id}/tags", body)[0] == 400


def test_things_are_made_with_tags(demo: Connection, raw: Raw) -> None:
    network = demo.network.create_network(name="private")
    body = {"ports": [{"network_id": network.id, "tags": ["one"]}, {"network_id": network.id}]}
    made = raw("POST", "ports", body).json()["ports"]
    assert [port["tags"] for port in made] == [["one"], []]
