"""What makes no sense is refused: the status of the real service, the field by its name."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from tests.stories.compute.conftest import Workbench

NOWHERE = "11111111-2222-4333-8444-555555555555"


def ask(
    bench: Workbench, http: httpx.Client, body: Any, *, path: str = "servers", version: str = "2.96"
) -> httpx.Response:
    headers = {
        "X-Auth-Token": bench.connection.auth_token,
        "OpenStack-API-Version": f"compute {version}",
    }
    if isinstance(body, bytes):
        return http.post(f"/compute/v2.1/{path}", content=body, headers=headers)
    return http.post(f"/compute/v2.1/{path}", json=body, headers=headers)


@pytest.mark.parametrize(
    ("change", "names"),
    [
        ({"name": None}, "name"),
        ({"name": ""}, "name"),
        ({"name": " blank"}, "name"),
        ({"name": "x" * 256}, "name"),
        ({"flavorRef": NOWHERE}, NOWHERE),
        ({"flavorRef": None}, "flavorRef"),
        ({"imageRef": "debian"}, "imageRef"),
        ({"imageRef": NOWHERE}, "image"),
        ({"imageRef": ""}, "imageRef"),
        ({"networks": [{"uuid": NOWHERE}]}, NOWHERE),
        ({"networks": [{"uuid": "a-b-c"}]}, "a-b-c"),
        ({"networks": [{"port": NOWHERE}]}, NOWHERE),
        ({"networks": [{"colour": "red"}]}, "colour"),
        ({"networks": "some"}, "networks"),
        ({"key_name": "nobody"}, "key_name"),
        ({"security_groups": [{"name": "nobody"}]}, "nobody"),
        ({"user_data": "%%%"}, "user_data"),
        ({"metadata": {"a": 1}}, "metadata"),
        ({"metadata": {"a": "x" * 256}}, "metadata"),
        ({"accessIPv4": "1.2.3"}, "accessIPv4"),
        ({"min_count": 0}, "min_count"),
        ({"min_count": 3, "max_count": 2}, "min_count"),
        ({"availability_zone": "mars"}, "availability zone"),
        ({"tags": ["a,b"]}, "tags"),
        ({"hostname": "-"}, "hostname"),
        ({"colour": "red"}, "colour"),
        (
            {"block_device_mapping_v2": [{"source_type": "volume", "uuid": NOWHERE}]},
            "Block Device Mapping",
        ),
    ],
)
def test_a_server_that_makes_no_sense_is_refused_and_changes_nothing(
    bench: Workbench, http: httpx.Client, change: dict[str, Any], names: str
) -> None:
    body = {
        "name": "web",
        "flavorRef": bench.flavor_id,
        "imageRef": bench.image_id,
        "networks": [{"uuid": bench.network_id}],
    }
    answer = ask(bench, http, {"server": body | change})
    assert answer.status_code == 400, answer.text
    assert names in answer.json()["badRequest"]["message"]
    assert list(bench.connection.compute.servers()) == []


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'{"server": {}}', b'{"wrong": 1}'])
def test_what_is_no_request_is_refused(bench: Workbench, http: httpx.Client, body: bytes) -> None:
    assert ask(bench, http, body).status_code == 400


def test_a_body_that_is_too_large_is_refused(bench: Workbench, http: httpx.Client) -> None:
    assert ask(bench, http, b" " * (2 << 20)).status_code == 413


def test_fields_belong_to_versions(bench: Workbench, http: httpx.Client) -> None:
    body = {
        "name": "web",
        "flavorRef": bench.flavor_id,
        "imageRef": bench.image_id,
        "networks": [{"uuid": bench.network_id}],
    }
    early = ask(bench, http, {"server": body | {"tags": ["a"]}}, version="2.51")
    assert early.status_code == 400
    assert "'tags' was unexpected" in early.text
    late = ask(bench, http, {"server": body | {"tags": ["a"]}}, version="2.52")
    assert late.status_code == 202
    without = {key: value for key, value in body.items() if key != "networks"}
    assert ask(bench, http, {"server": without}, version="2.37").status_code == 400
    assert ask(bench, http, {"server": without}, version="2.36").status_code == 202


@pytest.mark.parametrize(
    ("version", "status"), [("2.97", 406), ("2.0", 406), ("two", 400), ("latest", 200)]
)
def test_versions_outside_the_range_are_not_acceptable(
    bench: Workbench, http: httpx.Client, version: str, status: int
) -> None:
    headers = {
        "X-Auth-Token": bench.connection.auth_token,
        "OpenStack-API-Version": f"compute {version}",
    }
    assert http.get("/compute/v2.1/servers", headers=headers).status_code == status


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({}, 400),
        ({"os-start": None, "os-stop": None}, 400),
        ({"dance": None}, 400),
        ({"reboot": {"type": "MAYBE"}}, 400),
        ({"reboot": {"type": "SOFT", "now": True}}, 400),
        ({"rebuild": {"imageRef": NOWHERE}}, 400),
        ({"changePassword": {"adminPass": "secret"}}, 501),
        ({"resize": {"flavorRef": None}}, 400),
        ({"resize": {"flavorRef": "nowhere"}}, 400),
    ],
)
def test_an_action_that_makes_no_sense_is_refused(
    bench: Workbench, http: httpx.Client, body: dict[str, Any], status: int
) -> None:
    made = bench.active()
    answer = ask(bench, http, body, path=f"servers/{made.id}/action")
    assert answer.status_code == status, answer.text
    assert bench.show(made).status == "ACTIVE"


@pytest.mark.parametrize(
    "body", [b'{"reboot": {"type": "\xff"}}', b'{"reboot": {"type": "\\ud800"}}']
)
def test_text_that_is_no_text_is_refused(bench: Workbench, http: httpx.Client, body: bytes) -> None:
    made = bench.active()
    assert ask(bench, http, body, path=f"servers/{made.id}/action").status_code == 400
    assert ask(bench, http, b'{"server": {"name": "\xff"}}').status_code == 400
