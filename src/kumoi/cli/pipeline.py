"""`kumoi pipeline serve`: the pipeline alone, on SQLite, for the cloud of an entry of clouds.yaml.

It needs no root. Its two roles are processes of their own, as in a cloud of ours, and this one starts
again what ends; all of them end with it. What the cloud lacks that every environment needs is said
before anybody pushes.
"""

from __future__ import annotations

import argparse
import contextlib
import signal
import socket
import sys
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from subprocess import Popen, TimeoutExpired
from typing import NoReturn
from urllib.parse import urlsplit

from kumoi import config, members
from kumoi.base import process
from kumoi.base.errors import Invalid, Permanent
from kumoi.cli import choice
from kumoi.cli.output import say
from kumoi.config import CloudSettings, HostSettings
from kumoi.hosts.first_use import pki
from kumoi.pipeline import default_images
from kumoi.pipeline.client import Client
from kumoi.pipeline.identity import BY_ID, DEFAULT_DOMAIN, SYSTEM_CA
from kumoi.pipeline.store.migrate import upgrade

ROLES = ("repositories", "pipeline")
START_S = 60.0
LOOK_EVERY_S = 0.1
ENDS_WITHIN_S = 10.0
RESTARTS_MAX, RESTARTS_WITHIN_S = 5, 60.0
LOG_SHOWN_BYTES = 8_192


