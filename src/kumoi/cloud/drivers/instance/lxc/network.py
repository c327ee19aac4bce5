"""What a server's network has inside: addresses and routes, as lines for `ip -batch`.

LXC sets what a server starts with, but for the routes of its subnets, which it has no word for, and
sets it again when the server reboots from inside. What it lacks, and what changed since the start,
stands in a file that LXC's hook runs before the first process, each time; the same file makes a
change in a server that runs. Lines say what is to be, so they may be run again at any moment.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable
from pathlib import Path

from kumoi.base import log, process
from kumoi.cloud.drivers.instance.lxc import plan
from kumoi.cloud.hostapi.messages import Server

_RUN = """[ ! -s "$0" ] || nsenter --net=/proc/"$LXC_PID"/ns/net ip -force -batch "$0"; true"""


def hook(file: Path) -> str:
    """For LXC: run once the server's links are there, before its first process."""
    return f"sh -c '{_RUN}' {shlex.quote(str(file))}"


def at_start(server: Server) -> str:
    """What LXC leaves out."""
    return _replaced(wire for wire in plan.wires(server) if plan.is_left_out(wire))


def change(server: Server, given: Iterable[str]) -> str:
    """From all that it was given since its start, to what is wanted now."""
    wanted = plan.wires(server)
    gone = [wire for wire in given if wire not in wanted]
    return _deleted(reversed(gone)) + _replaced(wanted)


def apply(file: Path, *, pid: int) -> None:
    """To a running server. A route that leads nowhere is its owner's doing: the rest counts."""
    done = process.run(
        ["nsenter", f"--net=/proc/{pid}/ns/net", "ip", "-force", "-batch", file], check=False
    )
    if done.status:
        log.warning("server.network_incomplete", why=done.err.strip())


def _deleted(wires: Iterable[str]) -> str:
    return "".join(f"{wire.replace(' ', ' delete ', 1)}\n" for wire in wires)


def _replaced(wires: Iterable[str]) -> str:
    return "".join(f"{wire.replace(' ', ' replace ', 1)}\n" for wire in wires)
