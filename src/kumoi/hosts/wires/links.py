"""Network namespaces, bridges and veth pairs of the machine, by netlink.

Every `ensure_` may be repeated. virtual.py and edge.py decide which links there are.
"""

from __future__ import annotations

import contextlib
import errno
import ipaddress
import socket
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pyroute2 import IPRoute, NetlinkError, NetNS, netns

from kumoi.base import process
from kumoi.base.errors import Invalid, NotFound, Transient
from kumoi.hosts.units.table import namespace_path

OWN_NAMESPACE = Path("/proc/self/ns/net")


@dataclass(frozen=True, slots=True)
class Veth:
    """A pair of links: `name` in `namespace`, or else in the machine's own, as a port of `bridge`
    if that is set; and `inner` in `inner_namespace`.
    """

    name: str
    inner: str
    inner_namespace: str
    namespace: str | None = None
    bridge: str | None = None


def ensure_namespace(name: str) -> bool:
    """Whether the namespace had to be made."""
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


def ensure_bridge(name: str, *, namespace: str | None = None, mac: str | None = None) -> None:
    """With a `mac` of its own the bridge keeps its address when its ports change."""
    with _attempt(f"make the bridge {name}"), _inside(namespace) as here:
        if not here.link_lookup(ifname=name):
            here.link("add", ifname=name, kind="bridge", **({"address": mac} if mac else {}))
        here.link("set", index=here.link_lookup(ifname=name)[0], state="up")


def ensure_port(bridge: str, name: str) -> None:
    """Put a link of the machine's own into a bridge. Raises Invalid where there is no such link, it has
    addresses, which would answer no more, or it is in another bridge.
    """
    with _attempt(f"put {name} into {bridge}"), IPRoute() as here:
        found = here.link_lookup(ifname=name)
        if not found:
            raise Invalid(f"this machine has no link {name}", field="underlay_interface")
        master = here.link_lookup(ifname=bridge)[0]
        link = here.get_links(found[0])[0]
        if link.get("master") not in (None, 0, master):
            raise Invalid(f"{name} is part of another bridge or bond", field="underlay_interface")
        addresses = [
            one.get("address") for one in here.get_addr(index=found[0], family=socket.AF_INET)
        ]
        if addresses:
            raise Invalid(
                f"{name} has the address {addresses[0]}, which would answer no more: give the underlay "
                "a link without addresses, such as a VLAN's",
                field="underlay_interface",
            )
        here.link("set", index=found[0], master=master, state="up")


def ensure_address(name: str, *, address: str, prefix: int, namespace: str | None = None) -> None:
    with _attempt(f"give {name} its address"), _inside(namespace) as here:
        index = here.link_lookup(ifname=name)[0]
        here.addr("replace", index=index, address=address, prefixlen=prefix)


def delete_address(name: str, *, address: str) -> None:
    """Of a link in the machine's own namespace, where both are there."""
    with _attempt(f"take {address} from {name}"), IPRoute() as here:
        for index in here.link_lookup(ifname=name):
            for found in here.get_addr(index=index, address=address):
                here.addr("delete", index=index, address=address, prefixlen=found["prefixlen"])


def delete_addresses(name: str) -> None:
    """All of IPv4 that a link in the machine's own namespace has."""
    with _attempt(f"take its addresses from {name}"), IPRoute() as here:
        for index in here.link_lookup(ifname=name):
            here.flush_addr(index=index, family=socket.AF_INET)


def ensure_default_route(name: str, *, gateway: str, namespace: str) -> None:
    """Route everything to a gateway on this link, which need not be in the link's own network."""
    with _attempt(f"route to {gateway}"), _inside(namespace) as here:
        index = here.link_lookup(ifname=name)[0]
        here.route("replace", dst=f"{gateway}/32", oif=index, scope="link")
        here.route("replace", dst="default", gateway=gateway, oif=index)


def ensure_route(
    name: str, *, to: str, namespace: str | None = None, gateway: str | None = None
) -> None:
    """To a network by this link, and by a gateway on it, where one is named."""
    with _attempt(f"route to {to}"), _inside(namespace) as here:
        index = here.link_lookup(ifname=name)[0]
        if gateway is None:
            here.route("replace", dst=to, oif=index, scope="link")
        else:
            here.route("replace", dst=to, gateway=gateway, oif=index)


