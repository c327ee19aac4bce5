"""The command line that people have, unmodified: `openstack loadbalancer …`."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from openstack.connection import Connection

from kumoi.base import process

OPENSTACK = Path(sys.executable).parent / "openstack"
COMMAND_TIMEOUT_S = 60
Command = Callable[..., Any]


@pytest.fixture
def command(demo: Connection) -> Command:
    auth = {
        "OS_AUTH_TYPE": "token",
        "OS_AUTH_URL": str(demo.config.auth["auth_url"]),
        "OS_TOKEN": demo.auth_token,
        "OS_PROJECT_ID": str(demo.current_project_id),
        "OS_IDENTITY_API_VERSION": "3",
        "PATH": "/usr/bin:/bin",
    }

    def run(words: str, *more: str) -> Any:
        """What `openstack loadbalancer` prints of it; None where it prints nothing."""
        form = () if words in ("delete", "status show") else ("-f", "json")
        args = [OPENSTACK, "loadbalancer", *words.split(), *form, *more]
        done = process.run(args, env=auth, timeout_s=COMMAND_TIMEOUT_S)
        return json.loads(done.out) if done.out.strip() else None

    return run


def test_a_balancer_of_http_is_made_and_deleted(command: Command, subnet: Any) -> None:
    command("create", "--name", "shop", "--vip-subnet-id", str(subnet.id))
    http = ("--protocol", "HTTP", "--protocol-port", "80")
    listener = command("listener create", "--name", "web", *http, "shop")
    assert listener["protocol"] == "HTTP"
    algorithm = ("--protocol", "HTTP", "--lb-algorithm", "LEAST_CONNECTIONS")
    command("pool create", "--name", "servers", "--listener", "web", *algorithm)
    end = ("--address", "10.0.0.11", "--protocol-port", "80", "--weight", "2")
    assert command("member create", *end, "servers")["weight"] == 2
    probe = ("--type", "HTTP", "--delay", "2", "--timeout", "1", "--max-retries", "1")
    assert command("healthmonitor create", *probe, "servers")["url_path"] == "/"
    away = ("--action", "REDIRECT_TO_URL", "--redirect-url", "https://a.example/")
    command("l7policy create", "--name", "away", *away, "web")
    rule = ("--type", "PATH", "--compare-type", "STARTS_WITH", "--value", "/old")
    command("l7rule create", *rule, "away")
    assert [one["value"] for one in command("l7rule list", "away")] == ["/old"]
    tree = command("status show", "shop")
    assert [one["name"] for one in tree["loadbalancer"]["listeners"]] == ["web"]
    command("delete", "--cascade", "shop")
    assert command("list") == []
