"""A cloud on loopback whose roles are processes, each of either release, on one state directory."""

from __future__ import annotations

import contextlib
import functools
import re
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from subprocess import Popen
from typing import Any, TypeVar

import openstack
from openstack.connection import Connection

from kumoi import config
from kumoi.base import process
from kumoi.config import CloudSettings, HostSettings
from kumoi.hosts.first_use import first_run, passwords
from tests.free_port import free_port
from tests.tarball import tarball
from tests.upgrade.releases import PLAY, Release

PUBLIC_ADDRESS = "127.205.0.1"
START_S = 60.0
WITHIN_S = 60.0
END_S = 20.0
BESIDE = {  # Units that a role asks, and that 0.2.0 did not have.
    "pipeline": ("repositories", "src/kumoi/pipeline/repository_service.py"),
    "api": ("inspector", "src/kumoi/cloud/drivers/image/inspector.py"),
}
KUMOI_YAML = "servers:\n  web: {image: debian-12, flavor: small, ports: [80]}\n"

Found = TypeVar("Found")


def until(look: Callable[[], Found | None], *, within_s: float = WITHIN_S) -> Found:
    """Wait for a level, with a bound."""
    deadline = time.monotonic() + within_s
    while not (found := look()):
        assert time.monotonic() < deadline, f"not within {within_s:g} s"
        time.sleep(0.05)
    return found


@dataclass
class Estate:
    """`running` is by role."""

    state: Path
    ports: list[int] = field(default_factory=lambda: [free_port() for _ in range(3)])
    running: dict[str, Popen[bytes]] = field(default_factory=dict)

    # What an operator does.

    def begin(self, release: Release) -> None:
        """The first `up`."""
        release.run(PLAY, "prepare", self.state, *map(str, self.ports))
        self.migrate(release)

    def migrate(self, release: Release) -> None:
        """A later `up`, as far as files and stores go."""
        release.run(PLAY, "settle", self.state)
        release.run("kumoi.main", "store", "ensure", "--config", self.state)

    def put(self, **roles: Release) -> None:
        """These roles are of these releases from now on."""
        self.end(*roles)
        for role, release in roles.items():
            words: tuple[str | Path, ...] = ("kumoi.main", "role", role, "--config", self.state)
            beside, code = BESIDE.get(role, ("", ""))
            if beside and (release.root / code).exists():
                self.put(**{beside: release})
            if role in ("agent", "worker"):  # Which need more than loopback.
                words = (PLAY, role, self.state)
            self.running[role] = release.start(*words, log=self.state / "log" / f"{role}.log")
        for role, port in (("api", self.ports[0]), ("pipeline", self.ports[2])):
            if role in roles:
                listens = functools.partial(self._listens, role, port)
                until(listens, within_s=START_S)

    def log(self, role: str) -> str:
        """What all that played it have said."""
        return (self.state / "log" / f"{role}.log").read_text()

    def end(self, *roles: str) -> None:
        """Each as its supervisor would, all at once."""
        roles = (*roles, *(BESIDE[role][0] for role in roles if role in BESIDE))
        ending = [self.running.pop(role) for role in roles if role in self.running]
        for item in ending:
            item.terminate()
        for item in ending:
            item.wait(END_S)

    # What a user does.

    @property
    def password(self) -> str:
        return passwords.read(HostSettings(state_dir=str(self.state)), "admin").reveal()

    def connect(self) -> Connection:
        return openstack.connection.Connection(
            auth={
                "auth_url": f"https://{PUBLIC_ADDRESS}:{self.ports[0]}/identity",
                "username": "admin",
                "password": self.password,
                "project_name": "admin",
                "user_domain_id": "default",
                "project_domain_id": "default",
            },
            region_name="RegionOne",
            identity_api_version="3",
            compute_default_microversion="2.96",
            cacert=str(self.state / "pki" / "ca.crt"),
        )

    def furnish(self, connection: Connection) -> None:
        """What servers and pushes start from."""
        first_run.ensure_flavors_and_network(
            connection, CloudSettings(public_cidr="127.205.0.0/24")
        )
        for name in ("debian-12", "debian-12-runner"):
            connection.image.create_image(
                name, data=tarball(), disk_format="root-tar", container_format="bare"
            )
        network = connection.network.create_network(name="private")
        connection.network.create_subnet(network_id=network.id, ip_version=4, cidr="10.9.0.0/24")

    def await_host(self, connection: Connection) -> None:
        """Until it takes servers."""
        host = config.read(HostSettings, self.state).settings
        first_run.wait_for_host(connection, host, timeout_s=WITHIN_S)

    def push(self, folder: Path) -> str:
        """A commit to the pipeline; the id of its run."""
        folder.mkdir()
        (folder / "kumoi.yaml").write_text(KUMOI_YAML)
        environment = {
            "HOME": str(folder / "home"),
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_SSL_CAINFO": str(self.state / "pki" / "ca.crt"),
        }

        def git(*words: str) -> str:
            who = ("-c", "user.name=a", "-c", "user.email=a@example.org")
            return process.run(["git", *who, *words], cwd=folder, env=environment).err

        git("init", "--quiet", "--initial-branch=main", ".")
        git("add", ".")
        git("commit", "--quiet", "-m", "first")
        at = f"{PUBLIC_ADDRESS}:{self.ports[2]}/git/admin/hello.git"
        said = git("push", f"https://admin:{self.password}@{at}", "main")
        found = re.search(r"remote: run ([0-9a-f]{12}) started", said)
        assert found, said
        return found[1]

    def pipeline(self, connection: Connection, method: str, path: str) -> dict[str, Any]:
        url = f"https://{PUBLIC_ADDRESS}:{self.ports[2]}/pipeline/v1/{path}"
        answer: dict[str, Any] = connection.session.request(url, method).json()
        return answer

    def _listens(self, role: str, port: int) -> bool:
        assert self.running[role].poll() is None, self.log(role)[-2_000:]
        with contextlib.suppress(OSError), socket.create_connection((PUBLIC_ADDRESS, port), 0.2):
            return True
        return False


@contextlib.contextmanager
def estate_in(state: Path) -> Iterator[Estate]:
    estate = Estate(state)
    try:
        yield estate
    finally:
        estate.end(*estate.running)
