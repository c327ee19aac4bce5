"""What a server was last started as, kept in its directory.

Replaced as a whole and not forced to disk: after a power failure the host's boot differs anyway,
and a record that cannot be read counts as none.
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from kumoi.cloud.drivers.instance.lxc.paths import PART


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """`links` names the links that a start made or was about to make, with their port ids.
    `image_sha256` is what the disk lies on.
    """

    started_generation: int = 0
    boot: int = 0
    hard_boot: int = 0
    host_boot: str = ""
    image_sha256: str = ""
    links: dict[str, str] = {}


def read(path: Path) -> Record:
    try:
        return msgspec.json.decode(path.read_bytes(), type=Record)
    except (FileNotFoundError, NotADirectoryError, msgspec.DecodeError):
        return Record()


def write(path: Path, record: Record) -> None:
    part = path.with_name(path.name + PART)
    part.write_bytes(msgspec.json.encode(record))
    part.replace(path)
