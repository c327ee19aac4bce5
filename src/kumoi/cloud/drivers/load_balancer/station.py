"""Stations on a host: a network namespace for each balancer, with the virtual address, plugged into
the host's switch.

Called by agent/kinds/load_balancer.py, in threads of the agent, whose network namespace is the host's. What a
station was made by is kept beside it in a file; the namespace itself goes with a reboot. Nothing
listens in it and nothing runs but what a proxy opens: it is there to open connections from.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from kumoi.base import files, namespace
from kumoi.base.errors import Transient
from kumoi.base.files import Promise
from kumoi.cloud.drivers.instance import kernel
from kumoi.cloud.drivers.network import veth
from kumoi.cloud.drivers.network.interface import Switch
from kumoi.cloud.hostapi.load_balancer import BalancerThing, StationLink

INNER = "eth0"
LINK_DIGITS = 12
_PERMANENT = 0x80  # Of a neighbour that nobody asks for again: Linux's NUD_PERMANENT.
Result = TypeVar("Result")


class StationRecord(msgspec.Struct, frozen=True, kw_only=True):
    """What a station was made by. Whether it answers pings can be changed, and is no part of `link`."""

    address: str
    link: StationLink
    answers_ping: bool = True


@dataclass(frozen=True, slots=True)
class SeenStation:
    """`record` is None where there is no whole station; `plugged` is whether the switch has its port."""

    id: str
    record: StationRecord | None
    plugged: bool = False


def record_of(balancer: BalancerThing) -> StationRecord:
    """Of a station that is as wanted."""
    return StationRecord(
        address=balancer.address,
        link=msgspec.structs.replace(balancer.station, answers_ping=True),
        answers_ping=balancer.station.answers_ping,
    )


class Stations:
    """Of one host. `directory` keeps their records."""

    def __init__(self, *, host_name: str, directory: Path, switch: Switch) -> None:
        self._host_name = host_name
        self._directory = directory
        self._switch = switch
        directory.mkdir(parents=True, exist_ok=True)
        self._sockets = ThreadPoolExecutor(1, thread_name_prefix="stations")

    def namespace(self, balancer_id: str) -> Path:
        return namespace.NAMESPACES / f"{prefix(self._host_name)}{balancer_id}"

    def directory_of(self, balancer_id: str) -> Path:
        return self._directory / balancer_id

    def list_ids(self) -> list[str]:
        return [path.name for path in self._directory.iterdir()]

    def observe(self, balancer_id: str) -> SeenStation | None:
        """None where nothing is left of it."""
        directory = self.directory_of(balancer_id)
        if not directory.exists():
            return None
        try:
            record = msgspec.json.decode((directory / "station").read_bytes(), type=StationRecord)
        except (FileNotFoundError, msgspec.DecodeError):
            return SeenStation(balancer_id, None)
        name = link_name(record.link.port_id)
        if not self.namespace(balancer_id).exists() or not veth.exists(name):
            return SeenStation(balancer_id, None)
        return SeenStation(
            balancer_id, record, self._switch.list_ports().get(name) == record.link.port_id
        )

    def make(self, balancer: BalancerThing) -> None:
        """The namespace, its link and its addresses, anew where they were otherwise."""
        directory = self.directory_of(balancer.id)
        directory.mkdir(exist_ok=True)
        directory.chmod(0o711)
        (directory / "station").unlink(missing_ok=True)
        path = self.namespace(balancer.id)
        namespace.remove(path)
        _make_namespace(path)
        name = link_name(balancer.station.port_id)
        veth.delete([name])
        with _opened(path) as descriptor:
            _make_link(name, balancer.station, descriptor)
        namespace.within(path, lambda: _address(balancer))
        self._keep(balancer)

    def answer_pings(self, balancer: BalancerThing) -> None:
        """Or do not, as wanted."""
        self.inside(balancer.id, lambda: _set_pings(balancer))
        self._keep(balancer)

    def plug(self, balancer: BalancerThing) -> None:
        port_id = balancer.station.port_id
        self._switch.ensure_ports({link_name(port_id): port_id})

    def delete(self, balancer_id: str) -> None:
        directory = self.directory_of(balancer_id)
        with contextlib.suppress(FileNotFoundError, msgspec.DecodeError):
            content = (directory / "station").read_bytes()
            name = link_name(msgspec.json.decode(content, type=StationRecord).link.port_id)
            self._switch.delete_ports([name])
            veth.delete([name])
        namespace.remove(self.namespace(balancer_id))
        shutil.rmtree(directory, ignore_errors=True)

    def _keep(self, balancer: BalancerThing) -> None:
        path = self.directory_of(balancer.id) / "station"
        files.replace(path, msgspec.json.encode(record_of(balancer)), promise=Promise.KILL)

    def opened(self, balancer_id: str, family: int, kind: int, protocol: int = 0) -> socket.socket:
        """A socket of that station's network, which other processes may be given. Raises OSError where
        there is no such station.
        """
        with _opened(self.namespace(balancer_id)) as descriptor:

            def make() -> socket.socket:
                kernel.enter_network(descriptor)
                return socket.socket(family, kind, protocol)

            return self._sockets.submit(make).result()

    def inside(self, balancer_id: str, work: Callable[[], Result]) -> Result:
        """What `work` gives, done in a thread in that station's network."""
        return namespace.within(self.namespace(balancer_id), work)


