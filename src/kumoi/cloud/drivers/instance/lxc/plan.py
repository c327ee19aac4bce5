"""What to do for a server's disk and links. Pure: no file, no process, no clock.

apply.py and ports.py call this with what they observed and carry out the actions, choosing nothing.
Actions are data that print well.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from kumoi.base.errors import Permanent
from kumoi.cloud.drivers.instance import seed
from kumoi.cloud.drivers.instance.seed import SeedFile
from kumoi.cloud.drivers.instance.wire import Wire
from kumoi.cloud.hostapi.messages import InstanceSpec

DISK_GIB_MAX = 16_384


@dataclass(frozen=True, slots=True)
class DropDisk:
    build: int

    def __str__(self) -> str:
        return f"drop the disk of build {self.build}"


@dataclass(frozen=True, slots=True)
class MakeDisk:
    build: int
    disk_gib: int
    image_sha256: str
    files: tuple[SeedFile, ...]

    def __str__(self) -> str:
        files = "".join(f"\n    {file}" for file in self.files)
        image = self.image_sha256[:12]
        return f"make the disk of build {self.build}: {self.disk_gib} GiB on image {image}{files}"


@dataclass(frozen=True, slots=True)
class MakeLink:
    wire: Wire

    def __str__(self) -> str:
        wire = self.wire
        return f"make link {wire.link} to {wire.name} ({wire.mac}, mtu {wire.mtu})"


@dataclass(frozen=True, slots=True)
class DropLink:
    name: str

    def __str__(self) -> str:
        return f"drop link {self.name}"


@dataclass(frozen=True, slots=True)
class Plug:
    name: str
    port_id: str

    def __str__(self) -> str:
        return f"plug {self.name} as port {self.port_id}"


@dataclass(frozen=True, slots=True)
class Unplug:
    name: str

    def __str__(self) -> str:
        return f"unplug {self.name}"


DiskAction = DropDisk | MakeDisk
LinkAction = Unplug | DropLink | MakeLink | Plug


def building(server: InstanceSpec, disks: Iterable[int]) -> list[DiskAction]:
    """From the builds whose disks exist to the one wanted. The others are dropped once it exists: a
    disk that cannot be made costs no server the one it has. Nor does a spec of an earlier build.
    """
    present = set(disks)
    if present and server.build < min(present):
        raise Permanent("the server's disk is of a later build than the one that is wanted")
    actions: list[DiskAction] = []
    if server.build not in present:
        if server.image is None:
            raise Permanent("the server has no image to be built from")
        if not 1 <= server.disk_gib <= DISK_GIB_MAX:
            raise Permanent(f"a disk of {server.disk_gib} GiB cannot be made")
        made = MakeDisk(server.build, server.disk_gib, server.image.sha256, seed.files(server))
        actions.append(made)
    return [*actions, *(DropDisk(build) for build in sorted(present - {server.build}))]


def plugging(
    wanted: Iterable[Wire], *, links: Iterable[str], plugged: Mapping[str, str]
) -> list[LinkAction]:
    """From the server's links and switch ports that exist to those wanted."""
    wires = {wire.link: wire for wire in wanted}
    present = set(links)
    wrong = {
        name
        for name, port_id in plugged.items()
        if name not in wires or wires[name].port_id != port_id
    }
    return [
        *(Unplug(name) for name in sorted(wrong)),
        *(DropLink(name) for name in sorted(present - set(wires))),
        *(MakeLink(wires[name]) for name in sorted(set(wires) - present)),
        *(
            Plug(name, wires[name].port_id)
            for name in sorted(wires)
            if name in wrong or name not in plugged
        ),
    ]
