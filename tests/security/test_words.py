"""What a person reads when something of the machine went wrong: what it is and what to do next, in a
line or two, and never a traceback.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from kumoi import config, members
from kumoi.base.errors import Conflict, Permanent
from kumoi.cli import up
from kumoi.cloud.store.migrate import upgrade
from kumoi.config import CloudSettings, HostSettings
from kumoi.engine import migrate, schema_check
from kumoi.engine.schema_check import SchemaStep
from kumoi.hosts.first_use import passwords, pki
from kumoi.hosts.units.releases import Release
from kumoi.hosts.wires import sockets
from tests.free_port import free_port
from tests.security.in_process import InProcessCloud, in_process_cloud

ROOT = Path(__file__).parents[2]
KUMOI = (sys.executable, "-m", "kumoi.main")
LINES_MAX = 2
PAGE_BYTES = 4_096


@pytest.fixture
def host(tmp_path: Path) -> HostSettings:
    """As `up` has written it, before its stores."""
    cloud, here = CloudSettings(), HostSettings(state_dir=str(tmp_path))
    config.write(cloud, here.state)
    config.write(here, here.state)
    pki.ensure(cloud, here, datetime.now(UTC))
    passwords.ensure(here)
    here.wake_dir.mkdir(parents=True)
    return here


def store_of(host: HostSettings) -> Path:
    url = members.cloud_database(CloudSettings(), host)
    upgrade(url)
    return Path(url.removeprefix("sqlite:///"))


def said(*words: str | Path) -> str:
    """What a command of ours prints that fails."""
    ended = subprocess.run(
        words,
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert ended.returncode != 0
    printed = "\n".join(line for line in ended.stderr.splitlines() if not line.startswith("{"))
    assert "Traceback" not in printed
    assert len(printed.splitlines()) <= LINES_MAX, printed
    return printed


@pytest.mark.parametrize(
    "command", [("role", "api"), ("role", "worker"), ("store", "ensure")], ids=" ".join
)
def test_a_damaged_store_names_its_file_and_the_backup(
    host: HostSettings, command: tuple[str, ...]
) -> None:
    store = store_of(host)
    with store.open("r+b") as file:
        file.write(os.urandom(PAGE_BYTES))
    printed = said(*KUMOI, *command, "--config", host.state)
    assert f"the file {store} is damaged" in printed
    assert "kumoi restore" in printed


def test_a_store_that_is_damaged_while_the_cloud_is_up_is_said_to_be(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "cloud.db"
    with in_process_cloud(tmp_path, f"sqlite:///{path}") as cloud:
        _damage(cloud, path)
        answer = cloud.ask("GET", "/network/v2.0/networks")
    assert answer.status_code == 503
    assert "its operator has to bring a backup back" in answer.text
    assert f"the file {path} is damaged" in "".join(capfd.readouterr())


def _damage(cloud: InProcessCloud, path: Path) -> None:
    """All but its first page."""
    cloud.database.close()
    for suffix in ("-wal", "-shm"):
        Path(f"{path}{suffix}").unlink(missing_ok=True)
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.seek(PAGE_BYTES)
        file.write(os.urandom(size - PAGE_BYTES))


def test_a_store_of_a_newer_release_names_the_release_to_install(host: HostSettings) -> None:
    store = store_of(host)
    engine = migrate.engine(f"sqlite:///{store}")
    with engine.begin() as connection:
        schema_check.record(connection, [SchemaStep("9999", "99.1.0", needs="99.0.0")])
    engine.dispose()
    for command in (("role", "api"), ("store", "ensure")):
        printed = said(*KUMOI, *command, "--config", host.state)
        assert "install 99.0.0 or newer, best 99.1.0" in printed
    with pytest.raises(Permanent, match=r"^the store is of release 99\.1\.0 .* install 99\.0\.0"):
        up.ensure_stores(host, Release("this", Path(sys.executable)))


FULL = """
mount -t tmpfs -o size=300k none "$1" && cp "$2"/*.toml "$1" && shift 2 && exec "$@"
"""


@pytest.mark.skipif(
    subprocess.run(["unshare", "-m", "-r", "true"], check=False).returncode != 0,
    reason="this machine lets nobody mount anything",
)
def test_a_full_disk_says_to_make_room(host: HostSettings, tmp_path: Path) -> None:
    full = tmp_path / "full"
    full.mkdir()
    said_of = ("unshare", "-m", "-r", "sh", "-c", FULL, "sh", full, host.state)
    settings = HostSettings(state_dir=str(full))
    config.write(settings, host.state)
    printed = said(*said_of, *KUMOI, "store", "ensure", "--config", full)
    assert "disk is full. Make room and try again; nothing is lost" in printed
    shutil.rmtree(full)


def test_a_port_that_another_program_has_is_named_with_the_program(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        cloud = CloudSettings(
            public_cidr="127.0.0.0/24", underlay_cidr="127.203.1.0/28", api_port=port
        )
        here = HostSettings(state_dir=str(tmp_path))
        with pytest.raises(
            Conflict, match=rf"\(process {os.getpid()}\) listens on port {port}"
        ) as said:
            sockets.require_free(cloud, here)
        assert f"another api_port in {tmp_path / 'cloud.toml'}" in str(said.value)
    sockets.require_free(cloud, here)


def test_a_role_whose_port_another_program_has_says_so(host: HostSettings) -> None:
    store_of(host)
    cloud = CloudSettings(public_cidr="127.203.0.0/24", underlay_cidr="127.203.1.0/28")
    with socket.create_server((cloud.public_address, 0)) as other:
        port = other.getsockname()[1]
        config.write(config.changed(cloud, api_port=port, host_api_port=free_port()), host.state)
        printed = said(*KUMOI, "role", "api", "--config", host.state)
    assert f"another program listens on {cloud.public_address} port {port}; end it" in printed
