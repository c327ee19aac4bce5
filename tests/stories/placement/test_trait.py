"""Placement: the words in which hosts are described."""

from __future__ import annotations

import pytest

from tests.stories.placement.conftest import LATEST, Get


def test_traits_and_resource_classes_are_listed_and_shown(get: Get, provider_id: str) -> None:
    assert provider_id
    assert get("/traits?associated=true&name=startswith:COMPUTE_NO")["traits"] == ["COMPUTE_NODE"]
    assert get("/traits?name=in:COMPUTE_NODE,NOT")["traits"] == ["COMPUTE_NODE"]
    get("/traits?name=COMPUTE_NODE", status=400)
    get("/traits/COMPUTE_NODE", status=204)
    get("/traits/CUSTOM_MAGIC", status=404)
    assert [one["name"] for one in get("/resource_classes")["resource_classes"]] == [
        "VCPU",
        "MEMORY_MB",
        "DISK_GB",
    ]
    assert get("/resource_classes/VCPU")["name"] == "VCPU"
    get("/resource_classes/CUSTOM_MAGIC", status=404)


@pytest.mark.parametrize(
    ("path", "version"),
    [
        ("/traits?associated=maybe", LATEST),
    ],
)
def test_what_makes_no_sense_is_refused(get: Get, path: str, version: str) -> None:
    get(path, version, status=400)
