"""Placement: servers are consumers, and what they take is what the scheduler has claimed."""

from __future__ import annotations

from typing import Any

import pytest
from openstack.connection import Connection

from kumoi.base.ids import new_id
from tests.stories.placement.conftest import LATEST, Get


def test_what_servers_take_is_what_is_claimed(
    admin: Connection, demo: Connection, get: Get, provider_id: str, server: Any
) -> None:
    path, amounts = (
        f"/resource_providers/{provider_id}",
        {"VCPU": 2, "MEMORY_MB": 512, "DISK_GB": 5},
    )
    taken = get(f"{path}/allocations")["allocations"]
    assert taken[server.id]["resources"] == amounts
    assert get(f"{path}/usages")["usages"] == {
        name: sum(one["resources"][name] for one in taken.values()) for name in amounts
    }
    claimed = get(f"/allocations/{server.id}")
    assert claimed["allocations"][provider_id]["resources"] == amounts
    assert (claimed["project_id"], claimed["consumer_type"]) == (
        demo.current_project_id,
        "INSTANCE",
    )
    assert "project_id" not in get(f"/allocations/{server.id}", "1.11")
    assert get(f"/allocations/{new_id()}") == {"allocations": {}}
    mine = f"/usages?project_id={demo.current_project_id}"
    assert get(mine, "1.37") == {"usages": amounts}
    assert get(mine)["usages"] == {"INSTANCE": {"consumer_count": 1, **amounts}}
    assert get(f"{mine}&user_id=nobody", "1.37") == {"usages": {}}
    own = demo.placement.get(mine, microversion="1.37")
    assert own.json() == {"usages": amounts}
    others = f"/usages?project_id={admin.current_project_id}"
    assert demo.placement.get(others, microversion="1.37").status_code == 403


@pytest.mark.parametrize(
    ("path", "version"),
    [
        ("/usages", LATEST),
        ("/usages?project_id=a&colour=red", LATEST),
    ],
)
def test_what_makes_no_sense_is_refused(get: Get, path: str, version: str) -> None:
    get(path, version, status=400)
