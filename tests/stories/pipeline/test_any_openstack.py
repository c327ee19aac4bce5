"""`kumoi pipeline serve`: the pipeline alone, for a cloud that offers what OpenStack Zed does and nothing
more. The whole command runs, with a clouds.yaml and a home of its own.
"""

from __future__ import annotations

import contextlib
import signal
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from subprocess import Popen

import pytest
import yaml
from openstack.connection import Connection
from tests.free_port import free_port
from tests.stories.pipeline.conftest import ROOT, Pusher, RunningPipeline, built, until
from tests.stories.pipeline.test_kept import FIRST, SECOND, Runner, push, there
from tests.stories.pipeline.zed import Zed, serving

from kumoi.base import process
from kumoi.config import CloudSettings, HostSettings, read

# The pipeline alone is on SQLite, and each story is a command with all its processes.
pytestmark = [
    pytest.mark.apis("load-balancer"),
    pytest.mark.parametrize("cloud", ["sqlite"], indirect=True),
    pytest.mark.timeout(400),
]
AT = "127.204.7.1"


class Served(RunningPipeline):
    """The command, and what it printed."""

    def __init__(self, pipeline: RunningPipeline, home: Path, *options: str) -> None:
        self.state = home / ".local/state/kumoi/zed"
        self.home, self.options, self.cloud = home, options, pipeline.cloud
        self.output = home / "serve.out"
        self.serve: Popen[bytes] | None = None

    def start(self) -> None:
        self.output.write_text("")
        self.serve = self.run("pipeline", "serve", "--cloud", "zed", *self.options)
        until(self._serves, within_s=60)
        self.config = read(CloudSettings, self.state).settings
        self.here = read(HostSettings, self.state).settings

    def run(self, *words: str) -> Popen[bytes]:
        return process.start(
            [sys.executable, "-P", "-m", "kumoi.main", *words], log=self.output, env=self.variables
        )

    def command(self, *words: str, check: bool = True) -> process.Completed:
        argv = [sys.executable, "-P", "-m", "kumoi.main", *words]
        return process.run(argv, env=self.variables, check=check, timeout_s=120)

    @property
    def variables(self) -> dict[str, str]:
        return {
            "HOME": str(self.home),
            "XDG_CONFIG_HOME": str(self.home / ".config"),
            "XDG_STATE_HOME": "",
            "OS_CLIENT_CONFIG_FILE": "",
            "PYTHONPATH": str(ROOT / "src"),
        }

    def end(self) -> int:
        """As Ctrl-C does; the command's status."""
        assert self.serve is not None
        self.serve.send_signal(signal.SIGTERM)
        return self.serve.wait(60)

    def _serves(self) -> bool:
        """What it prints last."""
        assert self.serve is not None
        assert self.serve.poll() is None, self.output.read_text()
        return "serving; its logs" in self.output.read_text()


@pytest.fixture
def zed(pipeline: RunningPipeline) -> Iterator[Zed]:
    with serving(pipeline.cloud.url) as running:
        yield running
        assert running.refused == []


@pytest.fixture
def home() -> Iterator[Path]:
    """Short: sockets are below it."""
    with tempfile.TemporaryDirectory(prefix="kz-") as directory:
        yield Path(directory)


@contextlib.contextmanager
def served(
    pipeline: RunningPipeline, zed: Zed, demo: Connection, home: Path, *options: str
) -> Iterator[Served]:
    name = demo.current_project.name
    auth = {
        "auth_url": f"{zed.url}/identity/v3",
        "username": name,
        "password": name,
        "project_name": name,
        "user_domain_id": "default",
        "project_domain_name": "Default",
    }
    entry = {"auth": auth, "region_name": pipeline.cloud.config.region, "identity_api_version": "3"}
    file = home / ".config/openstack/clouds.yaml"
    file.parent.mkdir(parents=True)
    file.write_text(yaml.safe_dump({"clouds": {"zed": entry}}))
    where = ("--listen", f"{AT}:{free_port()}")
    running = Served(pipeline, home, *where, *options)
    running.start()
    try:
        yield running
    except BaseException:
        sys.stderr.write((running.state / "log/pipeline.log").read_text())
        sys.stderr.write("\n".join(zed.refused))
        raise
    finally:
        assert running.end() == 0


