"""How a server was last started, recorded by its driver in the server's directory.

The file is replaced as a whole and not synced: after a power failure the host's boot differs anyway,
and an unreadable record counts as none. On a full disk it is overwritten in place instead: stopping a
server must not need room.
"""

from __future__ import annotations

from pathlib import Path
from typing import Self

import msgspec

from kumoi.base import files
from kumoi.base.files import Promise
from kumoi.cloud.hostapi.messages import ServerPort


class InstanceRecord(msgspec.Struct, frozen=True, kw_only=True):
    """`links` are the links that a start made or was about to make, with their port ids. `wired` are
    the ports as last set up inside, `guarded` the ids of those that let no advertisements of routers
    out and `bounded` of those that send from few MACs (release 0.2.0 had neither), `given` all statements about addresses and routes (network.py)
    applied since the start. `image_sha256` is the image below the disk; `images` that of each build's
    disk, for while a rebuild is under way there are two. `rescue_sha256` is the image that it was
    last rescued with.
    """

    started_generation: int = 0
    boot: int = 0
    hard_boot: int = 0
    host_boot: str = ""
    image_sha256: str = ""
    images: dict[int, str] = {}
    rescue_sha256: str = ""
    links: dict[str, str] = {}
    wired: list[ServerPort] = []
    guarded: list[str] = []
    bounded: list[str] = []
    given: list[str] = []

    def image_of(self, build: int) -> str:
        """The image below that build's disk. A record of release 0.2.0 has only one."""
        return self.images.get(build) or self.image_sha256

    def replace(self, **changes: object) -> Self:
        return msgspec.structs.replace(self, **changes)


def read(path: Path) -> InstanceRecord:
    try:
        return msgspec.json.decode(path.read_bytes(), type=InstanceRecord)
    except (FileNotFoundError, NotADirectoryError, msgspec.DecodeError):
        return InstanceRecord()


def write(path: Path, record: InstanceRecord) -> None:
    text = msgspec.json.encode(record)
    try:
        files.replace(path, text, promise=Promise.KILL)
    except OSError as cause:
        if not files.is_disk_full(cause) or not path.exists():
            raise
        with path.open("r+b") as file:
            file.write(text)
            file.truncate()
