"""A server as wanted, and golden text; KUMOI_GOLDEN=write renews it."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

from kumoi.cloud.hostapi.messages import (
    Address,
    ImageContent,
    InstanceSpec,
    Power,
    ServerPort,
    ServerRoute,
)

GOLDEN = Path(__file__).parent / "golden"
ID = "6f04a590-e910-4720-a682-6d5d9a87d591"
PORT_ID = "fb0e9e14-e016-43ac-a2bd-fb160025e286"
SECOND_ID = "0f3a2d1c-1111-4222-8333-444455556666"
PORT = ServerPort(
    id=PORT_ID,
    mac="FA:16:3E:00:00:01",
    mtu=1442,
    name="eth0",
    addresses=[
        Address(
            address="10.202.0.5",
            prefix=24,
            gateway="10.202.0.1",
            dns=["10.202.0.2", "10.202.0.3"],
            routes=[ServerRoute(destination="10.203.0.0/16", nexthop="10.202.0.9")],
        ),
        Address(address="fd00:202::5", prefix=64, gateway="fd00:202::1", dns=["10.202.0.2"]),
    ],
)
SECOND = ServerPort(
    id=SECOND_ID,
    mac="fa:16:3e:00:00:02",
    mtu=1442,
    name="eth1",
    addresses=[Address(address="10.202.1.5", prefix=24, gateway="10.202.1.1")],
)
SERVER = InstanceSpec(
    id=ID,
    generation=1,
    power=Power.RUNNING,
    hostname="web1.example",
    vcpus=2,
    ram_mib=512,
    disk_gib=10,
    image=ImageContent(id="i", sha256="ab" * 32, disk_format="root-tar"),
    id_slot=3,
    ports=[PORT, SECOND],
    ssh_keys=["ssh-ed25519 AAAA me@here"],
    metadata={"role": "web"},
)
ZONE = "fe80::1%x\nlxc.hook.pre-start = id"


def but(**changes: object) -> InstanceSpec:
    return msgspec.structs.replace(SERVER, **changes)


def with_address(address: Address) -> ServerPort:
    return msgspec.structs.replace(PORT, addresses=[address])


def agrees(name: str, text: str) -> None:
    path = GOLDEN / f"{name}.txt"
    if os.environ.get("KUMOI_GOLDEN") == "write":
        path.write_text(text)
    assert text == path.read_text()
