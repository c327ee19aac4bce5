from __future__ import annotations

from kumoi.cloud.drivers.network.ovs.plan import Plugged, plan_delete, plan_ensure


def printed(actions: object) -> list[str]:
    assert isinstance(actions, list)
    return [str(action) for action in actions]


def test_what_is_plugged_already_stays_and_the_rest_is_plugged() -> None:
    plugged = [Plugged("k1", "port-1", ours=True)]
    assert printed(plan_ensure({"k2": "port-2", "k1": "port-1"}, plugged)) == ["plug k2 as port-2"]
    assert plan_ensure({"k1": "port-1"}, plugged) == []


def test_a_link_plugged_as_another_port_or_unmarked_is_marked() -> None:
    plugged = [Plugged("k1", "old", ours=True), Plugged("k2", "port-2", ours=False)]
    assert printed(plan_ensure({"k1": "port-1", "k2": "port-2"}, plugged)) == [
        "mark k1 as port-1",
        "mark k2 as port-2",
    ]


def test_only_our_links_are_unplugged() -> None:
    plugged = [Plugged("k1", "port-1", ours=True), Plugged("patch", None, ours=False)]
    assert printed(plan_delete({"k1", "patch", "gone"}, plugged)) == ["unplug k1"]
