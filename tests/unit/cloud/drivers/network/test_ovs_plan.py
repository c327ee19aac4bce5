from __future__ import annotations

from collections.abc import Iterable

from kumoi.cloud.drivers.network.ovs.plan import (
    Action,
    MarkLink,
    PluggedPort,
    PlugLink,
    is_stale,
    plan_delete,
    plan_ensure,
    plan_stale,
)


def printed(actions: Iterable[Action]) -> list[str]:
    return [str(action) for action in actions]


def test_what_is_plugged_already_stays_and_the_rest_is_plugged() -> None:
    plugged = [PluggedPort("k1", "port-1", ours=True, link_index=7)]
    wanted = {"k2": "port-2", "k1": "port-1"}
    assert plan_ensure(wanted, plugged, {"k1": 7, "k2": 8}) == [PlugLink("k2", "port-2", 8)]
    assert plan_ensure({"k1": "port-1"}, plugged, {"k1": 7}) == []
    assert plan_ensure({"k1": "port-1"}, plugged, {}) == []


def test_a_link_plugged_as_another_port_or_unmarked_is_marked() -> None:
    plugged = [PluggedPort("k1", "old", ours=True), PluggedPort("k2", "port-2", ours=False)]
    actions = plan_ensure({"k1": "port-1", "k2": "port-2", "k3": "port-3"}, plugged, {})
    assert printed(actions) == ["mark k1 as port-1", "mark k2 as port-2", "plug k3 as port-3"]


def test_an_index_that_was_not_known_is_noted() -> None:
    plugged = [PluggedPort("k1", "port-1", ours=True)]
    assert plan_ensure({"k1": "port-1"}, plugged, {"k1": 7}) == [MarkLink("k1", "port-1", 7)]


def test_a_port_whose_link_was_replaced_is_unplugged_first() -> None:
    plugged = [
        PluggedPort("gone", "port-1", ours=True, link_index=7),
        PluggedPort("replaced", "port-2", ours=True, link_index=7),
        PluggedPort("same", "port-3", ours=True, link_index=7),
        PluggedPort("unknown", "port-4", ours=True),
        PluggedPort("unwanted", "port-5", ours=True, link_index=7),
    ]
    indexes = {"replaced": 8, "same": 7, "unknown": 9, "unwanted": 10}
    assert [port.name for port in plugged if is_stale(port, indexes)] == ["replaced", "unwanted"]
    wanted = {port.name: str(port.port_id) for port in plugged[:-1]}
    assert printed(plan_stale(wanted, plugged, indexes)) == ["unplug replaced"]


def test_only_our_links_are_unplugged() -> None:
    plugged = [PluggedPort("k1", "port-1", ours=True), PluggedPort("patch", None, ours=False)]
    assert printed(plan_delete({"k1", "patch", "gone"}, plugged)) == ["unplug k1"]
