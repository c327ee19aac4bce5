"""The links between servers and the host's switch: veth pairs, made by netlink in this process.

All functions work in the network namespace of the calling thread. A link that exists already, or is
gone already, is no error. The host's end is created up: a switch that meets it in between reads its
flags and writes them back with one more, and would take it down again. Checksum offload is turned off
at both ends: the switch's user-space datapath forwards packets as they are, and a checksum left to the
hardware would never be filled in.
"""

from __future__ import annotations

import array
import contextlib
import errno
import fcntl
import os
import re
import socket
import struct
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from pyroute2.iproute.linux import IPRoute
from pyroute2.netlink.exceptions import NetlinkError

from kumoi.base.errors import Transient
from kumoi.cloud.drivers.instance import kernel
from kumoi.cloud.drivers.instance.wire import LINK_ID_DIGITS, Wire

_SIOCGIFFLAGS = 0x8913
_SIOCETHTOOL = 0x8946
_ETHTOOL_STXCSUM = 0x17
_IFF_UP = 1
_OURS = re.compile(rf"k[0-9a-f]{{{LINK_ID_DIGITS}}}")
_GONE = (errno.ENODEV, errno.ENOENT)


def ensure(wire: Wire) -> None:
    """Make a link with both ends on the host, the host's end up."""
    with _netlink(f"make link {wire.link}") as route:
        try:
            route.link(
                "add",
                ifname=wire.link,
                kind="veth",
                mtu=wire.mtu,
                state="up",
                peer={"ifname": wire.peer, "address": wire.mac, "mtu": wire.mtu},
            )
        except NetlinkError as cause:
            if cause.code != errno.EEXIST:
                raise
        route.link("set", ifname=wire.link, state="up")
    for name in (wire.link, wire.peer):
        disable_offload(name)


def attach(wire: Wire, *, pid: int) -> None:
    """Make a link whose inner end is in the network namespace of a running server, up."""

    def bring_up() -> None:
        kernel.enter_network(namespace)
        with _netlink(f"bring up {wire.name}") as route:
            index = socket.if_nametoindex(wire.peer)
            route.link("set", index=index, ifname=wire.name)
            route.link("set", index=index, state="up")

    ensure(wire)
    try:
        namespace = os.open(f"/proc/{pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    except OSError as cause:
        raise Transient("enter a server's network: it has just ended") from cause
    try:
        with _netlink(f"move link {wire.peer} into its server") as route:
            route.link("set", ifname=wire.peer, net_ns_fd=namespace)
        with ThreadPoolExecutor(max_workers=1, thread_name_prefix="network") as thread:
            thread.submit(bring_up).result()
    finally:
        os.close(namespace)


def delete(names: Iterable[str]) -> None:
    """Remove links by the name of the host's end, and with it the other end."""
    wanted = list(names)
    if not wanted:
        return
    with _netlink("remove links") as route:
        for name in wanted:
            with _ignoring_gone():
                route.link("del", ifname=name)


def list_links() -> frozenset[str]:
    """The host's ends of all links of servers."""
    return frozenset(name for _, name in socket.if_nameindex() if _OURS.fullmatch(name))


def exists(name: str) -> bool:
    """Whether there is a link of that name."""
    try:
        socket.if_nametoindex(name)
    except OSError:
        return False
    return True


def is_up(name: str) -> bool:
    """Whether there is a link of that name and it is up."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as opened:
        try:
            answer = fcntl.ioctl(opened, _SIOCGIFFLAGS, struct.pack("16s24x", name.encode()))
        except OSError:
            return False
    flags: int = struct.unpack_from("=H", answer, 16)[0]
    return bool(flags & _IFF_UP)


def set_up(names: Iterable[str]) -> None:
    """Bring up those of the links that are down."""
    down = [name for name in names if not is_up(name)]
    if not down:
        return
    with _netlink("bring up links") as route:
        for name in down:
            with _ignoring_gone():
                route.link("set", ifname=name, state="up")


def disable_offload(name: str) -> None:
    """Turn transmit checksum offload off; an end that is in its server already is left alone."""
    value = array.array("B", struct.pack("=II", _ETHTOOL_STXCSUM, 0))
    address, _ = value.buffer_info()
    request = struct.pack("16sP16x", name.encode(), address)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as opened:
        try:
            fcntl.ioctl(opened, _SIOCETHTOOL, request)
        except OSError as cause:
            if cause.errno not in _GONE:
                raise Transient(f"turn off checksum offload of {name}") from cause


@contextlib.contextmanager
def _netlink(what: str) -> Any:
    try:
        with IPRoute() as route:
            yield route
    except (NetlinkError, OSError) as cause:
        raise Transient(what) from cause


@contextlib.contextmanager
def _ignoring_gone() -> Any:
    """A link that is gone already is no error."""
    try:
        yield
    except NetlinkError as cause:
        if cause.code not in _GONE:
            raise
