"""OVN's databases that gave up: a member of a RAFT whose file could not be written once, as where a disk was full, takes no
part from then on, also when there is room again. One that is started on a disk that is full drops its database at once and
goes on without. Only a start anew ends either, so it is asked to end, and whoever started it starts it again.
"""

from __future__ import annotations

import json
import re
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
_PIECE = 65_536


@dataclass(slots=True)
class DatabaseServer:
    """`control` is where `ovs-appctl` asks it, about its one database."""

    schema: str
    control: Path
    _dropped: int = 0

    def has_failed(self) -> bool:
        """Raises OSError, or ValueError where it answers in another way."""
        told = self._ask("cluster/status", self.schema)
        self._dropped = self._dropped + 1 if told.strip() == DROPPED else 0
        return bool(FAILED.search(told)) or self._dropped >= DROPPED_MAX

    def end(self) -> None:
        """Raises OSError, ValueError."""
        self._ask("exit")

    def _ask(self, command: str, *words: str) -> str:
        """What it says, also where that is an error. By JSON-RPC, as ovs-appctl(8) speaks, for which no program need be started."""
        with socket.socket(socket.AF_UNIX) as asked:
            asked.settimeout(ANSWERS_WITHIN_S)
            asked.connect(str(self.control))
            request = {"id": 0, "method": command, "params": words}
            asked.sendall(json.dumps(request).encode())
            answer = _answer(asked)
        return str(answer.get("result") or answer.get("error") or "")


def servers(cloud: CloudSettings, host: HostSettings) -> Iterator[DatabaseServer]:
    """Those of this host that are members."""
    for database in OVN_DATABASES if members.has_ovn_member(cloud, host) else ():
        yield DatabaseServer(database.schema, rights.ovn_control(host, database))


def end_failed(databases: Iterable[DatabaseServer]) -> None:
    """One that does not answer is being started, or is looked at by others."""
    for each in databases:
        try:
            if each.has_failed():
                log.warning("database.failed", database=each.schema)
                each.end()
        except (OSError, ValueError):
            continue


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
