"""A load balancer: from the request that makes it to its first answer, requests per second beside a
member asked directly, and what a proxy holds.

Members are nginx, and wrk asks: both are the machine's programs, in the networks of containers. Each
balancer has one member, and who is asked directly is none: a switch remembers for some seconds which
port of a client a member answered as a balancer.
"""

from __future__ import annotations

import contextlib
import re
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from openstack.connection import Connection

from bench import server
from bench.measure import Figure, until
from kumoi import config
from kumoi.base import namespace
from kumoi.base.process import run
from kumoi.cloud.drivers.load_balancer.station import prefix
from kumoi.config import HostSettings
from kumoi.hosts.install import packages

PORT = 8080
TIMES = 5
KEPT_S = 5
NEW_S = 2
TOGETHER = 32
KNOCK_S = 0.02
MB, MIB = 1_000_000, 1 << 20
PORTS = Path("/proc/sys/net/ipv4/ip_local_port_range")  # Of the client: few are used twice.
PROGRAMS = {"nginx": "nginx", "wrk": "wrk"}
MONITOR = {"type": "TCP", "delay": 1, "timeout": 1, "max_retries": 1, "max_retries_down": 2}
NGINX = """
worker_processes 1; daemon off; pid {here}/pid; error_log stderr crit; user root;
events {{ worker_connections 1024; }}
http {{
    access_log off; keepalive_requests 1000000000;
    client_body_temp_path {here}/body; proxy_temp_path {here}/proxy; fastcgi_temp_path {here}/fastcgi;
    uwsgi_temp_path {here}/uwsgi; scgi_temp_path {here}/scgi;
    server {{ listen 8080 backlog=4096; location / {{ return 200 "hello\\n"; }} }}
}}
"""


ANSWERED = re.compile(r"(\d+) requests in .*Requests/sec:\s+([\d.]+)", re.DOTALL)
ERRORS = re.compile(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)")


@dataclass(frozen=True, slots=True)
class Rate:
    """Answers per second, and the share of the requests that got none, of 1."""

    per_s: float
    unanswered: float


@dataclass(frozen=True, slots=True)
class Site:
    """Where nginx serves, by names, and the process in whose network they are asked."""

    cloud: Connection
    subnet_id: str
    addresses: Mapping[str, str]
    client: int

    def balancer(self, protocol: str, **pool: Any) -> Any:
        wanted = {
            "protocol": protocol,
            "lb_algorithm": "ROUND_ROBIN",
            "members": [{"address": self.addresses[protocol], "protocol_port": PORT}],
            **pool,
        }
        listener = {"protocol": protocol, "protocol_port": 80, "default_pool": wanted}
        return self.cloud.load_balancer.create_load_balancer(
            name="bench", vip_subnet_id=self.subnet_id, listeners=[listener]
        )

    def delete(self, balancer: Any) -> None:
        self.cloud.load_balancer.delete_load_balancer(balancer.id, cascade=True)

    def rate(self, address: str, port: int, *, keeps: bool) -> Rate:
        """On 32 connections."""
        header = [] if keeps else ["-H", "Connection: close"]
        words = [
            "wrk",
            "-t1",
            f"-c{TOGETHER}",
            f"-d{KEPT_S if keeps else NEW_S}",
            *header,
            f"http://{address}:{port}/",
        ]
        said = run(["nsenter", "-t", str(self.client), "-n", *words], timeout_s=60).out
        found = ANSWERED.search(said)
        if found is None or "Non-2xx" in said:
            raise RuntimeError(said)
        errors = ERRORS.search(said)
        refused = sum(int(each) for each in errors.groups()) if errors is not None else 0
        return Rate(float(found[2]), refused / (int(found[1]) + refused))


def figures(cloud: Connection, state_dir: str) -> list[Figure]:
    packages.ensure(package for program, package in PROGRAMS.items() if not shutil.which(program))
    host = config.read(HostSettings, Path(state_dir)).settings
    with _site(cloud, host) as site:
        return [*_first_answers(site), *_rates(site, host)]


def _first_answers(site: Site) -> Iterator[Figure]:
    for protocol, target in (("TCP", 0.5), ("HTTP", 1.0)):
        for words, pool in (("", {}), (", with a monitor", {"healthmonitor": MONITOR})):
            values = [_first_answer(site, protocol, pool) for _ in range(TIMES)]
            yield Figure(f"POST balancer → answer, {protocol}{words}", values, "s", target)


def _first_answer(site: Site, protocol: str, pool: dict[str, Any]) -> float:
    """To a client that asks once the balancer says that it is there, and each time asks the network
    where the address is: whoever asked that a moment too early does not ask it again for a second.
    """
    began = time.perf_counter()
    made = site.balancer(protocol, **pool)
    until(lambda: _is_active(site, made), within_s=30)
    _inside(site.client, lambda: until(lambda: _answers(made.vip_address), within_s=30))
    took = time.perf_counter() - began
    site.delete(made)
    return took


