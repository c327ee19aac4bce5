"""Placement: candidates have room and what is required."""

from __future__ import annotations

from typing import Any

import pytest

from kumoi.base.ids import new_id
from tests.stories.placement.conftest import LATEST, Get


def test_candidates_have_room_and_what_is_required(
    get: Get, provider_id: str, server: Any, group_id: str
) -> None:
    def found(query: str, version: str = LATEST) -> list[str]:
        body = get(f"/allocation_candidates?{query}", version)
        assert len(body["allocation_requests"]) == len(body["provider_summaries"])
        return [*body["provider_summaries"]]

    assert get(f"/resource_providers/{provider_id}/aggregates")["aggregates"] == [group_id]
    for query, fits in (
        ("resources=VCPU:14", True),
        ("resources=VCPU:15", False),  # Two of sixteen are taken.
        ("resources=VCPU:1,MEMORY_MB:8192", False),
        ("resources=VCPU:1&required=COMPUTE_NODE", True),
        ("resources=VCPU:1&required=!COMPUTE_NODE", False),
        ("resources=VCPU:1&required=COMPUTE_STATUS_DISABLED", False),
        ("resources=VCPU:1&required=in:COMPUTE_NODE,COMPUTE_STATUS_DISABLED", True),
        ("resources=VCPU:1&root_required=!COMPUTE_STATUS_DISABLED", True),
        (f"resources=VCPU:1&member_of={group_id}", True),
        (f"resources=VCPU:1&member_of=in:{new_id()},{group_id}", True),
        (f"resources=VCPU:1&member_of=!{group_id}", False),
        (f"resources=VCPU:1&in_tree={provider_id}", True),
        (f"resources=VCPU:1&in_tree={new_id()}", False),
        ("resources1=VCPU:10&resources2=VCPU:4&group_policy=none", True),
        ("resources1=VCPU:10&resources2=VCPU:5&group_policy=none", False),
        ("resources1=VCPU:1&resources2=VCPU:1&group_policy=isolate", False),
        ("resources_A=VCPU:1", True),
    ):
        assert found(query) == ([provider_id] if fits else []), query
    wide = get("/allocation_candidates?resources=VCPU:1&limit=1")
    assert wide["allocation_requests"] == [
        {"allocations": {provider_id: {"resources": {"VCPU": 1}}}, "mappings": {"": [provider_id]}}
    ]
    summary = wide["provider_summaries"][provider_id]
    assert summary["resources"]["VCPU"] == {"capacity": 16, "used": 2}
    assert "MEMORY_MB" in summary["resources"]
    old = get("/allocation_candidates?resources=VCPU:1", "1.10")
    (one,) = old["allocation_requests"][0]["allocations"]
    assert one == {"resource_provider": {"uuid": provider_id}, "resources": {"VCPU": 1}}
    assert [*old["provider_summaries"][provider_id]["resources"]] == ["VCPU"]
    filtered = get(f"/resource_providers?resources=VCPU:14&member_of={group_id}&name=host1")
    assert [row["uuid"] for row in filtered["resource_providers"]] == [provider_id]
    assert get("/resource_providers?required=!COMPUTE_NODE")["resource_providers"] == []


@pytest.mark.parametrize(
    ("path", "version"),
    [
        ("/allocation_candidates", LATEST),
        ("/allocation_candidates?resources=VCPU", LATEST),
        ("/allocation_candidates?resources=VCPU:0", LATEST),
        ("/allocation_candidates?resources=MAGIC:1", LATEST),
        ("/allocation_candidates?resources=VCPU:1&required=CUSTOM_MAGIC", LATEST),
        ("/allocation_candidates?resources=VCPU:1&required=", LATEST),
        ("/allocation_candidates?resources=VCPU:1&required=!COMPUTE_NODE", "1.21"),
        ("/allocation_candidates?resources=VCPU:1&required=in:COMPUTE_NODE", "1.38"),
        ("/allocation_candidates?resources=VCPU:1&member_of=rack", LATEST),
        ("/allocation_candidates?resources=VCPU:1&in_tree=rack", LATEST),
        ("/allocation_candidates?resources=VCPU:1&limit=0", LATEST),
        ("/allocation_candidates?resources=VCPU:1&limit=1", "1.15"),
        ("/allocation_candidates?resources1=VCPU:1&resources2=VCPU:1", LATEST),
        ("/allocation_candidates?resources_A=VCPU:1", "1.32"),
        ("/allocation_candidates?resources=VCPU:1&colour=red", LATEST),
    ],
)
def test_what_makes_no_sense_is_refused(get: Get, path: str, version: str) -> None:
    get(path, version, status=400)
