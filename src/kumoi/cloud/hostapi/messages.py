"""What is particular to servers in what control plane and host say to each other.

A server is a thing (things.py). Its spec says everything about it: the host needs nothing else, and
keeps the last one so that it reboots into the right state with the control plane gone. What nobody
on a host reads does not travel: a server's name, its project.

A spec is read strictly and written without what is at its default. So a word that was added since
travels only for the servers that use it, and a host that does not know it refuses those alone
rather than make something else than was asked for.
"""

from __future__ import annotations

import contextlib
import enum
from collections.abc import Iterable

import msgspec

from kumoi.cloud.hostapi.things import Message, NotUnderstood, Thing, ThingKey, absent

SERVER = "server"
"""The kind."""


class Power(enum.StrEnum):
    """What a server is wanted to be. An absent one's thing is absent, and has no spec."""

    RUNNING = "running"
    STOPPED = "stopped"
    PAUSED = "paused"
    ABSENT = "absent"


class InstanceState(enum.StrEnum):
    """What a server is. Of one that failed the report has a fault, of an absent one it says that."""

    BUILDING = "building"
    RUNNING = "running"
    STOPPED = "stopped"
    PAUSED = "paused"
    ABSENT = "absent"
    FAILED = "failed"


class Strict(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True
):
    """Part of a spec."""


class ImageContent(Strict, frozen=True, kw_only=True):
    """`sha256` is of the file as stored; `disk_format` what its content was seen to be, in the image
    API's words.
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


class ServerSpec(Strict, frozen=True, kw_only=True):
    """`boot` grows with each reboot asked for, `hard_boot` with each hard one; `build` with each
    rebuild, which starts again from `image` with an empty disk.
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
    ssh_keys: list[str] = []
    user_data: str = ""  # Base64, as the API took it; empty is none.
    metadata: dict[str, str] = {}
    boot: int = 0
    hard_boot: int = 0
    build: int = 0
    snapshots: list[str] = []  # Ids of images wanted of its disk; each until its content has come.


class InstanceSpec(ServerSpec, frozen=True, kw_only=True):
    """A server as its driver gets it."""

    id: str
    generation: int


class ServerStatus(Message, frozen=True, kw_only=True):
    """The boots and the build that it has behind it, as in its spec."""

    state: InstanceState
    boot: int = 0
    hard_boot: int = 0
    build: int = 0


def server_thing(server: InstanceSpec) -> Thing:
    """The thing that says so."""
    if server.power is Power.ABSENT:
        return absent(ThingKey(SERVER, server.id), server.generation)
    words = {name: getattr(server, name) for name in ServerSpec.__struct_fields__}
    spec = msgspec.Raw(msgspec.json.encode(ServerSpec(**words)))
    return Thing(kind=SERVER, id=server.id, generation=server.generation, spec=spec)


def read_images(raws: Iterable[msgspec.Raw]) -> list[ImageContent]:
    """Those that can be read: the others are for newer hosts."""
    images = []
    for one in raws:
        with contextlib.suppress(msgspec.DecodeError):
            images.append(msgspec.json.decode(one, type=ImageContent))
    return images


def read_server(thing: Thing) -> InstanceSpec:
    """Raises NotUnderstood."""
    try:
        spec = msgspec.json.decode(thing.spec, type=ServerSpec)
    except msgspec.DecodeError as error:
        raise NotUnderstood(str(error)) from error
    if spec.power is Power.ABSENT:
        raise NotUnderstood("a spec does not say that its server is absent")
    words = {name: getattr(spec, name) for name in ServerSpec.__struct_fields__}
    return InstanceSpec(id=thing.id, generation=thing.generation, **words)