def test_an_environment_is_made_changed_and_deleted_by_what_zed_offers_across_a_kill(
    zed: Zed, pipeline: RunningPipeline, demo: Connection, home: Path, tmp_path: Path
) -> None:
    with (
        served(pipeline, zed, demo, home) as running,
        running.client(demo) as client,
    ):
        pusher = Pusher(running, tmp_path, demo)
        runner = Runner(running, demo, client)
        (pusher.folder / "kumoi.yaml").write_text(FIRST)
        pusher.commit("a kept environment")
        file = str(pusher.folder / "kumoi.yaml")
        checked = running.command("env", "check", "--os-cloud", "zed", "-f", file, check=False).out
        assert checked.count("✓") == 4
        assert checked.count("✗") == 1
        assert f"servers cannot reach {AT}" in checked  # It is on loopback.
        run_id = pusher.run_id(pusher.push())
        assert running.serve is not None
        running.serve.kill()
        running.serve.wait()
        running.start()
        assert built(running, client, run_id)["reason"] == ""
        runner.verify()
        ended = running.ended(client, run_id, within_s=60)
        assert (ended["status"], ended["reason"]) == ("verified", "")
        key = ended["environment"]["id"]
        assert push(running, pusher, runner, SECOND)["id"] == key
        assert key in running.command("env", "list", "--os-cloud", "zed").out
        running.command("env", "delete", key, "--wait", "--os-cloud", "zed")
        assert there(demo, key) == {}
        forgotten = ("identity", "DELETE /v3/users/{}/application_credentials/{}")
        until(lambda: forgotten in zed.served)  # When the last of its environments has gone.
    assert ("load-balancer", "PUT /v2.0/lbaas/pools/{}/members") in zed.served


def test_a_cloud_without_load_balancers_says_so_before_anything_is_built(
    pipeline: RunningPipeline, demo: Connection, home: Path, tmp_path: Path
) -> None:
    with (
        serving(pipeline.cloud.url, without=frozenset({"load-balancer"})) as bare,
        served(pipeline, bare, demo, home) as running,
        running.client(demo) as client,
    ):
        pusher = Pusher(running, tmp_path, demo)
        (pusher.folder / "kumoi.yaml").write_text(FIRST)
        pusher.commit("a balancer")
        file = str(pusher.folder / "kumoi.yaml")
        checked = running.command("env", "check", "--os-cloud", "zed", "-f", file, check=False)
        assert checked.status == 1
        assert "✗ services: compute, network, image, load-balancer" in checked.out
        assert "the cloud offers no load balancers (load_balancers.front)" in checked.out
        ended = running.ended(client, pusher.run_id(pusher.push()))
        assert ended["reason"] == "the cloud offers no load balancers (load_balancers.front)"
        assert not list(demo.network.routers())
    assert bare.refused == []


def test_an_image_whose_upload_was_killed_before_it_began_is_uploaded(
    zed: Zed, pipeline: RunningPipeline, demo: Connection, home: Path, tmp_path: Path
) -> None:
    said = {"name": "mine", "disk_format": "raw", "container_format": "bare"}
    left = demo.image.post("/images", json=said).json()["id"]
    file = tmp_path / "mine.raw"
    file.write_bytes(b"\0" * 1024)
    with served(pipeline, zed, demo, home, "--image", f"mine={file}") as running:
        assert "image mine is uploaded from" in running.output.read_text()
    found = list(demo.image.images(name="mine"))
    assert [image.status for image in found] == ["active"]
    assert found[0].id != left
