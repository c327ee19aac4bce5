"""What is not offered says so, and what to do instead."""

from __future__ import annotations

import pytest
from openstack.connection import Connection


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/OS-OAUTH1/consumers", "consumers"),
        ("/OS-FEDERATION/identity_providers", "identity_providers"),
        ("/OS-FEDERATION/mappings", "mappings"),
        ("/OS-FEDERATION/service_providers", "service_providers"),
        ("/OS-FEDERATION/projects", "projects"),
        ("/OS-FEDERATION/domains", "domains"),
    ],
)
def test_lists_are_empty(admin: Connection, path: str, name: str) -> None:
    assert admin.identity.get(path).json()[name] == []


@pytest.mark.parametrize(
    ("method", "path", "instead"),
    [
        ("POST", "/OS-OAUTH1/consumers", "application credential"),
        ("PUT", "/OS-FEDERATION/identity_providers/a", "password"),
        ("PUT", "/OS-FEDERATION/mappings/a", "password"),
        ("PUT", "/OS-FEDERATION/service_providers/a", "password"),
    ],
)
def test_nothing_can_be_made(admin: Connection, method: str, path: str, instead: str) -> None:
    answer = admin.identity.request(path, method, json={})
    assert answer.status_code == 501
    assert instead in answer.json()["error"]["message"]