def delete_route(name: str, *, to: str) -> None:
    """By a link in the machine's own namespace, where it is there."""
    with _attempt(f"forget the route to {to}"), IPRoute() as here:
        for index in here.link_lookup(ifname=name):
            with contextlib.suppress(NetlinkError):
                here.route("delete", dst=to, oif=index)


def ensure_veth(veth: Veth) -> bool:
    """Make both ends and set them up; whether the pair had to be made. Another link with one of the
    names is deleted, as is half a pair.
    """
    with (
        _attempt(f"make the link {veth.name}"),
        _inside(veth.namespace) as here,
        _inside(veth.inner_namespace) as inside,
    ):
        ends = ((here, veth.name), (inside, veth.inner))
        made = not all(_is_veth(where, name) for where, name in ends)
        if made:
            for where, name in ends:
                _delete(where, name)
            peer = {"ifname": veth.inner, "net_ns_fd": veth.inner_namespace}
            here.link("add", ifname=veth.name, kind="veth", peer=peer)
        index = here.link_lookup(ifname=veth.name)[0]
        master = here.link_lookup(ifname=veth.bridge)[0] if veth.bridge else 0
        here.link("set", index=index, master=master, state="up")
        inside.link("set", index=inside.link_lookup(ifname=veth.inner)[0], state="up")
    return made


def set_sysctls(values: Mapping[str, int], *, namespace: str) -> None:
    """Unknown ones are ignored: a kernel may have no IPv6, or no filter for bridges."""
    assignments = [f"{key}={value}" for key, value in values.items()]
    process.run(["sysctl", "--quiet", "--ignore", "--write", *assignments], namespace=namespace)


def disable_offload(name: str, *, namespace: str | None = None, receive: bool = True) -> None:
    """Let the kernel compute checksums: a switch in user space gets packets without them otherwise."""
    features = ["tx", "off", *(["rx", "off"] if receive else [])]
    process.run(["ethtool", "-K", name, *features], namespace=namespace)


def delete_link(name: str, *, namespace: str | None = None) -> None:
    if namespace is not None and namespace not in netns.listnetns():
        return
    with _attempt(f"remove the link {name}"), _inside(namespace) as here:
        _delete(here, name)


def ports_of(bridge: str) -> list[str]:
    """The links in a bridge of the machine's own namespace; none when it is not there."""
    with _attempt(f"look at the bridge {bridge}"), IPRoute() as here:
        indices = here.link_lookup(ifname=bridge)
        return [
            link.get("ifname")
            for link in (here.get_links() if indices else ())
            if link.get("master") == indices[0]
        ]


def names() -> set[str]:
    """The names of all links in the machine's own namespace."""
    with IPRoute() as here:
        return {link.get("ifname") for link in here.get_links()}


def addresses(namespace: str | None = None) -> list[str]:
    """IPv4 addresses of the machine's own namespace, or of another."""
    with _attempt("look at addresses"), _inside(namespace) as here:
        return [address.get("address") for address in here.get_addr(family=socket.AF_INET)]


def toward(address: str, namespace: str | None) -> str:
    """The link with a network that this address is of. Raises NotFound."""
    with _attempt(f"look for a link to {address}"), _inside(namespace) as here:
        for found in here.get_addr(family=socket.AF_INET):
            network = ipaddress.ip_interface(f"{found.get('address')}/{found['prefixlen']}").network
            if ipaddress.ip_address(address) in network and network.num_addresses > 1:
                (link,) = here.get_links(found["index"])
                return str(link.get("ifname"))
    raise NotFound("link", address, message=f"no link of this host has a network with {address}")


def _inside(namespace: str | None) -> IPRoute:
    return NetNS(namespace) if namespace else IPRoute()


def _is_veth(where: IPRoute, name: str) -> bool:
    return any(link.get(("linkinfo", "kind")) == "veth" for link in where.get_links(ifname=name))


def _delete(where: IPRoute, name: str) -> None:
    for index in where.link_lookup(ifname=name):
        try:
            where.link("del", index=index)
        except NetlinkError as cause:
            if cause.code != errno.ENODEV:  # It went with its other end, or its namespace.
                raise


def _is_namespace(name: str) -> bool:
    """Whether the namespace's file is a namespace: after a reboot, or a kill during the creation,
    it is an empty file.
    """
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
