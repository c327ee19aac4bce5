"""A host of our own for the agent's system tests: a network namespace with a Linux bridge in place
of OVN, real containers, and a control plane that only remembers, over TLS as the real one.

Run as a program it is the agent itself, so that a test can kill it:
`python -m tests.system.container_host <state directory>`.
"""

from __future__ import annotations

import asyncio
import contextlib
import http.server
import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import parse_qs, urlsplit

import msgspec
from pyroute2.iproute.linux import IPRoute
from pyroute2.netlink.exceptions import NetlinkError
from tests import host_messages
from tests.host_messages import ServerReport

from kumoi.base import log, namespace, trees
from kumoi.base.clock import Clock
from kumoi.base.process import run
from kumoi.cloud.agent.purge import stop_servers
from kumoi.cloud.agent.serve import identify_boot, serve_with
from kumoi.cloud.drivers.instance import fence, loop
from kumoi.cloud.drivers.instance.lxc import cgroup, link, monitor, subids
from kumoi.cloud.drivers.instance.lxc.config import PIVOT
from kumoi.cloud.drivers.instance.lxc.paths import Paths
from kumoi.cloud.drivers.network import veth
from kumoi.cloud.hostapi.hello import PATH, Hello, HostHello
from kumoi.cloud.hostapi.messages import (
    ImageContent,
    InstanceSpec,
    InstanceState,
    Power,
    server_thing,
)
from kumoi.cloud.hostapi.things import ThingReport, WantedThings, raw
from kumoi.config import CloudSettings, HostSettings, changed, first_host, read, write
from kumoi.hosts.first_use import pki
from kumoi.hosts.units import rights, sandbox, users
from kumoi.hosts.wires import neighbours

ROOT = Path(__file__).parents[2]
NAME = "kct"
BRIDGE = "br0"
GATEWAY = "10.202.1.1"
BOUND_S = 20.0
GRACE_S = 5.0
Result = TypeVar("Result")


class BridgeSwitch:
    """A switch that is the kernel's bridge. As a real one does, it remembers its ports in a file of
    its own, whatever becomes of their links.
    """

    def __init__(self, host: HostSettings) -> None:
        self._file = host.state / "ports.json"

    def ensure_ports(self, ports: Mapping[str, str]) -> None:
        with IPRoute() as route:
            (bridge,) = route.link_lookup(ifname=BRIDGE)
            for name in ports:
                until(partial(veth.exists, name), bound_s=2)  # Its server may just make it.
                route.link("set", index=socket.if_nametoindex(name), master=bridge)
        self._save(self.list_ports() | dict(ports))

    def delete_ports(self, names: Collection[str]) -> None:
        known = self.list_ports()
        with IPRoute() as route:
            for name in names:
                with contextlib.suppress(OSError, NetlinkError):  # Its link is gone already.
                    route.link("set", index=socket.if_nametoindex(name), master=0)
        self._save({name: port for name, port in known.items() if name not in names})

    def list_ports(self) -> dict[str, str]:
        with contextlib.suppress(FileNotFoundError):
            ports: dict[str, str] = json.loads(self._file.read_text())
            return ports
        return {}

    def _save(self, ports: Mapping[str, str]) -> None:
        part = self._file.with_suffix(".part")
        part.write_text(json.dumps(ports))
        part.replace(self._file)


