"""What the control plane and a host say to each other. Version 1.

    GET  /host/v1/wanted?since=R&epoch=E&wait_s=W  -> Wanted   long poll; answers at once when newer than R
    POST /host/v1/reports   Reports        -> 204      what is, after each change and every minute
    PUT  /host/v1/inventory Inventory      -> 204      at start and as a sign of life every 10 s
    PUT  /host/v1/servers/{id}/console     -> 204      text: the last of what a server wrote to its
                                                       console, when it changed; 64 KiB at most
    GET  /host/v1/images/{id}              -> bytes    the image's file; X-Kumoi-Sha256 names its hash
    PUT  /host/v1/images/{id}              bytes -> 204  a wanted snapshot: a tarball of the disk
    DELETE /host/v1/images/{id}            -> 204      a wanted snapshot that cannot be made

The host is the common name of the client's certificate; it sees and reports only its own servers.
A message says everything about a server: the host needs nothing else, and keeps the last one so
that it reboots into the right state with the control plane gone. A field may be added with a
default; one is never removed or given another meaning within a version.
"""

from __future__ import annotations

import enum

import msgspec

VERSION = 1
PATH = "/host/v1"


GENERATION_LAST = 2**31 - 1
"""Newer than any: with it a host is told to remove what the control plane does not know."""


class Power(enum.StrEnum):
    """What a server is wanted to be."""

    RUNNING = "running"
    STOPPED = "stopped"
    PAUSED = "paused"
    ABSENT = "absent"  # Gone, with everything it had; the host reports it absent when it is.


class State(enum.StrEnum):
    """What a server is."""

    BUILDING = "building"
    RUNNING = "running"
    STOPPED = "stopped"
    PAUSED = "paused"
    ABSENT = "absent"
    FAILED = "failed"  # `fault` says why, in words for an operator.


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """Unknown fields are ignored: the other side may be one version ahead."""


class Image(Message, frozen=True, kw_only=True):
    """`sha256` is of the file as stored; `size` in bytes; `disk_format` as in the image API."""

    id: str
    sha256: str
    size: int
    disk_format: str


class Route(Message, frozen=True, kw_only=True):
    destination: str  # A CIDR.
    nexthop: str


class Address(Message, frozen=True, kw_only=True):
    address: str
    prefix: int
    gateway: str | None = None
    dns: list[str] = []
    routes: list[Route] = []


class Port(Message, frozen=True, kw_only=True):
    """A network interface. `name` is the link's name inside the server."""

    id: str
    mac: str
    mtu: int
    name: str
    addresses: list[Address] = []


class Server(Message, frozen=True, kw_only=True):
    """One server as wanted. `generation` grows with each change that the host must act on, and a
    host refuses one older than it knows. `boot` grows with each reboot asked for, `hard_boot` with
    each hard one; `build` with each rebuild, which starts again from `image` with an empty disk.
    """

    id: str
    generation: int
    power: Power
    driver: str = "lxc"
    name: str = ""
    hostname: str = ""
    project_id: str = ""
    vcpus: int = 1
    ram_mib: int = 512
    disk_gib: int = 10
    image: Image | None = None
    id_slot: int = 0  # The server's own range of user ids, counted from 0 on its host.
    ports: list[Port] = []
    ssh_keys: list[str] = []
    user_data: str = ""  # Base64, as the API took it; empty is none.
    metadata: dict[str, str] = {}
    boot: int = 0
    hard_boot: int = 0
    build: int = 0
    snapshots: list[str] = []  # Ids of images wanted of its disk; each until its content has come.


class Wanted(Message, frozen=True, kw_only=True):
    """Servers that changed after `since`; with `complete`, all of this host's, so that whatever
    else the host has must go. `images` are worth having ready; none is nothing new of them. `store`
    names the store that this comes from: what another one does not know need not go. `epoch` goes back
    with the revision: revisions of two epochs cannot be compared.
    """

    revision: int
    complete: bool
    servers: list[Server]
    epoch: str = ""
    store: str = ""
    images: list[Image] = []


class Report(Message, frozen=True, kw_only=True):
    """What a server is. `generation` is that of the wanted state it was made from."""

    server_id: str
    generation: int
    state: State
    fault: str = ""
    pid: int = 0
    boot: int = 0  # The reboots it has behind it, as in Server.
    hard_boot: int = 0
    build: int = 0


class Reports(Message, frozen=True, kw_only=True):
    reports: list[Report]


class Inventory(Message, frozen=True, kw_only=True):
    """What a host has. `ready_images` are unpacked and start at once; `address` is where other
    hosts reach it.
    """

    protocol: int = VERSION
    version: str
    hostname: str
    drivers: list[str]
    vcpus: int
    ram_mib: int
    disk_gib: int
    ready_images: list[str] = []
    address: str = ""
