"""What a server's network has inside: addresses and routes, as lines for `ip -batch`.

LXC moves a server's links in and knows nothing of what is on them. All of that stands in a file that
LXC's hook runs before the server's first process, at each start, reboots from inside included; the
same file makes a change in a server that runs. Lines say what is to be, so they may be run again at
any moment.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable
from pathlib import Path

from kumoi.base import log, process
from kumoi.cloud.drivers.instance.wire import Wire, WireRoute

_RUN = """[ ! -s "$0" ] || nsenter --net=/proc/"$LXC_PID"/ns/net ip -force -batch "$0"; true"""


def hook(file: Path) -> str:
    """For LXC: run once the server's links are there, before its first process."""
    return f"sh -c '{_RUN}' {shlex.quote(str(file))}"


def statements(wires: Iterable[Wire]) -> tuple[str, ...]:
    """All that is on these, in order: addresses, then default routes, then others."""
    given = list(wires)
    addresses = [
        f"address {address} dev {wire.name}" for wire in given for address in wire.addresses
    ]
    defaults = [_route(route, wire.name) for wire in given for route in wire.gateways]
    others = [_route(route, None) for wire in given for route in wire.routes]
    return tuple(dict.fromkeys([*addresses, *defaults, *others]))


def at_start(wires: Iterable[Wire]) -> str:
    """For a server that has nothing yet."""
    return _replaced(statements(wires))


def change(wires: Iterable[Wire], given: Iterable[str]) -> str:
    """From all statements that it was given since its start, to what is wanted now."""
    wanted = statements(wires)
    gone = [statement for statement in given if statement not in wanted]
    return _deleted(reversed(gone)) + _replaced(wanted)


def apply(file: Path, *, pid: int) -> None:
    """To a running server. A route that leads nowhere is its owner's doing: the rest counts."""
    done = process.run(
        ["nsenter", f"--net=/proc/{pid}/ns/net", "ip", "-force", "-batch", file], check=False
    )
    if done.status:
        log.warning("server.network_incomplete", why=done.err.strip())


def _route(route: WireRoute, device: str | None) -> str:
    through = f" dev {device}" if device else ""
    return f"route {route.destination} via {route.nexthop}{through}{' onlink' * route.onlink}"


def _deleted(statements: Iterable[str]) -> str:
    return "".join(f"{each.replace(' ', ' delete ', 1)}\n" for each in statements)


def _replaced(statements: Iterable[str]) -> str:
    return "".join(f"{each.replace(' ', ' replace ', 1)}\n" for each in statements)