def _is_active(site: Site, balancer: Any) -> bool:
    now = site.cloud.load_balancer.get_load_balancer(balancer.id)
    return bool(now.provisioning_status == "ACTIVE")


def _answers(address: str) -> bool:
    run(["ip", "neigh", "flush", "to", address])
    with contextlib.suppress(OSError), socket.create_connection((address, 80), KNOCK_S) as peer:
        peer.settimeout(1)
        peer.sendall(b"GET / HTTP/1.1\r\nHost: bench\r\n\r\n")
        return b" 200 " in peer.recv(100)
    return False


def _rates(site: Site, host: HostSettings) -> Iterator[Figure]:
    """Each is asked in turn, so that what else the machine does falls on all."""
    with contextlib.ExitStack() as ends:
        made = {protocol: site.balancer(protocol) for protocol in ("TCP", "HTTP")}
        for one in made.values():
            ends.callback(site.delete, one)
        yield from _rates_of(site, host, made)


def _rates_of(site: Site, host: HostSettings, made: Mapping[str, Any]) -> Iterator[Figure]:
    ends = {"directly": (site.addresses["directly"], PORT)}
    ends |= {protocol: (one.vip_address, 80) for protocol, one in made.items()}
    for one in made.values():
        _inside(site.client, lambda one=one: until(lambda: _answers(one.vip_address), within_s=30))  # type: ignore[misc]
    for words, keeps in (("kept connections", True), ("new connections", False)):
        rates = [
            {name: site.rate(*end, keeps=keeps) for name, end in ends.items()} for _ in range(3)
        ]
        if any(turn["directly"].unanswered for turn in rates):
            raise RuntimeError(f"nginx, asked directly, left requests unanswered, {words}")
        direct = [turn["directly"].per_s for turn in rates]
        yield Figure(f"nginx asked directly, {words}", direct, "per s")
        for protocol, target in (("TCP", 0.8), ("HTTP", 0.5)):
            shares = [turn[protocol].per_s / turn["directly"].per_s for turn in rates]
            yield Figure(
                f"  by a balancer of {protocol}: share", shares, "of 1", target, at_least=True
            )
            unanswered = [turn[protocol].unanswered * 100 for turn in rates]
            yield Figure("    not answered", unanswered, "%")
    path = namespace.NAMESPACES / f"{prefix(host.name)}{made['HTTP'].id}"
    held = [_held_mib(pid) for pid in namespace.processes(path)]
    yield Figure("memory of a proxy (PSS)", [pss for _, pss in held], "MiB", 15 * MB / MIB)
    yield Figure(
        "  with all that it has in common with others (RSS)", [rss for rss, _ in held], "MiB"
    )


def _held_mib(pid: int) -> tuple[float, float]:
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]
    found = {line.split(":")[0]: int(line.split()[1]) / 1024 for line in lines}
    return found["Rss"], found["Pss"]


def _inside(pid: int, work: Callable[[], Any]) -> Any:
    """Done in a process's network."""
    return namespace.within(Path(f"/proc/{pid}/ns/net"), work)


@contextlib.contextmanager
def _site(cloud: Connection, host: HostSettings) -> Iterator[Site]:
    with server.network(cloud, port=PORT) as (network_id, group), contextlib.ExitStack() as stack:
        image, flavor = server.image_and_flavor(cloud)
        pids, addresses = {}, {}
        for name in ("directly", "TCP", "HTTP", "client"):
            made = cloud.compute.create_server(
                name=f"bench-{name}",
                image_id=image,
                flavor_id=flavor,
                networks=[{"uuid": network_id}],
                security_groups=[{"name": group}],
            )
            stack.callback(_delete, cloud, made)
            made = cloud.compute.wait_for_server(made, interval=0.1, wait=60)
            pids[name] = _init_pid(host, made.id)
            (port,) = cloud.network.ports(device_id=made.id)
            addresses[name] = port.fixed_ips[0]["ip_address"]
            if name != "client":
                stack.enter_context(_nginx(pids[name]))
        _inside(pids["client"], lambda: PORTS.write_text("1024 65535"))
        (subnet,) = cloud.network.subnets(network_id=network_id)
        yield Site(cloud, subnet.id, addresses, pids["client"])


def _delete(cloud: Connection, made: Any) -> None:
    cloud.compute.delete_server(made)
    cloud.compute.wait_for_delete(made, interval=0.1, wait=60)


def _init_pid(host: HostSettings, server_id: str) -> int:
    where = host.agent_dir / "lxc/servers"
    asked = ["lxc-info", "-P", str(where), "-n", server_id, "-p", "-H"]
    return int(run(asked, namespace=host.name).out)


@contextlib.contextmanager
def _nginx(pid: int) -> Iterator[None]:
    with tempfile.TemporaryDirectory() as here:
        text = Path(here, "nginx.conf")
        text.write_text(NGINX.format(here=here))
        words = ["nginx", "-c", str(text), "-e", "stderr"]
        with subprocess.Popen(["nsenter", "-t", str(pid), "-n", *words]) as serving:
            try:
                yield
            finally:
                serving.terminate()
