"""What a server was last started as, kept by its driver in the server's directory.

Replaced as a whole and not forced to disk: after a power failure the host's boot differs anyway,
and a record that cannot be read counts as none. On a full disk it is written over instead: stopping
a server must not need room.
"""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Self

import msgspec

from kumoi.base import files
from kumoi.base.files import Promise
from kumoi.cloud.hostapi.messages import ServerPort


class InstanceRecord(msgspec.Struct, frozen=True, kw_only=True):
    """`links` names the links that a start made or was about to make, with their port ids. `wired`
    is how its ports were last set up inside, `given` all statements about addresses and routes that
    were made in it since the start. `image_sha256` is what the disk lies on, `images` says so for
    each build: while one takes the place of another there are two.
    """

    started_generation: int = 0
    boot: int = 0
    hard_boot: int = 0
    host_boot: str = ""
    image_sha256: str = ""
    images: dict[int, str] = {}
    links: dict[str, str] = {}
    wired: list[ServerPort] = []
    given: list[str] = []

    def image_of(self, build: int) -> str:
        """What the disk of that build lies on. A record of an older release has only one."""
        return self.images.get(build) or self.image_sha256

    def but(self, **changes: object) -> Self:
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
        if cause.errno not in (errno.ENOSPC, errno.EDQUOT) or not path.exists():
            raise
        with path.open("r+b") as file:
            file.write(text)
            file.truncate()
