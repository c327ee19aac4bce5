"""Whether a unit answers at its address: the supervisor, `status` and what systemd runs ask."""

from __future__ import annotations

import socket

from kumoi.base import namespace


def answers(listens: str, inside: str | None = None) -> bool:
    """Whether somebody accepts connections there, as it is seen in the unit's network namespace; true when
    there is nowhere to ask.
    """
    kind, _, where = listens.partition(":")
    if not kind:
        return True
    address, _, port = where.rpartition(":")
    try:
        if kind == "unix":
            asked = namespace.open_socket(socket.AF_UNIX, None)
        else:
            asked = namespace.open_socket(socket.AF_INET, inside)
        with asked:
            asked.settimeout(1.0)
            asked.connect(where if kind == "unix" else (address, int(port)))
    except OSError:
        return False
    return True
