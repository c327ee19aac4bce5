"""The commands' own client of the APIs."""

from __future__ import annotations

import socket

import pytest
from keystoneauth1.exceptions import ClientException

from kumoi.hosts.first_use import first_run


def test_an_api_that_takes_a_connection_and_says_nothing_is_given_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(first_run, "SILENT_S", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        entry = {
            "auth": {
                "auth_url": f"http://127.0.0.1:{silent.getsockname()[1]}/identity",
                "username": "admin",
                "password": "x",
                "project_name": "admin",
                "user_domain_id": "default",
                "project_domain_id": "default",
            },
            "region_name": "RegionOne",
            "identity_api_version": "3",
            "cacert": None,
        }
        with pytest.raises(ClientException):
            list(first_run.connect(entry).compute.servers())