def prefix(host_name: str) -> str:
    """With which the names of the host's stations begin."""
    return f"{host_name}-lb-"


def link_name(port_id: str) -> str:
    """Name of the host's end of a station's link."""
    return "b" + port_id.replace("-", "")[:LINK_DIGITS]


def remove_all(host_name: str) -> None:
    """Of a host whose agent does not run: end what runs in its stations, and remove them."""
    for path in namespace.NAMESPACES.glob(f"{prefix(host_name)}*"):
        namespace.remove(path)


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[int]:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _make_namespace(path: Path) -> None:
    def make() -> None:
        kernel.leave_network()
        path.touch(mode=0o444)
        kernel.mount(
            f"/proc/self/task/{threading.get_native_id()}/ns/net", path, flags=kernel.MS_BIND
        )

    try:
        with ThreadPoolExecutor(1) as thread:  # It cannot go back, and ends.
            thread.submit(make).result()
    except OSError as cause:
        raise Transient("make the network namespace of a balancer") from cause


def _make_link(name: str, station: StationLink, inner: int) -> None:
    with veth.netlink(f"make link {name}") as route:
        peer = {
            "ifname": INNER,
            "address": station.mac,
            "mtu": station.mtu,
            "net_ns_fd": inner,
        }
        route.link("add", ifname=name, kind="veth", mtu=station.mtu, state="up", peer=peer)
    veth.disable_offload(name)


def _address(balancer: BalancerThing) -> None:
    """In the namespace: addresses, the way to everybody, and where connections are opened from."""
    station = balancer.station
    own, _, length = station.address.partition("/")
    is_ipv4 = ":" not in balancer.address
    flags: dict[str, Any] = {} if is_ipv4 else {"flags": 0x02}  # No time is lost for duplicates.
    for name, value in _settings(station).items():
        Path("/proc/sys/net", name).write_text(f"{value}\n")
    _set_pings(balancer)
    with veth.netlink("give a balancer's station its addresses") as route:
        lo, link = socket.if_nametoindex("lo"), socket.if_nametoindex(INNER)
        for index in (lo, link):
            route.link("set", index=index, state="up")
        whole = 32 if is_ipv4 else 128
        route.addr("add", index=lo, address=balancer.address, prefixlen=whole, **flags)
        route.addr("add", index=link, address=own, prefixlen=int(length), **flags)
        # The first packet is not to wait for an answer to a question that was asked too early.
        route.neigh(
            "replace", dst=station.gateway, lladdr=station.gateway_mac, ifindex=link,
            state=_PERMANENT,
        )  # fmt: skip
        default = "default" if is_ipv4 else "::/0"
        route.route(
            "add", dst=default, gateway=station.gateway, oif=link, prefsrc=balancer.address,
            family=socket.AF_INET if is_ipv4 else socket.AF_INET6,
        )  # fmt: skip
    veth.disable_offload(INNER)


def _settings(station: StationLink) -> dict[str, str]:
    return {
        "ipv4/ip_local_port_range": f"{station.first_free_port} {station.last_port}",
        "ipv4/tcp_tw_reuse": "1",
        "ipv4/ping_group_range": "0 0",
    }


def _set_pings(balancer: BalancerThing) -> None:
    is_ipv4 = ":" not in balancer.address
    name = "ipv4/icmp_echo_ignore_all" if is_ipv4 else "ipv6/icmp/echo_ignore_all"
    value = "0" if balancer.station.answers_ping else "1"
    Path("/proc/sys/net", name).write_text(f"{value}\n")
