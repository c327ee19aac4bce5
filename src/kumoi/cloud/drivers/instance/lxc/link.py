"""The links between servers and the host's switch: veth pairs, made by netlink in this process.

All functions work in the network namespace of the calling thread. A link that exists already, or is
gone already, is no error. The host's end is created up: a switch that meets it in between reads its
flags and writes them back with one more, and would take it down again. Checksum offload is turned off
at both ends: the switch's user-space datapath forwards packets as they are, and a checksum left to the
hardware would never be filled in.
"""

from __future__ import annotations

import errno
import os
import re
import socket
from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor

from kumoi.base.errors import Transient
from kumoi.cloud.drivers.instance import kernel
from kumoi.cloud.drivers.instance.wire import LINK_ID_DIGITS, Wire
from kumoi.cloud.drivers.network import router_guard, veth
from kumoi.cloud.drivers.network.mac_guard import MacTables
from kumoi.cloud.drivers.network.veth import netlink

_OURS = re.compile(rf"k[0-9a-f]{{{LINK_ID_DIGITS}}}")


def ensure(wire: Wire, macs: MacTables) -> None:
    """Make a link with both ends on the host, the host's end up."""
    with netlink(f"make link {wire.link}") as route:
        with veth.ignoring([errno.EEXIST]):
            route.link(
                "add",
                ifname=wire.link,
                kind="veth",
                mtu=wire.mtu,
                state="up",
                peer={"ifname": wire.peer, "address": wire.mac, "mtu": wire.mtu},
            )
        route.link("set", ifname=wire.link, state="up")
    for name in (wire.link, wire.peer):
        veth.disable_offload(name)
    guard([wire], macs)


def guard(wires: Collection[Wire], macs: MacTables) -> None:
    """Let out of each link what its server may send of routers, or from how many MACs, whatever was let out before."""
    router_guard.hold_back(wire.link for wire in wires if not wire.may_advertise)
    macs.bound({wire.link: wire.mac for wire in wires if wire.may_advertise})


def attach(wire: Wire, macs: MacTables, *, pid: int) -> None:
    """Make a link whose inner end is in the network namespace of a running server, up."""

    def bring_up() -> None:
        kernel.enter_network(namespace)
        with netlink(f"bring up {wire.name}") as route:
            index = socket.if_nametoindex(wire.peer)
            route.link("set", index=index, ifname=wire.name)
            route.link("set", index=index, state="up")

    ensure(wire, macs)
    try:
        namespace = os.open(f"/proc/{pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    except OSError as cause:
        raise Transient("enter a server's network: it has just ended") from cause
    try:
        with netlink(f"move link {wire.peer} into its server") as route:
            route.link("set", ifname=wire.peer, net_ns_fd=namespace)
        with ThreadPoolExecutor(max_workers=1, thread_name_prefix="network") as thread:
            thread.submit(bring_up).result()
    finally:
        os.close(namespace)


def is_ours(name: str) -> bool:
    """Whether it is the host's end of a server's link, by its name."""
    return bool(_OURS.fullmatch(name))


def list_links() -> frozenset[str]:
    """The host's ends of all links of servers."""
    return frozenset(name for _, name in socket.if_nameindex() if is_ours(name))
