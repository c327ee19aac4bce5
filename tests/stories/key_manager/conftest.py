"""What the stories of the key manager have in common."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from openstack.connection import Connection


@dataclass(frozen=True)
class RawKeys:
    """Requests as one tenant, without the SDK's help."""

    http: httpx.Client
    token: str

    def __call__(self, method: str, path: str, body: Any = None, **headers: str) -> httpx.Response:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        content = {"content": body} if isinstance(body, bytes) else {"json": body}
        return self.http.request(
            method,
            f"/key-manager/v1/{path}",
            headers={"X-Auth-Token": self.token} | named,
            **({} if body is None else content),
        )


@pytest.fixture
def raw(http: httpx.Client, demo: Connection) -> RawKeys:
    return RawKeys(http, demo.auth_token)


@pytest.fixture
def raw_other(http: httpx.Client, other: Connection) -> RawKeys:
    return RawKeys(http, other.auth_token)
