"""OVN's databases that gave up: a member of a RAFT whose file could not be written once, as where a disk was full, takes no
part from then on, also when there is room again. One that is started on a disk that is full drops its database at once and
goes on without. Only a start anew ends either, so it is asked to end, and whoever started it starts it again.

And files with a gap: a follower that could not write entries of its leader has them in memory alone, goes on, and writes those that come
when there is room again behind the gap. It works until it is started anew, and then says that a record "skips past expected
index", for ever. What it holds in memory is whole, so it is asked to write its file anew, as compaction does.
"""

from __future__ import annotations

import contextlib
import json
import re
import shutil
import socket
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kumoi import members
from kumoi.base import log
from kumoi.config import CloudSettings, HostSettings
from kumoi.hosts.units import rights
from kumoi.members import OVN_DATABASES

FAILED = re.compile(r"^Status: failed$", re.MULTILINE)
DROPPED = "unknown cluster"
DROPPED_MAX = 3  # Looks. One that leaves its cluster says so too, until it is made one of its own.
ANSWERS_WITHIN_S = 2.0
LITTLE_ROOM = 16 << 20
WRITTEN_WITHIN_S = 60.0
WRITTEN_BEFORE = "not storing a duplicate snapshot"  # Nothing has come since.
_PIECE = 65_536


@dataclass(slots=True)
class DatabaseServer:
    """`control` is where `ovs-appctl` asks it, about its one database, which is on the file system of `disk`."""

    schema: str
    control: Path
    disk: Path
    _dropped: int = 0
    _may_have_gap: bool = True  # Nobody knows what was before the first look.

    def has_failed(self) -> bool:
        """Raises OSError, or ValueError where it answers in another way."""
        told = self._ask("cluster/status", self.schema)
        self._dropped = self._dropped + 1 if told.strip() == DROPPED else 0
        return bool(FAILED.search(told)) or self._dropped >= DROPPED_MAX

    def end(self) -> None:
        """Raises OSError, ValueError."""
        self._ask("exit")

    def close_gap(self) -> None:
        """Where there may be one, and room for a whole file. Raises OSError, ValueError."""
        if shutil.disk_usage(self.disk).free < LITTLE_ROOM:
            self._may_have_gap = True
        elif self._may_have_gap:
            told = self._ask("ovsdb-server/compact", self.schema, within_s=WRITTEN_WITHIN_S)
            self._may_have_gap = bool(told) and WRITTEN_BEFORE not in told
            if not told:
                log.event("database.written_anew", database=self.schema)

    def _ask(self, command: str, *words: str, within_s: float = ANSWERS_WITHIN_S) -> str:
        """What it says, also where that is an error. By JSON-RPC, as ovs-appctl(8) speaks, for which no program need be started."""
        with socket.socket(socket.AF_UNIX) as asked:
            asked.settimeout(within_s)
            asked.connect(str(self.control))
            request = {"id": 0, "method": command, "params": words}
            asked.sendall(json.dumps(request).encode())
            answer = _answer(asked)
        return str(answer.get("result") or answer.get("error") or "")


def servers(cloud: CloudSettings, host: HostSettings) -> Iterator[DatabaseServer]:
    """Those of this host that are members."""
    for database in OVN_DATABASES if members.has_ovn_member(cloud, host) else ():
        yield DatabaseServer(database.schema, rights.ovn_control(host, database), host.state)


def end_failed(databases: Iterable[DatabaseServer]) -> None:
    """One that does not answer is being started, or is looked at by others."""
    for each in databases:
        with contextlib.suppress(OSError, ValueError):
            if each.has_failed():
                log.warning("database.failed", database=each.schema)
                each.end()


def close_gaps(databases: Iterable[DatabaseServer]) -> None:
    """One that does not answer is asked again."""
    for each in databases:
        with contextlib.suppress(OSError, ValueError):
            each.close_gap()


def _answer(asked: socket.socket) -> dict[str, Any]:
    """The first that is whole; nothing tells its length."""
    told = b""
    while piece := asked.recv(_PIECE):
        told += piece
        try:
            return dict(json.loads(told))
        except ValueError:
            continue
    raise ValueError("the answer ended early")
