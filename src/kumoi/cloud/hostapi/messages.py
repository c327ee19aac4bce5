"""Servers in the host API: the spec that a host is sent, and the status that it reports.

A server is a thing (things.py). Its spec says everything about it: the host needs nothing else, and
keeps the last one so that it reboots into the right state while the control plane is away. What nobody
on a host reads is not sent: a server's name. Its project is said by its thing.

A spec is read strictly, and written without fields that have their default. So a field that a later
release adds is sent only for the servers that use it, and a host that does not know it refuses those
servers alone rather than make something else than was asked for.
"""

from __future__ import annotations

import contextlib
import enum
from collections.abc import Iterable

import msgspec

from kumoi.cloud.hostapi.things import Count, Message, NotUnderstood, Thing, ThingKey, absent

SERVER = "server"
"""The kind of such a thing."""


class Power(enum.StrEnum):
    """The state that a server is wanted to be in. ABSENT is said by its thing, not in a spec."""

    RUNNING = "running"
    STOPPED = "stopped"
    PAUSED = "paused"
    ABSENT = "absent"


class InstanceState(enum.StrEnum):
    """The state that a server is in. FAILED and ABSENT are said by its report, not in a status."""

    BUILDING = "building"
    RUNNING = "running"
    STOPPED = "stopped"
    PAUSED = "paused"
    ABSENT = "absent"
    FAILED = "failed"


class Strict(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True
):
    """Part of a spec: fields that this release does not know make it unreadable."""


class ImageContent(Strict, frozen=True, kw_only=True):
    """`sha256` is of the file as stored; `disk_format` is the format that its content was found to
    have, in the image API's words.
    """

    id: str
    sha256: str
    disk_format: str


class ServerRoute(Strict, frozen=True, kw_only=True):
    destination: str  # A CIDR.
    nexthop: str


class Address(Strict, frozen=True, kw_only=True):
    address: str
    prefix: int
    gateway: str | None = None
    dns: list[str] = []
    routes: list[ServerRoute] = []


class ServerPort(Strict, frozen=True, kw_only=True):
    """A network interface. `name` is the link's name inside the server."""

    id: str
    mac: str
    mtu: int
    name: str
    addresses: list[Address] = []


class InjectedFile(Strict, frozen=True, kw_only=True):
    """A file that its owner wants in the server: `contents` are Base64."""

    path: str
    contents: str


class Departure(Strict, frozen=True, kw_only=True):
    """The host that may fetch the server's disk, and the hash of the key that it identifies itself with."""

    host: str
    key_sha256: str


class ServerSpec(Strict, frozen=True, kw_only=True):
    """`boot` counts the reboots asked for, `hard_boot` the hard ones; `build` the rebuilds, each of
    which makes a new disk from `image`.
    """

    power: Power
    driver: str = "lxc"
    hostname: str = ""
    vcpus: int = 1
    ram_mib: int = 512
    disk_gib: int = 10
    image: ImageContent | None = None
    id_slot: int = 0  # The server's own range of user ids, counted from 0 on its host.
    ports: list[ServerPort] = []
    advertisers: list[
        str
    ] = []  # Ids of ports that may advertise a router: those without port security.
    ssh_keys: list[str] = []
    user_data: str = ""  # Base64 in one line; empty is none.
    metadata: dict[str, str] = {}
    boot: int = 0
    hard_boot: int = 0
    build: int = 0
    rescue: ImageContent | None = None  # To be started from, with its own files at /mnt.
    files: list[InjectedFile] = []  # To be written into a new disk.
    snapshots: list[str] = []  # Ids of images to make of its disk; each until its content is there.
    departure: Departure | None = None
    arrived: bool = False  # Its disk came from another host (arrival.py): none is made anew.
    watched: list[int] = []  # Ports of TCP to report the use of, while it moves.


class InstanceSpec(ServerSpec, frozen=True, kw_only=True):
    """A server's spec with its thing's id, generation and owner, as drivers get it."""

    id: str
    generation: int
    owner: str = ""


class ServerStatus(Message, frozen=True, kw_only=True):
    """`boot`, `hard_boot` and `build` are those of the spec that it was last started or built by. Of the
    ports that the spec watches, `connections` counts the open connections and `listening` are those on which
    somebody waits for more. One that is `fenced` is stopped by its host when the host's lease has
    ended.
    """

    state: InstanceState
    boot: Count = 0
    hard_boot: Count = 0
    build: Count = 0
    connections: Count = 0
    listening: tuple[int, ...] = ()
    fenced: bool = False


def server_thing(server: InstanceSpec) -> Thing:
    """A server as a thing."""
    if server.power is Power.ABSENT:
        return absent(ThingKey(SERVER, server.id), server.generation)
    fields = {name: getattr(server, name) for name in ServerSpec.__struct_fields__}
    spec = msgspec.Raw(msgspec.json.encode(ServerSpec(**fields)))
    return Thing(
        kind=SERVER, id=server.id, generation=server.generation, spec=spec, owner=server.owner
    )


def read_images(raws: Iterable[msgspec.Raw]) -> list[ImageContent]:
    """Those that this release can read; a newer control plane may send others."""
    images = []
    for image in raws:
        with contextlib.suppress(msgspec.DecodeError):
            images.append(msgspec.json.decode(image, type=ImageContent))
    return images


def read_server(thing: Thing) -> InstanceSpec:
    """Raises NotUnderstood."""
    try:
        spec = msgspec.json.decode(thing.spec, type=ServerSpec)
    except msgspec.DecodeError as error:
        raise NotUnderstood(str(error)) from error
    if spec.power is Power.ABSENT:
        raise NotUnderstood("a spec does not say that its server is absent")
    fields = msgspec.structs.asdict(spec)
    return InstanceSpec(id=thing.id, generation=thing.generation, owner=thing.owner, **fields)
