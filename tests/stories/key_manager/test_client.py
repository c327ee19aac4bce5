"""The command line that people have, unmodified: `openstack secret …`."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from openstack.connection import Connection

from kumoi.base import process
from tests import certificates

OPENSTACK = Path(sys.executable).parent / "openstack"
COMMAND_TIMEOUT_S = 60
Command = Callable[..., Any]
KEY, CERTIFICATE = certificates.signed()


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
        """What `openstack secret` prints of it; None where it prints nothing."""
        form = () if words.endswith("delete") else ("-f", "json")
        args = [OPENSTACK, "secret", *words.split(), *form, *more]
        done = process.run(args, env=auth, timeout_s=COMMAND_TIMEOUT_S)
        return json.loads(done.out) if done.out.strip() else None

    return run


def test_a_text_is_stored_got_listed_and_deleted(command: Command) -> None:
    made = command("store", "--name", "word", "--payload", "hunter2")["Secret href"]
    assert command("get", made)["Name"] == "word"
    assert command("get", "--payload", made) == {"Payload": "hunter2"}
    assert [one["Secret href"] for one in command("list", "--name", "word")] == [made]
    command("delete", made)
    assert command("list", "--name", "word") == []


def test_a_certificate_is_its_files_in_a_container(command: Command, tmp_path: Path) -> None:
    files = {
        "certificate": certificates.certificate_pem(CERTIFICATE),
        "private_key": certificates.key_pem(KEY),
    }
    said = []
    for name, content in files.items():
        path = tmp_path / name
        path.write_bytes(content)
        kind = name.removesuffix("_key")
        made = command("store", "--name", name, "--secret-type", kind, "--file", str(path))
        said += ["--secret", f"{name}={made['Secret href']}"]
    container = command("container create", "--name", "site", "--type", "certificate", *said)
    assert container["Certificate"] == said[1].partition("=")[2]
    (listed,) = command("container list", "--name", "site")
    assert (listed["Container href"], listed["Type"]) == (
        container["Container href"],
        "certificate",
    )
    kept = tmp_path / "got"
    command("get", "--file", str(kept), container["Private Key"])
    assert kept.read_bytes() == files["private_key"]
    command("container delete", container["Container href"])
    assert command("container list", "--name", "site") == []
