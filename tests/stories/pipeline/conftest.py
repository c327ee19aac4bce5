"""The real pipeline as a process of its own, beside the real APIs, on loopback with TLS.

Servers are those of a fake host. Where a story needs the runner, the script from the runner server's
user data really runs, with stand-ins for `ssh` and `rspec` that act in folders on this machine.
"""

from __future__ import annotations

import base64
import contextlib
import dataclasses
import io
import os
import re
import signal
import socket
import ssl
import sys
import tarfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from subprocess import Popen
from typing import Any, TypeVar

import httpx
import pytest
from openstack.connection import Connection
from tests.conftest import database_url
from tests.free_port import free_port
from tests.running_cloud import RunningCloud

from kumoi.base import process
from kumoi.base.clock import Clock
from kumoi.cloud.drivers.network.fake import FakeNorthbound
from kumoi.cloud.reconcilers.network import NetworkReconciler
from kumoi.config import CLOUD_FILE, CloudSettings, HostSettings, first_host, write
from kumoi.hosts.first_use import first_run, pki
from kumoi.hosts.install.image import RUNNER
from kumoi.pipeline.store.migrate import upgrade

ROOT = Path(__file__).parents[3]
HELLO = ROOT / "examples" / "hello"
OF_ANOTHER_RELEASE = "key_of_another_release"  # The role starts all the same, and says so.
RANGE = "127.204.0.0/24"  # Loopback: the pipeline wants an address of its own.
START_S = 60.0
SETTLE_EVERY_S = 0.1

Found = TypeVar("Found")


def until(look: Callable[[], Found | None], *, within_s: float = 60.0) -> Found:
    """Wait for a level, with a bound."""
    deadline = time.monotonic() + within_s
    while True:
        found = look()
        if found:
            return found
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {within_s:g} s: {look.__doc__ or look}")
        time.sleep(0.05)


@dataclass
class RunningPipeline:
    config: CloudSettings
    here: HostSettings
    cloud: RunningCloud
    process: Popen[bytes] | None = None
    repositories: Popen[bytes] = field(init=False)
    children: list[Popen[bytes]] = field(default_factory=list)

    def start(self) -> None:
        self.process = self.start_role("pipeline")
        until(self._listens, within_s=START_S)

    def start_role(self, role: str) -> Popen[bytes]:
        return process.start(
            [sys.executable, "-m", "kumoi.main", "role", role, "--config", self.here.state],
            log=self.here.log_dir / f"{role}.log",
            env={"PYTHONPATH": str(ROOT / "src")},
        )

    def kill(self) -> None:
        """kill -9."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    def client(self, connection: Connection) -> httpx.Client:
        """As whoever that connection is."""
        return httpx.Client(
            base_url=self.config.pipeline_url,
            verify=ssl.create_default_context(cafile=self.here.pki_dir / "ca.crt"),
            headers={"X-Auth-Token": connection.authorize()},
            timeout=40,
        )

    def run_of(self, client: httpx.Client, id: str) -> dict[str, Any]:
        answer = client.get(f"/pipeline/v1/runs/{id}")
        answer.raise_for_status()
        found: dict[str, Any] = answer.json()["run"]
        return found

    def ended(self, client: httpx.Client, id: str, *, within_s: float = 60.0) -> dict[str, Any]:
        def end() -> dict[str, Any] | None:
            """The run's end."""
            found = self.run_of(client, id)
            return found if found["ended_at"] else None

        return until(end, within_s=within_s)

    def url(self, project: str, repository: str = "hello") -> str:
        return f"{self.config.pipeline_url}/git/{project}/{repository}.git"

    def _listens(self) -> bool:
        address = (self.config.public_address, self.config.pipeline_port)
        with contextlib.suppress(OSError), socket.create_connection(address, 0.2):
            return True
        return False


@pytest.fixture(scope="module")
def limits() -> dict[str, Any]:
    """Settings of the pipeline that are not the usual ones."""
    return {}