@dataclass
class ControlPlane:
    """What is wanted and what was reported."""

    image_files: dict[str, Path] = field(default_factory=dict)
    images: list[ImageContent] = field(default_factory=list)
    servers: dict[str, InstanceSpec] = field(default_factory=dict)
    reports: dict[str, ServerReport] = field(default_factory=dict)
    reported_at: dict[tuple[str, InstanceState], float] = field(default_factory=dict)
    hello: HostHello | None = None
    consoles: dict[str, str] = field(default_factory=dict)
    snapshots: dict[str, bytes] = field(default_factory=dict)
    revision: int = 1
    reachable: bool = True
    changed: threading.Condition = field(default_factory=threading.Condition)

    def want(self, *servers: InstanceSpec) -> None:
        with self.changed:
            for server in servers:
                self.servers[server.id] = server
            self.revision += 1
            self.changed.notify_all()

    def wanted(self, since: int, wait_s: float) -> WantedThings:
        with self.changed:
            self.changed.wait_for(lambda: self.revision > since, timeout=wait_s)
            return WantedThings(
                epoch="one",
                revision=self.revision,
                complete=since == 0,
                things=[raw(server_thing(server)) for server in self.servers.values()],
                images=[raw(image) for image in self.images],
            )

    def take(self, reports: list[ThingReport]) -> None:
        now = time.monotonic()
        with self.changed:
            for report in map(host_messages.server_report, reports):
                self.reports[report.id] = report
                self.reported_at.setdefault((report.id, report.state), now)
                wanted = self.servers.get(report.id)
                if report.state is InstanceState.ABSENT and wanted and wanted.power is Power.ABSENT:
                    del self.servers[report.id]
            self.changed.notify_all()

    def await_report(
        self, server: InstanceSpec, state: InstanceState, *, bound_s: float = BOUND_S
    ) -> ServerReport:
        """Wait until this server's generation is reported to be so."""

        def is_reported() -> bool:
            report = self.reports.get(server.id)
            return bool(report and report.state is state and report.generation == server.generation)

        with self.changed:
            assert self.changed.wait_for(is_reported, timeout=bound_s), self.reports.get(server.id)
            return self.reports[server.id]


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    control: ControlPlane

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        if not self.control.reachable:
            self._answer(503, b"")
        elif url.path == f"{PATH}/wanted":
            query = parse_qs(url.query)
            since, wait_s = int(query["since"][0]), float(query["wait_s"][0])
            wanted = self.control.wanted(since, wait_s)
            self._answer(200, msgspec.json.encode(wanted))
        else:
            file = self.control.image_files[url.path.rpartition("/")[2]]
            self._answer(200, file.read_bytes())

    def do_POST(self) -> None:
        body = self._body()
        if self.control.reachable:
            self.control.take(host_messages.read_reports(body))
        self._answer(204 if self.control.reachable else 503, b"")

    def do_PUT(self) -> None:
        kind, _, key = self.path.removeprefix(f"{PATH}/").partition("/")
        body = self._body()
        with self.control.changed:
            if kind == "hello":
                self.control.hello = msgspec.json.decode(body, type=HostHello)
            elif kind == "servers":
                self.control.consoles[key.partition("/")[0]] = body.decode()
            else:
                self.control.snapshots[key] = body
            self.control.changed.notify_all()
        if not self.control.reachable:
            self._answer(503, b"")
        elif kind == "hello":
            self._answer(200, msgspec.json.encode(Hello(release="0")))
        else:
            self._answer(204, b"")

    def _body(self) -> bytes:
        if "Content-Length" in self.headers:
            return self.rfile.read(int(self.headers["Content-Length"]))
        pieces = []
        while size := int(self.rfile.readline(), 16):
            pieces.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(pieces)

    def _answer(self, status: int, body: bytes) -> None:
        with contextlib.suppress(OSError):  # The agent was killed while it waited.
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Quiet."""


class HttpServer(http.server.ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False  # A long poll may wait for nobody.

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A killed agent breaks its connections: no news."""


@dataclass
class ContainerHost:
    config: CloudSettings
    here: HostSettings
    control: ControlPlane
    agent: subprocess.Popen[bytes] | None = None

    @property
    def paths(self) -> Paths:
        return Paths(self.here.agent_dir / "lxc")

    @property
    def namespace(self) -> Path:
        return Path("/run/netns") / self.here.name

    def inside(self, work: Callable[[], Result]) -> Result:
        """Do something in the host's network namespace, in a thread of its own."""
        return namespace.within(self.namespace, work)

    def start_agent(self) -> None:
        self.stop_agent()
        write(self.config, self.here.state)
        write(self.here, self.here.state)
        with (self.here.state / "agent.log").open("ab") as out:
            self.agent = subprocess.Popen(
                ["nsenter", f"--net={self.namespace}", "--", sys.executable, "-m", __spec__.name,
                 self.here.state_dir],
                cwd=ROOT,
                env={**os.environ, "PYTHONPATH": f"{ROOT / 'src'}:{ROOT}"},
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
            )  # fmt: skip

    def kill_agent(self) -> None:
        """As the kernel would, with no chance to tidy up."""
        self.stop_agent()

    def stop_agent(self) -> None:
        if self.agent:
            self.agent.send_signal(signal.SIGKILL)
            self.agent.wait()
            self.agent = None

    def reboot(self, *, grace_s: float = GRACE_S) -> None:
        """As `kumoi down` ends the servers of a host; its links go with the host."""
        self.stop_agent()
        stop_servers(self.here, grace_s=grace_s)
        if self.namespace.exists():
            self.inside(lambda: veth.delete(sorted(link.list_links())))

    def pid(self, server: InstanceSpec) -> int:
        """Of its first process; 0 while it does not run."""
        running = monitor.find(self.paths, server.id)
        return running.pid if running else 0

    def attach(self, server: InstanceSpec, *command: str, check: bool = True) -> str:
        """Run a command inside a server, within its limits."""
        done = self.inside(
            lambda: run(
                ["lxc-attach", "-P", self.paths.servers, "-n", server.id, "--", *command],
                check=check,
                timeout_s=BOUND_S,
            )
        )
        return done.out + done.err

    def banner(self, address: str) -> str:
        """What sshd says first; empty while nobody answers."""

        def connect() -> str:
            try:
                with socket.create_connection((address, 22), timeout=1) as opened:
                    return opened.recv(64).decode(errors="replace")
            except OSError:
                return ""

        return self.inside(connect)

    def leftovers(self) -> list[str]:
        """All that servers have on this machine: none when none is wanted."""
        found = [f"process {name}" for name in monitor.find_all(self.paths)]
        if self.paths.servers.exists():
            found += [f"directory {path.name}" for path in self.paths.servers.iterdir()]
            found += [f"loop {path}" for path in self.paths.servers.iterdir()
                      if loop.is_attached(path)]  # fmt: skip
        found += [f"port {name}" for name in BridgeSwitch(self.here).list_ports()]
        found += [f"link {name}" for name in self.inside(_link_names) if name[0] in "kp"]
        found += [
            f"mount {line}"
            for line in Path("/proc/self/mounts").read_text().splitlines()
            if str(self.here.state) in line
        ]
        found += [
            f"loop {path.read_text()}"
            for path in Path("/sys/block").glob("loop*/loop/backing_file")
            if str(self.paths.servers) in path.read_text()
        ]
        for tree in fence.ROOT.glob("*/"):
            groups = (tree / fence.of_servers(self.here.name)).glob("*/")
            found += [f"group {path}" for path in groups if path.name != PIVOT]
        wanted = self.here.agent_dir / "wanted"
        found += [f"wanted {path.name}" for path in wanted.glob("*/*")]
        return sorted(set(found))


