"""The connections that a host's switch remembers, in a table that all of its ports share. OVN gives each port, and
each router twice, a zone of it, which has a limit.

Asked by the switch's own control socket, in OVS's JSON-RPC: a program started for each question would cost more
than the answer. agent/connection_room.py says what the limits are.
"""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from kumoi.base.errors import Transient

WAIT_S = 10.0
ANSWER_MAX_BYTES = 4 << 20
ZONE = re.compile(r"zone=(\d+),limit=(\d+),count=(\d+)")


@dataclass(frozen=True, slots=True)
class ZoneUse:
    limit: int
    count: int


class SwitchConnections:
    """Of the switch with that control socket."""

    def __init__(self, control: Path) -> None:
        self._control = control

    def uses(self, zones: Collection[int]) -> dict[int, ZoneUse]:
        """Of these zones. Raises Transient."""
        if not zones:
            return {}
        told = self._ask("ct-get-limits", f"zone={','.join(map(str, sorted(zones)))}")
        return {
            int(zone): ZoneUse(int(limit), int(count)) for zone, limit, count in ZONE.findall(told)
        }

    def limit(self, limits: Mapping[int, int]) -> None:
        """What each zone may have from now on. A zone that has more makes no new connection. Raises Transient."""
        if limits:
            words = (f"zone={zone},limit={most}" for zone, most in sorted(limits.items()))
            self._ask("ct-set-limits", *words)

    def _ask(self, command: str, *words: str) -> str:
        asked = {"id": 0, "method": f"dpctl/{command}", "params": list(words)}
        try:
            with socket.socket(socket.AF_UNIX) as line:
                line.settimeout(WAIT_S)
                line.connect(str(self._control))
                line.sendall(json.dumps(asked).encode())
                answer = _answer(line)
        except (OSError, ValueError) as cause:
            raise Transient("ask the switch for its connections") from cause
        if answer.get("error"):
            raise Transient(f"the switch refused {command}: {answer['error']}")
        return str(answer["result"])


def _answer(line: socket.socket) -> dict[str, object]:
    """Raises ValueError for one that is cut off or too long."""
    told = b""
    while len(told) < ANSWER_MAX_BYTES:
        part = line.recv(1 << 16)
        told += part
        if part and not told.endswith(b"}"):
            continue
        try:
            found: dict[str, object] = json.loads(told)
        except ValueError:
            if not part:
                raise
        else:
            return found
    raise ValueError("an answer without an end")
