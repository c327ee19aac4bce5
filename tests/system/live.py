"""A cloud of our own, brought up by the product's own command, beside whatever else is up.

`live_cloud` is for tests that need everything: it runs `./kumoi up` with a name, a directory and
ranges of its own, and `./kumoi down --purge` at the end, also of what a killed run left behind.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import openstack
import yaml
from openstack.connection import Connection
from tests.system.slots import free_slot

from kumoi.base.process import Completed, run
from kumoi.config import CloudSettings, HostSettings, Keeper, changed, first_host, read, write

ROOT = Path(__file__).parents[2]
UP_TIMEOUT_S = 420
SOURCE = Path(__file__).parents[2] / "src"
RANGES = 220  # The second number of the first slot's addresses: 10.220.0.0/16.
Found = TypeVar("Found")


@dataclass(frozen=True)
class LiveCloud:
    config: CloudSettings
    here: HostSettings
    config_home: Path

    @property
    def env(self) -> dict[str, str]:
        """For the unmodified clients: our own home, so that nobody's clouds.yaml is touched."""
        return {
            "HOME": str(self.config_home),
            "OS_CLOUD": self.config.name,
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "GIT_SSL_CAINFO": str(self.here.pki_dir / "ca.crt"),
            "GIT_TERMINAL_PROMPT": "0",
        }

    @property
    def tls(self) -> ssl.SSLContext:
        """Trusts the cloud's own authority."""
        return ssl.create_default_context(cafile=str(self.here.pki_dir / "ca.crt"))

    @property
    def clouds_yaml(self) -> dict[str, Any]:
        text = (self.config_home / ".config/openstack/clouds.yaml").read_text()
        loaded: dict[str, Any] = yaml.safe_load(text)
        return loaded

    def connect(self, *, admin: bool = False) -> Connection:
        entry = self.config.name + ("-admin" if admin else "")
        auth = self.clouds_yaml["clouds"][entry]
        return openstack.connection.Connection(
            auth=auth["auth"],
            region_name=auth["region_name"],
            cacert=auth["cacert"],
            identity_api_version="3",
            compute_default_microversion="2.96",
        )

    def kumoi(
        self, *args: str, check: bool = True, timeout_s: float = 60, source: Path | None = None
    ) -> Completed:
        """Our own command on this cloud; `source` is where another release's code is."""
        where = ["--name", self.config.name, "--state-dir", self.here.state_dir]
        return run(
            [sys.executable, "-m", "kumoi.main", *args, *where],
            check=check,
            timeout_s=timeout_s,
            env=self.env if source is None else {**self.env, "PYTHONPATH": str(source)},
        )

    def release(self) -> str:
        """The id of the release that the API is of."""
        argv = Path(f"/proc/{self.pid('api')}/cmdline").read_text().split("\0")
        return Path(argv[0]).relative_to(self.here.release_dir).parts[0]

    def openstack(self, *args: str, check: bool = True) -> Any:
        """The unmodified client; what it prints as JSON, or None when it prints nothing."""
        form = ["-f", "json"] if _prints(args) else []
        done = run(["openstack", *args, *form], check=check, timeout_s=60, env=self.env)
        return json.loads(done.out) if done.out.strip() and done.status == 0 else done

    def pid(self, unit: str) -> int:
        """The process of a role or engine, as its supervisor wrote it down; 0 while there is none."""
        with contextlib.suppress(OSError, ValueError, IndexError):
            return int((self.here.run_dir / f"{unit}.pid").read_text().split()[0])
        return 0

    def init_pid(self, server_id: str) -> int:
        """The first process of a server."""
        where = self.here.agent_dir / "lxc/servers"
        ask: list[str | Path] = ["lxc-info", "-P", where, "-n", server_id, "-p", "-H"]
        return int(run(ask, namespace=self.here.name).out)

    def ssh(self, address: str, key: Path, command: str, *, check: bool = True) -> Completed:
        return run(
            ["ssh", "-i", key, *SSH_OPTIONS, f"debian@{address}", command],
            check=check,
            timeout_s=30,
        )


