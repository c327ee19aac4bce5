"""`kumoi token`, on the keys of a cloud that is here."""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from kumoi import config
from kumoi.base.clock import Clock
from kumoi.base.errors import Conflict, NotFound
from kumoi.cli import token
from kumoi.cloud.domain.identity import signing_key
from kumoi.cloud.store.identity.signing_key import KeyDirectory
from kumoi.config import CloudSettings, HostSettings
from kumoi.members import token_keys_dir


@pytest.fixture
def host() -> Iterator[HostSettings]:
    """Of a cloud that `up` has begun, in a directory short enough for the sockets in it."""
    cloud = CloudSettings(name="kcli")
    with tempfile.TemporaryDirectory(prefix="kcli", dir="/tmp") as state:
        config.file_of(CloudSettings, Path(state)).write_text(config.render(cloud))
        yield config.first_host(cloud, state)


def call(host: HostSettings, action: str) -> int:
    parser = argparse.ArgumentParser()
    token.add_to(parser)
    words = [action, "--name", "kcli", "--state-dir", host.state_dir]
    return token.run(parser.parse_args(words))


def test_a_rotation_says_when_the_new_key_signs_and_the_old_one_goes(
    host: HostSettings, capsys: pytest.CaptureFixture[str]
) -> None:
    keys = KeyDirectory(token_keys_dir(host))
    made_at = Clock().now() - timedelta(days=90)
    keys.add_first(signing_key.new_key(made_at))
    (old,) = keys.load()
    assert call(host, "rotate") == 0
    (new,) = {key.id for key in keys.load()} - {old.id}
    first, second = capsys.readouterr().out.splitlines()
    assert first.startswith(f"key {new} is published and signs from ")
    assert second.startswith(f"key {old.id} is accepted until ")
    assert call(host, "list") == 0
    rows = capsys.readouterr().out.splitlines()
    assert any(old.id in row and "signs" in row for row in rows)
    assert any(new in row and "is accepted, and signs from" in row for row in rows)
    with pytest.raises(Conflict):
        call(host, "rotate")


def test_a_cloud_that_is_not_here_has_no_keys() -> None:
    with pytest.raises(NotFound):
        call(HostSettings(state_dir="/nowhere"), "list")
