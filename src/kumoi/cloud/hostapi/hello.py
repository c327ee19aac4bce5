"""How a host presents itself to the control plane: what it has, and which release it is of."""

from __future__ import annotations

from kumoi.cloud.hostapi.things import Message

VERSION = 2
PATH = "/host/v1"


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
    ready_images: tuple[str, ...] = ()
    address: str = ""