def _link_names() -> list[str]:
    return [name for _, name in socket.if_nameindex()]


def until(
    level: Callable[[], Any],
    *,
    bound_s: float = BOUND_S,
    why: Callable[[], object] = lambda: "it did not come about",
) -> None:
    """Wait for a level, with a bound; `why` is asked when it was in vain."""
    deadline = time.monotonic() + bound_s
    while not level():
        assert time.monotonic() < deadline, why()
        time.sleep(0.01)


@contextlib.contextmanager
def container_host(image: Path, sha256: str, **settings: Any) -> Iterator[ContainerHost]:
    """The host, without its agent; its settings but for these; nothing is left of it at the end, nor of a killed run before."""
    state = Path(f"/var/tmp/{NAME}-test")
    config = CloudSettings(name=NAME, underlay_cidr="10.202.0.0/28", public_cidr="10.202.2.0/24")
    here = changed(first_host(config, str(state)), **settings)
    host = ContainerHost(config, here, ControlPlane(image_files={sha256: image}))
    _tear_down(host)
    state.mkdir(parents=True)
    pki.ensure(config, here, datetime.now(UTC))
    users.ensure(config, here)  # The agent looks up whom it starts proxies as.
    _make_namespace(config, here)
    server = host.inside(lambda: _serve(config, here, host.control))
    try:
        yield host
    finally:
        server.shutdown()
        server.server_close()
        _tear_down(host)


def _make_namespace(cloud: CloudSettings, host: HostSettings) -> None:
    neighbours.raise_most()
    run(["ip", "netns", "add", host.name])
    for line in (
        "link set dev lo up",
        f"address add {cloud.control_address}/32 dev lo",
        f"link add name {BRIDGE} type bridge",
        f"address add {GATEWAY}/24 dev {BRIDGE}",
        f"link set dev {BRIDGE} up",
    ):
        run(["ip", "-n", host.name, *line.split()])


def _serve(cloud: CloudSettings, host: HostSettings, control: ControlPlane) -> HttpServer:
    handler = type("BoundHandler", (Handler,), {"control": control})
    server = HttpServer((cloud.control_address, cloud.host_api_port), handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(host.pki_dir / "api.crt", host.pki_dir / "api.key")
    context.load_verify_locations(host.pki_dir / "ca.crt")
    context.verify_mode = ssl.CERT_REQUIRED
    server.socket = context.wrap_socket(
        server.socket, server_side=True, do_handshake_on_connect=False
    )
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


def _tear_down(host: ContainerHost) -> None:
    host.reboot(grace_s=0)
    subids.release(host.paths.host_dir)
    if host.namespace.exists():
        run(["ip", "netns", "delete", host.here.name])
    users.remove(host.here)
    trees.remove(host.here.state)  # Tens of thousands of files: no time fits all machines.
    cgroup.remove_empty(fence.of_servers(host.here.name))


def main() -> None:
    directory = Path(sys.argv[1])
    cloud = read(CloudSettings, directory).settings
    host = read(HostSettings, directory).settings
    log.set_up("agent")
    log.event("agent.began", argv=json.dumps(sys.argv))
    boot = identify_boot(host)
    sandbox.apply(rights.of_unit(cloud, host, "agent"), sys.executable)
    asyncio.run(serve_with(cloud, host, Clock(), switch=BridgeSwitch(host), host_boot=boot))


def image_of(sha256: str, path: Path) -> ImageContent:
    return ImageContent(id=sha256, sha256=sha256, disk_format="root-tar")


if __name__ == "__main__":
    main()
