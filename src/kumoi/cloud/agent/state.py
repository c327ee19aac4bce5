"""The host's own copy of what is wanted of it: one file per server.

Read when the agent starts, so that a host reboots into the right state with the control plane gone.
A file that cannot be read counts as not there: the control plane tells again.
"""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

from kumoi.base import log
from kumoi.base.ids import is_uuid
from kumoi.cloud.hostapi.messages import Message, Server


class Kept(Message, frozen=True, kw_only=True):
    """`fault` is why this generation cannot be had; empty when nothing is known against it."""

    server: Server
    fault: str = ""


class StateDir:
    """Used by one thread at a time."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)

    def load(self) -> dict[str, Kept]:
        kept: dict[str, Kept] = {}
        for path in sorted(self._directory.glob("*.json")):
            try:
                one = msgspec.json.decode(path.read_bytes(), type=Kept)
            except msgspec.DecodeError as error:
                log.failure("wanted.unreadable", error, file=path.name)
                continue
            kept[one.server.id] = one
        return kept

    def save(self, kept: Kept) -> None:
        """On disk when this returns, all of it or the one before."""
        path = self._path(kept.server.id)
        part = path.with_suffix(".part")
        with part.open("wb") as file:
            file.write(msgspec.json.encode(kept))
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)

    def forget(self, server_id: str) -> None:
        self._path(server_id).unlink(missing_ok=True)

    def _path(self, server_id: str) -> Path:
        if not is_uuid(server_id):
            raise ValueError(server_id)  # Never a path of somebody else's making.
        return self._directory / f"{server_id}.json"
