"""What the stories of the network service have in common."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from openstack.connection import Connection


@dataclass(frozen=True)
class Raw:
    """Requests as one tenant, without the SDK's help."""

    http: httpx.Client
    token: str

    def __call__(self, method: str, path: str, body: Any = None) -> httpx.Response:
        return self.http.request(
            method, f"/network/v2.0/{path}", json=body, headers={"X-Auth-Token": self.token}
        )

    def fault(self, method: str, path: str, body: Any = None) -> tuple[int, str, str]:
        """Status, type word and message of a request that must fail."""
        answer = self(method, path, body)
        error = answer.json()["NeutronError"]
        return answer.status_code, error["type"], error["message"]


@pytest.fixture
def raw(http: httpx.Client, demo: Connection) -> Raw:
    return Raw(http, demo.auth_token)


@pytest.fixture
def raw_admin(http: httpx.Client, admin: Connection) -> Raw:
    return Raw(http, admin.auth_token)
