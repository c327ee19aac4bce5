"""A backup that is taken while people work brings a cloud back that lost everything."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.system.live import ROOT, LiveCloud, eventually, live_cloud

from kumoi.base import trees
from kumoi.base.process import run

pytestmark = [pytest.mark.system, pytest.mark.timeout(600)]

MADE_AGAIN = {  # By `up` and the roles; so a backup need not have it.
    "run", "log", "ovn", "ovs", "host", "up.lock", "git-spool", "git-hooks", "demo",
    "settings", "releases",
}  # fmt: skip
KEPT = {
    "cloud.toml", "host.toml", "pki", "passwords", "images", "git", "cloud", "pipeline",
}  # fmt: skip


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveCloud]:
    with live_cloud("kbsys", tmp_path_factory.mktemp("home")) as cloud:
        yield cloud


@contextlib.contextmanager
def renaming(live: LiveCloud, network_id: str) -> Iterator[list[int]]:
    """Somebody calls a network n0, n1, … without end; the numbers that were acknowledged."""
    done: list[int] = []
    stop = threading.Event()

    def write() -> None:
        with live.connect() as cloud:
            while not stop.is_set():
                cloud.network.update_network(network_id, name=f"n{len(done)}")
                done.append(len(done))

    thread = threading.Thread(target=write)
    thread.start()
    try:
        eventually(lambda: done, within_s=30, what="the first name")
        yield done
    finally:
        stop.set()
        thread.join()


def push(live: LiveCloud, folder: Path) -> str:
    """Something that has no kumoi.yaml builds nothing; a branch with one that asks for no server."""
    folder.mkdir()
    who = ["git", "-c", "user.name=a", "-c", "user.email=a@example.org"]
    text = (ROOT / "examples" / "hello" / "kumoi.yaml").read_text()
    (folder / "kumoi.yaml").write_text(text)
    auth = live.clouds_yaml["clouds"][live.config.name]["auth"]
    login = f"https://{auth['username']}:{auth['password']}@"
    url = live.config.pipeline_url.replace("https://", login) + "/git/demo/kept.git"
    for words in (
        ["init", "--quiet", "--initial-branch=main", "."],
        ["add", "--all"],
        ["commit", "--quiet", "-m", "kept"],
        ["push", "--quiet", url, "HEAD:main"],
    ):
        run([*who, *words], cwd=folder, env=live.env)
    return run(["git", "rev-parse", "HEAD"], cwd=folder).out.strip()


def test_a_cloud_that_lost_everything_is_back(live: LiveCloud, tmp_path: Path) -> None:
    commit = push(live, tmp_path / "app")
    state = live.here.state
    with live.connect() as cloud:
        token = cloud.auth_token
        images = {image.id: image.name for image in cloud.image.images()}
        network = cloud.network.create_network(name="home")
        cloud.network.create_subnet(network_id=network.id, ip_version=4, cidr="10.9.0.0/24")
        server = cloud.compute.create_server(
            name="kept",
            image_id=cloud.image.find_image("debian-12").id,
            flavor_id=cloud.compute.find_flavor("tiny").id,
            networks=[{"uuid": network.id}],
        )
        cloud.compute.wait_for_server(server)
    file = tmp_path / "backup"
    with renaming(live, network.id) as done:
        before = len(done)
        manifest = json.loads(live.kumoi("backup", "--json", str(file), timeout_s=300).out)
        after = len(done)
        eventually(lambda: len(done) > after + 2, within_s=30, what="the writer goes on")
    assert manifest["stores"]["cloud"]["revision"] > 0
    assert {path.name for path in state.iterdir()} <= KEPT | MADE_AGAIN

    live.kumoi("down", timeout_s=120)
    for path in state.iterdir():
        trees.remove(path)
    live.kumoi("restore", str(file), timeout_s=300)
    live.kumoi("up", timeout_s=300)

    with live.connect() as cloud:
        assert {image.id: image.name for image in cloud.image.images()} == images
        for image in cloud.image.images():
            assert sum(map(len, cloud.image.download_image(image.id, stream=True))) == image.size
        name = cloud.network.get_network(network.id).name
        assert before - 1 <= int(name.removeprefix("n")) <= after
        restored = cloud.compute.get_server(server.id)
        assert restored.name == "kept"
        cloud.compute.wait_for_server(restored)
        answer = cloud.session.get(
            f"{live.config.api_url}/network/v2.0/networks",
            authenticated=False,
            headers={"X-Auth-Token": token},
        )
        assert answer.status_code == 200, "a token from before the loss is good"
    heads = f"git -c http.sslCAInfo={live.here.pki_dir / 'ca.crt'} ls-remote"
    auth = live.clouds_yaml["clouds"][live.config.name]["auth"]
    login = f"https://{auth['username']}:{auth['password']}@"
    url = live.config.pipeline_url.replace("https://", login) + "/git/demo/kept.git"
    listed = run([*heads.split(), url, "refs/heads/main"], env=live.env).out
    assert listed.split()[0] == commit


def test_a_server_that_the_restored_store_does_not_know_runs_on_and_is_shown(
    live: LiveCloud, tmp_path: Path
) -> None:
    file = tmp_path / "older"
    live.kumoi("backup", str(file), timeout_s=300)
    with live.connect() as cloud:
        network = cloud.network.create_network(name="later")
        cloud.network.create_subnet(network_id=network.id, ip_version=4, cidr="10.8.0.0/24")
        server = cloud.compute.create_server(
            name="unknown",
            image_id=cloud.image.find_image("debian-12").id,
            flavor_id=cloud.compute.find_flavor("tiny").id,
            networks=[{"uuid": network.id}],
        )
        server = cloud.compute.wait_for_server(server)
        (address,) = [item["addr"] for item in server.addresses["later"]]
    pid = live.init_pid(server.id)
    refused = live.kumoi("restore", str(file), check=False)
    assert refused.status == 1
    assert "`restore --yes` stops these first" in refused.err
    live.kumoi("restore", "--yes", str(file), timeout_s=300)
    live.kumoi("up", timeout_s=300)

    def shown() -> list[dict[str, object]]:
        status = json.loads(live.kumoi("status", "--json").out)
        return [item for item in status["unknown"] if item["id"] == server.id]

    (row,) = eventually(shown, within_s=60, what="status shows the server")
    assert row["addresses"] == [address]
    assert live.init_pid(server.id) == pid
    assert Path(f"/proc/{pid}").exists()
    assert "unknown to the store" in live.kumoi("status").out
