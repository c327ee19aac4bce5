"""The OpenStack path of the README with the unmodified client: everything made, used, deleted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.system.live import LiveCloud, eventually, ssh_banner

from kumoi.base.process import run
from kumoi.hosts.install.image import DEBIAN, ensure

CACHE = Path("/var/tmp/kumoi-test-cache")
pytestmark = [pytest.mark.system, pytest.mark.timeout(600)]


@pytest.fixture
def key(tmp_path: Path) -> Path:
    run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", tmp_path / "key"])
    return tmp_path / "key"


def test_a_user_makes_a_network_and_a_server_and_logs_in_and_deletes_it_all(
    live: LiveCloud, key: Path
) -> None:
    ask = live.openstack
    names = {row["Name"] for row in ask("image", "list")}
    assert "debian-12" in names
    assert "debian-12-runner" not in names
    assert ask("image", "show", "debian-12-runner")["status"] == "active"
    assert "small" in {row["Name"] for row in ask("flavor", "list")}
    assert "public" in {row["Name"] for row in ask("network", "list", "--external")}

    ask("network", "create", "private")
    ask("subnet", "create", "--network", "private", "--subnet-range", "10.9.0.0/24", "private")
    ask("router", "create", "--external-gateway", "public", "edge")
    ask("router", "add", "subnet", "edge", "private")
    ask("security", "group", "create", "ssh")
    ask("security", "group", "rule", "create", "--proto", "tcp", "--dst-port", "22", "ssh")
    ask("keypair", "create", "--public-key", f"{key}.pub", "me")
    server = ask(
        "server", "create", "--image", "debian-12", "--flavor", "small", "--network", "private",
        "--key-name", "me", "--security-group", "ssh", "--wait", "web1",
    )  # fmt: skip
    assert server["status"] == "ACTIVE"
    address = ask("floating", "ip", "create", "public")["floating_ip_address"]
    ask("server", "add", "floating", "ip", "web1", address)

    eventually(lambda: ssh_banner(address), within_s=15, what="SSH answers")
    assert live.ssh(address, key, "hostname").out.strip() == "web1"
    assert live.ssh(address, key, "sudo id -u").out.strip() == "0"
    assert "10.9.0." in live.ssh(address, key, "ip -4 addr show eth0").out
    assert run(["ping", "-c", "1", "-W", "1", address], check=False).status != 0

    ask("server", "delete", "--wait", "web1")
    ask("floating", "ip", "delete", address)
    ask("router", "remove", "subnet", "edge", "private")
    ask("router", "delete", "edge")
    ask("network", "delete", "private")
    ask("security", "group", "delete", "ssh")
    ask("keypair", "delete", "me")
    for noun in (["server"], ["floating", "ip"], ["router"], ["port"], ["keypair"]):
        assert ask(*noun, "list") in ([], None) or ask(*noun, "list") == []
    assert [row["Name"] for row in ask("network", "list")] == ["public"]


@pytest.mark.parametrize(
    ("asked", "named"),
    [
        (["--image", "no-such-image", "--flavor", "small"], "no-such-image"),
        (["--image", "debian-12", "--flavor", "no-such-flavor"], "no-such-flavor"),
        (["--image", "debian-12", "--flavor", "small", "--network", "no-such-net"], "no-such-net"),
        (["--image", "debian-12", "--flavor", "small", "--key-name", "no-such-key"], "key"),
    ],
)
def test_a_server_of_what_is_not_there_is_refused_by_name(
    live: LiveCloud, asked: list[str], named: str
) -> None:
    network = [] if "--network" in asked else ["--no-network"]
    refused = live.openstack(
        "server", "create", "--os-compute-api-version", "2.96", *asked, *network, "x", check=False
    )
    assert refused.status == 1
    assert named in refused.err
    assert "x" not in {row["Name"] for row in live.openstack("server", "list")}


def test_a_server_of_a_squashfs_image_runs(live: LiveCloud, tmp_path: Path) -> None:
    file = _squashed(ensure(DEBIAN, CACHE), tmp_path)
    ask = live.openstack
    try:
        assert ask("image", "create", "--file", str(file), "squashed")["disk_format"] == "raw"
        server = ask(
            "server", "create", "--os-compute-api-version", "2.96", "--image", "squashed",
            "--flavor", "tiny", "--no-network", "--wait", "squashed",
        )  # fmt: skip
        assert server["status"] == "ACTIVE"
        show = ["openstack", "console", "log", "show", "squashed"]
        eventually(
            lambda: "OpenBSD Secure Shell" in run(show, env=live.env).out,
            within_s=30,
            what="its console tells of SSH",
        )
    finally:
        ask("server", "delete", "--wait", "squashed", check=False)
        ask("image", "delete", "squashed", check=False)


def _squashed(archive: Path, directory: Path) -> Path:
    """The root file system of an archive as a squashfs file."""
    tar, file = directory / "root.tar", directory / "root.squashfs"
    with tar.open("wb") as out:
        run(["zstd", "-dc", archive], stdout=out)
    with tar.open("rb") as packed:
        run(
            ["mksquashfs", "-", file, "-tar", "-comp", "lz4", "-quiet", "-no-progress"],
            stdin=packed,
            timeout_s=120,
        )
    tar.unlink()
    return file


def test_an_operator_makes_an_aggregate_with_a_zone_and_takes_it_apart(live: LiveCloud) -> None:
    def ask(*words: str) -> Any:
        return live.openstack("--os-cloud", f"{live.config.name}-admin", *words)

    (host,) = [row["Hypervisor Hostname"] for row in ask("hypervisor", "list")]
    ask("aggregate", "create", "--zone", "rack1", "--property", "disks=fast", "first")
    ask("aggregate", "add", "host", "-f", "json", "first", host)
    shown = ask("aggregate", "show", "first")
    assert (shown["availability_zone"], shown["hosts"]) == ("rack1", [host])
    assert "rack1" in {row["Zone Name"] for row in ask("availability", "zone", "list", "--compute")}
    ask("aggregate", "set", "--name", "renamed", "--property", "disks=slow", "first")
    assert ask("aggregate", "show", "renamed")["properties"]["disks"] == "slow"
    ask("aggregate", "remove", "host", "-f", "json", "renamed", host)
    ask("aggregate", "delete", "renamed")
    assert ask("aggregate", "list") in ([], None)


def test_the_clients_warn_of_nothing(live: LiveCloud) -> None:
    done = run(["openstack", "server", "list", "--debug"], env=live.env, timeout_s=60)
    assert "Warning" not in done.err
    assert "Traceback" not in done.err