def add_to(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    about = "run the pipeline until it is interrupted, for one cloud"
    serve = actions.add_parser(
        "serve", help=about, description=about,
        epilog="example: ./kumoi pipeline serve --cloud mycloud --listen 192.0.2.7:5002",
    )  # fmt: skip
    serve.add_argument("--cloud", required=True, help="entry of clouds.yaml: where to build")
    serve.add_argument(
        "--listen", metavar="ADDRESS[:PORT]",
        help="where git and runners are answered (default: this machine's address towards the "
        "cloud, port 5002)",
    )  # fmt: skip
    serve.add_argument(
        "--url",
        help="how they reach it, where that is another address, such as https://ci.example:443",
    )
    serve.add_argument(
        "--image", metavar="NAME=FILE", action="append", default=[],
        help="upload this file where the cloud has no image of that name",
    )  # fmt: skip
    serve.add_argument(
        "--state-dir", metavar="DIR", help="what it keeps (default: ~/.local/state/kumoi/CLOUD)"
    )


def run(args: argparse.Namespace) -> int:
    client = Client(args.cloud)
    host = choice.of_pipeline_alone(args.cloud, args.state_dir)
    choice.require_usable(host)
    cloud = _settings(args, client, host)
    _prepare(cloud, host)
    _tell(args, client, cloud, host)
    keeper = RoleKeeper(cloud, host)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        keeper.start()
        say(
            f"serving; its logs are in {host.log_dir}. Ctrl-C ends it, and runs go on at the next start"
        )
        keeper.keep()
    except KeyboardInterrupt:
        return 0
    finally:
        keeper.end()


def _settings(args: argparse.Namespace, client: Client, host: HostSettings) -> CloudSettings:
    """What is there, with what the command line and the entry of clouds.yaml say."""
    entry = client.connection.config.config
    auth = entry["auth"]
    if client.connection.config.get_requests_verify_args()[0] is False:
        raise Invalid("this entry of clouds.yaml trusts anybody (verify: false): give it a cacert")
    keystone = str(auth["auth_url"]).rstrip("/").removesuffix("/v3")
    address, port = _listening(args.listen, keystone)
    there = config.file_of(CloudSettings, host.state).exists()
    before = config.read(CloudSettings, host.state).settings if there else CloudSettings()
    return config.changed(
        before,
        name="pipeline",
        region=client.connection.config.region_name or "",
        pipeline_address=address,
        pipeline_port=port,
        pipeline_public_url=(args.url or "").rstrip("/"),
        identity_url=keystone,
        identity_ca=str(Path(entry["cacert"]).absolute()) if entry.get("cacert") else SYSTEM_CA,
        identity_user_domain=_domain(auth, "user"),
        identity_project_domain=_domain(auth, "project"),
    )


def _listening(said: str | None, keystone: str) -> tuple[str, int]:
    """Raises Invalid."""
    port = CloudSettings().pipeline_port
    if not said:
        return _address_towards(keystone), port
    parts = urlsplit(f"//{said}")
    with contextlib.suppress(ValueError):
        return parts.hostname or "", parts.port or port
    raise Invalid(f"expected ADDRESS or ADDRESS:PORT, got {said!r}", field="listen")


def _address_towards(keystone: str) -> str:
    """This machine's own address on the way to the cloud; nothing is sent."""
    parts = urlsplit(keystone)
    try:
        found = socket.getaddrinfo(parts.hostname, parts.port or 443, type=socket.SOCK_DGRAM)
        family, kind, _, _, where = found[0]
        with socket.socket(family, kind) as probe:
            probe.connect(where)
            return str(probe.getsockname()[0])
    except OSError as cause:
        raise Invalid(f"there is no way to {keystone}: say --listen ADDRESS") from cause


def _domain(auth: dict[str, str], of: str) -> str:
    by_id = auth.get(f"{of}_domain_id") or auth.get("domain_id")
    by_name = auth.get(f"{of}_domain_name") or auth.get("domain_name")
    return by_name or (f"{BY_ID}{by_id}" if by_id else DEFAULT_DOMAIN)


def _prepare(cloud: CloudSettings, host: HostSettings) -> None:
    host.state.mkdir(parents=True, exist_ok=True, mode=0o700)
    for directory in (host.run_dir, host.log_dir, host.pipeline_dir):
        directory.mkdir(exist_ok=True, mode=0o700)
    pki.ensure(cloud, host, datetime.now(UTC))
    config.write(cloud, host.state)
    config.write(host, host.state)
    upgrade(members.pipeline_database(cloud, host))


def _tell(
    args: argparse.Namespace, client: Client, cloud: CloudSettings, host: HostSettings
) -> None:
    """What whoever pushes needs to know, and what the cloud lacks."""
    project = client.project
    ca = host.pki_dir / "ca.crt"
    say(f"the pipeline for {args.cloud}: {cloud.keystone_url}, users and projects of that cloud")
    say(f"  git:      git remote add kumoi {cloud.pipeline_url}/git/{project}/REPOSITORY.git")
    say(f"            GIT_SSL_CAINFO={ca} git push kumoi main")
    if args.state_dir is None:
        say(f"  then:     ./kumoi run follow --os-cloud {args.cloud}")
    say("  elsewhere: give the entry of clouds.yaml")
    say(f"            pipeline_url: {cloud.pipeline_url}")
    say(f"            pipeline_cacert: {ca.name} (a copy of {ca})")
    say(
        f"  servers of the cloud must reach {cloud.pipeline_url}: each run has a runner that calls there"
    )
    for line in default_images.provide(client.cloud(), _files(args.image)):
        say(f"  {line}")


def _files(said: list[str]) -> dict[str, Path]:
    """Raises Invalid."""
    found: dict[str, Path] = {}
    for each in said:
        name, _, file = each.partition("=")
        if not name or not Path(file).is_file():
            raise Invalid(f"expected NAME=FILE of an image file, got {each!r}", field="image")
        found[name] = Path(file)
    return found


@dataclass
class RoleKeeper:
    """The two roles as processes. Whoever calls has no other thread."""

    cloud: CloudSettings
    host: HostSettings
    running: dict[str, Popen[bytes]] = field(default_factory=dict)
    restarts: list[float] = field(default_factory=list)

    def start(self) -> None:
        """Until the pipeline answers. Raises Permanent with what a role said that could not begin."""
        for role in ROLES:
            self._start(role)
        deadline_s = time.monotonic() + START_S
        at = self.cloud.pipeline_listens_at
        where = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(at, at)  # noqa: S104 - all of this machine
        while time.monotonic() < deadline_s:
            for role, started in self.running.items():
                if started.poll() is not None:
                    raise Permanent(f"the role {role} ended: {self._last_line(role)}")
            with contextlib.suppress(OSError):
                socket.create_connection((where, self.cloud.pipeline_port), 1.0).close()
                return
            time.sleep(LOOK_EVERY_S)
        raise Permanent(f"the pipeline does not answer at {self.cloud.pipeline_url}")

    def keep(self) -> NoReturn:
        """Raises KeyboardInterrupt at a signal, Permanent where a role ends again and again."""
        while True:
            time.sleep(LOOK_EVERY_S)
            for role in [each for each, one in self.running.items() if one.poll() is not None]:
                now = time.monotonic()
                recent = [when for when in self.restarts if now - when < RESTARTS_WITHIN_S]
                self.restarts = [*recent, now]
                if len(self.restarts) > RESTARTS_MAX:
                    raise Permanent(
                        f"the role {role} ends again and again: {self._last_line(role)}"
                    )
                self._start(role)

    def end(self) -> None:
        for started in self.running.values():
            started.send_signal(signal.SIGTERM)
        for started in self.running.values():
            try:
                started.wait(ENDS_WITHIN_S)
            except TimeoutExpired:
                started.kill()

    def _start(self, role: str) -> None:
        self.running[role] = process.start(
            [sys.executable, "-P", "-m", "kumoi.main", "role", role, "--config", self.host.state],
            log=self._log(role),
            ends_with_us=True,
        )

    def _log(self, role: str) -> Path:
        return self.host.log_dir / f"{role}.log"

    def _last_line(self, role: str) -> str:
        """For people: what it printed last."""
        text = self._log(role).read_bytes()[-LOG_SHOWN_BYTES:].decode(errors="replace")
        lines = [line for line in text.splitlines() if line.startswith("kumoi: ")]
        last = (lines or text.splitlines() or ["it does not say why"])[-1]
        return last.removeprefix("kumoi: ")
