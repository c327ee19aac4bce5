"""Events that other services tell compute."""

from __future__ import annotations

from typing import Any

import pytest
from openstack.connection import Connection
from tests.stories.compute.conftest import Workbench

NOWHERE = "11111111-2222-4333-8444-555555555555"


def told(who: Connection, events: Any, version: str = "2.96") -> Any:
    body = {"events": events}
    return who.compute.post("/os-server-external-events", json=body, microversion=version)


def test_events_of_a_server_are_taken(bench: Workbench, admin: Connection) -> None:
    made = bench.active()
    event = {"name": "network-changed", "server_uuid": made.id, "tag": "any"}
    answer = told(admin, [event, event | {"status": "failed"}], "2.1")
    assert answer.status_code == 200
    taken = event | {"status": "completed", "code": 200}
    assert answer.json() == {"events": [taken, taken]}
    assert bench.show(made).status == "ACTIVE"


def test_an_event_that_finds_no_server_says_so(bench: Workbench, admin: Connection) -> None:
    made = bench.active()
    homeless = bench.server("homeless", flavor_id=huge(admin))
    known, unknown, untagged, nowhere = (
        {"name": "network-changed", "server_uuid": made.id},
        {"name": "network-changed", "server_uuid": NOWHERE},
        {"name": "volume-extended", "server_uuid": made.id},
        {"name": "network-changed", "server_uuid": homeless.id},
    )
    answer = told(admin, [known, unknown, untagged, nowhere])
    assert answer.status_code == 207
    codes = [(event["status"], event["code"]) for event in answer.json()["events"]]
    assert codes == [("completed", 200), ("failed", 404), ("failed", 400), ("failed", 422)]
    assert told(admin, [unknown]).status_code == 207


def huge(admin: Connection) -> str:
    """A flavor that no host has room for."""
    for flavor in admin.compute.flavors(name="huge"):
        return str(flavor.id)
    return str(admin.compute.create_flavor(name="huge", ram=512, vcpus=1, disk=10**6).id)


@pytest.mark.parametrize(
    ("events", "version"),
    [
        ([], "2.96"),
        ([{"name": "unicorn", "server_uuid": NOWHERE}], "2.96"),
        ([{"name": "network-changed", "server_uuid": "7"}], "2.96"),
        ([{"name": "network-changed"}], "2.96"),
        ([{"name": "network-changed", "server_uuid": NOWHERE, "status": "odd"}], "2.96"),
        ([{"name": "power-update", "server_uuid": NOWHERE, "tag": "x"}], "2.75"),
        ([{"name": "network-changed", "server_uuid": NOWHERE}] * 1_001, "2.96"),
    ],
)
def test_what_is_no_event_is_refused(admin: Connection, events: Any, version: str) -> None:
    assert told(admin, events, version).status_code == 400


def test_only_administrators_tell_of_events(tenant: Connection) -> None:
    assert told(tenant, [{"name": "network-changed", "server_uuid": NOWHERE}]).status_code == 403
