"""Whether a unit answers at its address: the supervisor, `status` and what systemd runs ask."""

from __future__ import annotations

import socket


def answers(listens: str) -> bool:
    """Whether somebody accepts connections there; true when there is nowhere to ask."""
    kind, _, where = listens.partition(":")
    if not kind:
        return True
    family = socket.AF_UNIX if kind == "unix" else socket.AF_INET
    address, _, port = where.rpartition(":")
    with socket.socket(family, socket.SOCK_STREAM) as asked:
        asked.settimeout(1.0)
        try:
            asked.connect(where if kind == "unix" else (address, int(port)))
        except OSError:
            return False
    return True
