"""Network namespaces, bridges and veth pairs of the machine, by netlink.

Every `ensure_` may be called again and again. virtual.py says which there are; nothing here knows.
"""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pyroute2 import IPRoute, NetlinkError, NetNS, netns

from kumoi.base import process
from kumoi.base.errors import Transient
from kumoi.hosts.units import namespace_path

OWN_NAMESPACE = Path("/proc/self/ns/net")


@dataclass(frozen=True, slots=True)
class Veth:
    """A pair of links: `name` here in `bridge`, `inner` in `namespace`."""

    name: str
    bridge: str
    namespace: str
    inner: str


def ensure_namespace(name: str) -> bool:
    """Whether it had to be made."""
    if name in netns.listnetns():
        if _is_namespace(name):
            return False
        namespace_path(name).unlink()
    with _attempt(f"make the network namespace {name}"):
        netns.create(name)
        with NetNS(name) as inside:
            inside.link("set", index=inside.link_lookup(ifname="lo")[0], state="up")
    return True


def delete_namespace(name: str) -> None:
    if name in netns.listnetns():
        with _attempt(f"remove the network namespace {name}"):
            if _is_namespace(name):
                netns.remove(name)
            else:
                namespace_path(name).unlink()


def ensure_bridge(name: str, *, address: str, prefix: int) -> None:
    with _attempt(f"make the bridge {name}"), IPRoute() as here:
        if not here.link_lookup(ifname=name):
            here.link("add", ifname=name, kind="bridge")
        index = here.link_lookup(ifname=name)[0]
        here.link("set", index=index, state="up")
        here.addr("replace", index=index, address=address, prefixlen=prefix)
    process.run(["ethtool", "-K", name, "tx", "off"])


def ensure_veth(veth: Veth) -> None:
    """Both ends up and without checksum offload: a user-space switch sees what was not filled in."""
    with (
        _attempt(f"make the link {veth.name}"),
        IPRoute() as here,
        NetNS(veth.namespace) as inside,
    ):
        if not inside.link_lookup(ifname=veth.inner):
            for index in here.link_lookup(ifname=veth.name):
                here.link("del", index=index)  # Its other end is in a namespace of yesterday.
            peer = {"ifname": veth.inner, "net_ns_fd": veth.namespace}
            here.link("add", ifname=veth.name, kind="veth", peer=peer)
        bridge = here.link_lookup(ifname=veth.bridge)[0]
        index = here.link_lookup(ifname=veth.name)[0]
        here.link("set", index=index, master=bridge, state="up")
        inside.link("set", index=inside.link_lookup(ifname=veth.inner)[0], state="up")
    process.run(["ethtool", "-K", veth.name, "tx", "off", "rx", "off"])
    inner = ["ethtool", "-K", veth.inner, "tx", "off", "rx", "off"]
    process.run(inner, namespace=veth.namespace)


def delete_link(name: str) -> None:
    with _attempt(f"remove the link {name}"), IPRoute() as here:
        for index in here.link_lookup(ifname=name):
            here.link("del", index=index)


def names() -> set[str]:
    """Of every link in the machine's own namespace."""
    with IPRoute() as here:
        return {link.get("ifname") for link in here.get_links()}


def _is_namespace(name: str) -> bool:
    """An empty file stays when a mount is gone: after a reboot, or a kill in the middle."""
    return namespace_path(name).stat().st_dev == OWN_NAMESPACE.stat().st_dev


@contextlib.contextmanager
def _attempt(what: str) -> Iterator[Any]:
    try:
        yield
    except NetlinkError as cause:
        if cause.code in {errno.EEXIST, errno.ENODEV}:
            raise Transient(f"{what}: another program changed it meanwhile") from cause
        raise Transient(what) from cause
    except OSError as cause:
        raise Transient(what) from cause
