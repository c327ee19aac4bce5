"""A name that hosts may have, from one that people gave."""

from __future__ import annotations

import pytest

from kumoi.cloud.domain.compute.server_create import hostname


@pytest.mark.parametrize(
    ("name", "host_name"),
    [
        ("web", "web"),
        ("Web Server_1", "web-server-1"),
        ("db.example.org", "db-example-org"),
        ("-edge-", "edge"),
        ("雲居", "server-key"),
        ("a" * 80, "a" * 63),
        ("a" * 62 + " b", "a" * 62),
    ],
)
def test_hostname(name: str, host_name: str) -> None:
    assert hostname(name, "key") == host_name
