"""The secrets of a running cloud: who may read the files that they are in, and that no log has one."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from tests.system.live import LiveCloud

from kumoi.base.process import run

pytestmark = [pytest.mark.system, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]

FILE_MAX = 64 << 20
NOT_OURS = ("host", "images", "releases", "git")  # Tenants' content, and code.
SHORTEST = 12
PRIVATE_KEY = b"PRIVATE KEY-----"


def files(live: LiveCloud) -> Iterator[Path]:
    for folder, names, found in os.walk(live.here.state):
        if Path(folder) == live.here.state:
            names[:] = [name for name in names if name not in NOT_OURS]
        for name in found:
            path = Path(folder) / name
            if path.is_file() and not path.is_symlink() and path.stat().st_size <= FILE_MAX:
                yield path


def passwords(live: LiveCloud) -> set[bytes]:
    entries = live.clouds_yaml["clouds"].values()
    return {str(entry["auth"]["password"]).encode() for entry in entries}


def rows(live: LiveCloud, store: Path, *columns: str) -> set[bytes]:
    """What a store has in these columns, as "table.column"."""
    found: set[bytes] = set()
    engine = sa.create_engine(f"sqlite:///file:{store}?mode=ro&uri=true")
    with engine.connect() as connection:
        for column in columns:
            table, _, name = column.partition(".")
            for (value,) in connection.execute(sa.text(f'SELECT "{name}" FROM "{table}"')):
                text = value.encode() if isinstance(value, str) else value
                if text and len(text) >= SHORTEST:
                    found.add(bytes(text))
    engine.dispose()
    return found


def test_a_file_that_has_a_secret_is_its_owners_alone(live: LiveCloud) -> None:
    known = passwords(live)
    open_to_others: list[str] = []
    seen = 0
    for path in files(live):
        content = path.read_bytes()
        if PRIVATE_KEY in content or any(each in content for each in known):
            seen += 1
            if path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
                open_to_others.append(f"{oct(path.stat().st_mode & 0o7777)} {path}")
    assert seen
    assert open_to_others == []
    own = live.config_home / ".config/openstack/clouds.yaml"
    assert stat.S_IMODE(own.stat().st_mode) == stat.S_IRUSR | stat.S_IWUSR


def test_a_store_and_what_seals_its_secrets_are_nobody_elses(live: LiveCloud) -> None:
    """A store has hashes and sealed secrets: whoever else reads it has none, and nobody else reads it."""
    stores = [*live.here.store_dir.iterdir(), *live.here.pipeline_dir.iterdir()]
    assert stores
    assert [path for path in stores if path.stat().st_mode & stat.S_IRWXO] == []


def test_no_log_has_a_secret(live: LiveCloud, tmp_path: Path) -> None:
    """After logins that fail, and a server with a password and user data of its own."""
    wrong = "Wr0ng-but-typed-by-a-person"
    user = live.connect()
    env = {**live.env, "OS_PASSWORD": wrong}
    run(["openstack", "--os-password", wrong, "token", "issue"], check=False, env=env)
    url = f"https://demo:{wrong}@{live.config.public_address}:{live.config.pipeline_port}"
    git = ["git", "ls-remote", f"{url}/git/demo/none.git"]
    run(git, check=False, env=live.env, cwd=tmp_path)
    credential = user.identity.create_application_credential(user.current_user_id, name="secrets")
    try:
        token = str(user.authorize())
        known = passwords(live) | {wrong.encode(), token.encode(), credential.secret.encode()}
        pipeline = live.here.pipeline_dir / "pipeline.db"
        if pipeline.exists():
            known |= rows(live, pipeline, "runner.token", "environment_delegation.secret")
        for path in (live.here.pki_dir).glob("*.key"):
            known.add(path.read_bytes().splitlines()[1])
        logs = [path for path in live.here.log_dir.rglob("*") if path.is_file()]
        assert any(b"request.handled" in path.read_bytes() for path in logs)
        found = [path.name for path in logs if any(each in path.read_bytes() for each in known)]
        assert found == []
    finally:
        user.identity.delete_application_credential(user.current_user_id, credential)