@pytest.fixture(scope="module")
def folder(cloud: RunningCloud, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The pipeline's host keeps everything here: another folder for each cloud."""
    del cloud
    return tmp_path_factory.mktemp("pipeline")


@pytest.fixture(scope="module")
def pipeline(
    cloud: RunningCloud,
    admin: Connection,
    limits: dict[str, Any],
    folder: Path,
    request: pytest.FixtureRequest,
) -> Iterator[RunningPipeline]:
    """For a file's stories. Its store is on the same database as the cloud's."""
    backend = "sqlite" if cloud.database.is_sqlite else "postgresql"
    with database_url(backend, folder, request) as url:
        yield from _running(cloud, admin, folder, url, limits)


def _running(
    cloud: RunningCloud, admin: Connection, folder: Path, database: str, limits: dict[str, Any]
) -> Iterator[RunningPipeline]:
    config = dataclasses.replace(
        CloudSettings(**limits),
        name="story",
        api_public_url=cloud.url,
        region=cloud.config.region,
        public_cidr=RANGE,
        pipeline_database_url=database,
        pipeline_port=free_port(),
        login_attempts_per_minute=1_000,
        webhook_networks=("127.0.0.0/8",),
    )
    here = first_host(config, str(folder))
    for needed in (here.run_dir, here.log_dir):
        needed.mkdir(parents=True, exist_ok=True)
    pki.ensure(config, here, datetime.now(UTC))
    upgrade(database)
    write(config, folder)
    write(here, folder)
    with (folder / CLOUD_FILE).open("a") as file:
        file.write(f"{OF_ANOTHER_RELEASE} = true\n")
    first_run.ensure_flavors_and_network(admin, config)
    for name in ("debian-12", "debian-12-runner"):
        admin.image.create_image(
            name=name,
            disk_format="root-tar",
            container_format="bare",
            visibility="public",
            meta={"os_hidden": name == RUNNER.name},
            data=_root_tar(),
        )
    running = RunningPipeline(config, here, cloud)
    running.repositories = running.start_role("repositories")
    running.start()
    assert OF_ANOTHER_RELEASE in (here.log_dir / "pipeline.log").read_text()
    with _settling(cloud):
        yield running
    running.kill()
    running.repositories.kill()
    running.repositories.wait()
    for child in running.children:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()


@contextlib.contextmanager
def _settling(cloud: RunningCloud) -> Iterator[None]:
    """A host and a worker that do what is wanted, all the time."""
    ended = threading.Event()
    worker = NetworkReconciler(cloud.database, FakeNorthbound(), Clock())

    def settle() -> None:
        while not ended.wait(SETTLE_EVERY_S):
            cloud.host.settle()
            worker.round()

    thread = threading.Thread(target=settle)
    thread.start()
    yield
    ended.set()
    thread.join()


def _root_tar() -> bytes:
    """As small as a root filesystem can be."""
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w:gz") as tar:
        for name in ("etc", "sbin", "usr"):
            folder = tarfile.TarInfo(name)
            folder.type = tarfile.DIRTYPE
            folder.mode = 0o755
            tar.addfile(folder)
    return data.getvalue()


class Pusher:
    """A work tree of the hello example, and whoever pushes it."""

    def __init__(self, pipeline: RunningPipeline, folder: Path, connection: Connection) -> None:
        self.folder = folder
        self.project = connection.current_project.name
        self.user = self.project
        self.password = self.project  # As the fixtures make a tenant.
        self.pipeline = pipeline
        self.git("init", "--quiet", "--initial-branch=main", ".")
        for path in sorted(HELLO.rglob("*")):
            if path.is_file():
                target = folder / path.relative_to(HELLO)
                target.parent.mkdir(exist_ok=True)
                target.write_bytes(path.read_bytes())
        self.commit("first")

    def git(self, *args: str, check: bool = True) -> process.Completed:
        return process.run(["git", *args], cwd=self.folder, env=self.environment, check=check)

    @property
    def environment(self) -> dict[str, str]:
        home = self.folder / ".git" / "home"
        return {
            "HOME": str(home),
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_TERMINAL_PROMPT": "0",
            "GIT_SSL_CAINFO": str(self.pipeline.here.pki_dir / "ca.crt"),
            "GIT_AUTHOR_NAME": "a", "GIT_AUTHOR_EMAIL": "a@example.org",
            "GIT_COMMITTER_NAME": "a", "GIT_COMMITTER_EMAIL": "a@example.org",
            "LC_ALL": "C",
        }  # fmt: skip

    def commit(self, message: str) -> str:
        self.git("add", "--all", ".")
        self.git("commit", "--quiet", "--allow-empty", "-m", message)
        return self.git("rev-parse", "HEAD").out.strip()

    def push(self, refspec: str = "main", **overrides: str) -> str:
        """What git prints, which does not wait for the run where it is no terminal."""
        return self.git("push", self.url(**overrides), refspec, check=False).err

    def url(self, **overrides: str) -> str:
        """With the login."""
        user = overrides.get("user", self.user)
        password = overrides.get("password", self.password)
        url = self.pipeline.url(overrides.get("project", self.project))
        return url.replace("https://", f"https://{user}:{password}@")

    def run_id(self, printed: str) -> str:
        found = re.search(r"remote: run ([0-9a-f]{12}) started: https://", printed)
        assert found, printed
        assert f"follow it with: kumoi run follow {found[1]}" in printed
        return found[1]


@pytest.fixture
def pusher(pipeline: RunningPipeline, tmp_path: Path, demo: Connection) -> Pusher:
    folder = tmp_path / "hello"
    folder.mkdir()
    return Pusher(pipeline, folder, demo)


def built(pipeline: RunningPipeline, client: Any, id: str) -> dict[str, Any]:
    def stage() -> dict[str, Any] | None:
        """The end of the build."""
        found = pipeline.run_of(client, id)
        return found if found["stage"] not in ("receive", "build") or found["ended_at"] else None

    return until(stage)


ENVIRONMENT = """
servers:
  web: {image: debian-12, flavor: small, count: 2}
configure:
  - {on: web, run: ./deploy.sh}
verify:
  - {serverspec: spec/, on: web}
"""
DEPLOY = """#!/bin/sh
echo "configuring $KUMOI_SERVER at $KUMOI_COMMIT"
test ! -e broken-deploy || { echo "the disk is full" >&2; exit 3; }
"""
# Acts in a folder per address; the last words are user@address and the command.
SSH = """#!{python}
import os, sys
folder = os.path.join({folder!r}, sys.argv[-2].partition("@")[2])
os.makedirs(folder, exist_ok=True)
os.chdir(folder)
os.execvp("sh", ["sh", "-c", sys.argv[-1]])
"""
# In place of Ruby with Serverspec: two examples in RSpec's own form; one fails where the repository says
# so.
RUBY = """#!{python}
import json, os, sys
for line in sys.stdin:
    statuses = []
    for target in json.loads(line):
        server = target["environment"]["KUMOI_SERVER"]
        broken = os.path.exists(target["folder"] + "/broken-verify") and server == "web-2"
        example = {{"file_path": "./spec/web_spec.rb", "line_number": 5, "run_time": 0.25}}
        examples = [
            {{**example, "full_description": "Service hello is running", "status": "passed"}},
            {{**example, "full_description": "Port 80 is listening", "status": "passed"}},
        ]
        if broken:
            examples[1]["status"] = "failed"
            examples[1]["exception"] = {{"message": "expected Port 80 to be listening"}}
        with open(target["words"][target["words"].index("--out") + 1], "w") as out:
            json.dump({{"examples": examples}}, out)
        with open(target["output"], "w") as out:
            print("ran against", target["environment"]["TARGET_HOST"], file=out)
        statuses.append(1 if broken else 0)
    print(json.dumps(statuses), flush=True)
"""

Start = Callable[[], Path]


@pytest.fixture
def runner_home(tmp_path: Path) -> Path:
    return tmp_path / "runner"


@pytest.fixture
def start_runner(
    pipeline: RunningPipeline, tmp_path: Path, demo: Connection, runner_home: Path
) -> Start:
    """What cloud-init would do on the runner."""
    programs = tmp_path / "bin"
    programs.mkdir()
    facts = {"python": sys.executable, "folder": str(tmp_path / "servers")}
    for name, text in (("ssh", SSH), ("ruby", RUBY)):
        (programs / name).write_text(text.format(**facts))
        (programs / name).chmod(0o755)

    def user_data() -> str:
        """The runner's user data."""
        mine = {server.id for server in demo.compute.servers() if server.name.endswith("-runner")}
        for server in pipeline.cloud.host.servers():
            if server.id in mine and server.power == "running":
                return server.user_data
        return ""

    def start() -> Path:
        script = tmp_path / "user-data"
        script.write_bytes(base64.b64decode(until(user_data)))
        started = process.start(
            [sys.executable, script, "--stay"],
            log=tmp_path / "runner.log",
            env={
                "KUMOI_RUNNER_HOME": str(runner_home),
                "PATH": f"{programs}:{os.environ['PATH']}",
            },
        )
        pipeline.children.append(started)
        return script

    return start


@pytest.fixture
def app(pusher: Pusher) -> Pusher:
    """A repository whose steps the stand-ins can do."""
    (pusher.folder / "kumoi.yaml").write_text(ENVIRONMENT)
    (pusher.folder / "deploy.sh").write_text(DEPLOY)
    (pusher.folder / "deploy.sh").chmod(0o755)
    pusher.commit("steps")
    return pusher