SSH_OPTIONS = [
    "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o", "BatchMode=yes",
    "-o", "ConnectTimeout=5", "-o", "LogLevel=ERROR",
]  # fmt: skip


def another_release(directory: Path, *, version: str = "") -> Path:
    """The same code but for a comment, or its version, as another checkout has it: for `LiveCloud.kumoi`."""
    shutil.copytree(SOURCE, directory, ignore=shutil.ignore_patterns("__pycache__"))
    with (directory / "kumoi/__init__.py").open("a") as file:
        file.write("# Another release.\n" + (f'__version__ = "{version}"\n' if version else ""))
    return directory


def kept_by_us(here: HostSettings) -> HostSettings:
    """By our own supervisor, also where this machine has systemd: test_reboot.py is about that."""
    return changed(here, keeper=Keeper.KUMOI.value)


@contextlib.contextmanager
def live_cloud(
    prefix: str, directory: Path, words: Sequence[str] = (), **settings: Any
) -> Iterator[LiveCloud]:
    """Up, with these words of the command, and purged at the end. Its name begins with `prefix`; its
    ranges are nobody else's while it is up. `settings` stand in its cloud.toml before.
    """
    with (
        free_slot() as slot,
        _up(f"{prefix}{slot}", RANGES + slot, directory, words, settings) as up,
    ):
        yield up


@contextlib.contextmanager
def _up(
    name: str, octet: int, directory: Path, words: Sequence[str], settings: dict[str, Any]
) -> Iterator[LiveCloud]:
    state = Path(f"/var/tmp/{name}")
    public, underlay = f"10.{octet}.4.0/24", f"10.{octet}.5.0/28"
    config = CloudSettings(name=name, public_cidr=public, underlay_cidr=underlay, **settings)
    cloud = LiveCloud(config, kept_by_us(first_host(config, str(state))), directory)
    with contextlib.suppress(Exception):
        cloud.kumoi("down", "--purge", timeout_s=120)
    try:
        state.mkdir(exist_ok=True)
        write(config, state)
        write(cloud.here, state)
        ranges = ["--public-cidr", public, "--underlay-cidr", underlay]
        cloud.kumoi("up", *ranges, *words, timeout_s=UP_TIMEOUT_S)
        config, here = read(CloudSettings, state).settings, read(HostSettings, state).settings
        yield LiveCloud(config, here, directory)
    finally:
        cloud.kumoi("down", "--purge", timeout_s=120)


def eventually(look: Callable[[], Found | None], *, within_s: float, what: str) -> Found:
    """The first answer that is not None or false, looking every 20 ms, for `within_s` at most."""
    until = time.monotonic() + within_s
    while True:
        found = look()
        if found:
            return found
        if time.monotonic() > until:
            raise TimeoutError(f"{what} within {within_s:g} s")
        time.sleep(0.02)


def ssh_banner(address: str) -> bool:
    """Whether an SSH server answers there."""
    import socket

    with contextlib.suppress(OSError), socket.create_connection((address, 22), timeout=0.5) as peer:
        return peer.recv(4) == b"SSH-"
    return False


@contextlib.contextmanager
def pings(pid: int, address: str, count: int) -> Iterator[subprocess.Popen[str]]:
    """One ping every millisecond from the network of a process, ended whatever happens."""
    with subprocess.Popen(
        ["nsenter", "-t", str(pid), "-n", "ping", "-q", "-i", "0.001", "-c", str(count), address],
        stdout=subprocess.PIPE,
        text=True,
    ) as pinging:
        try:
            yield pinging
        finally:
            if pinging.poll() is None:
                pinging.kill()


def _prints(args: tuple[str, ...]) -> bool:
    return bool({"list", "show", "create", "issue"} & set(args)) and "--help" not in args
