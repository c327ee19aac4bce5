"""Addresses and routes inside a server, as lines for `ip -batch`.

LXC moves a server's links in but sets no addresses. A hook of LXC's runs a file of such lines before
the server's first process, at each start and each reboot from inside; the same file is run to change a
server that runs. The lines can be run again at any moment.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable
from pathlib import Path

from kumoi.base import log, process
from kumoi.cloud.drivers.instance.wire import Wire, WireRoute

_RUN = """[ ! -s "$0" ] || nsenter --net=/proc/"$LXC_PID"/ns/net ip -force -batch "$0"; true"""


def hook(file: Path) -> str:
    """The command for LXC's hook, which runs between moving the links in and the first process."""
    return f"sh -c '{_RUN}' {shlex.quote(str(file))}"


def statements(wires: Iterable[Wire]) -> tuple[str, ...]:
    """What the links have, in order: addresses, then default routes, then other routes. Each is an
    `ip` command without its verb.
    """
    wires = list(wires)
    addresses = [
        f"address {address} dev {wire.name}" for wire in wires for address in wire.addresses
    ]
    defaults = [_route(route, wire.name) for wire in wires for route in wire.gateways]
    others = [_route(route, None) for wire in wires for route in wire.routes]
    return tuple(dict.fromkeys([*addresses, *defaults, *others]))


def at_start(wires: Iterable[Wire]) -> str:
    """Lines for a server that has nothing yet."""
    return _lines("replace", statements(wires))


def change(wires: Iterable[Wire], earlier: Iterable[str]) -> str:
    """Lines for a running server, from all statements that it got `earlier`, since its start."""
    wanted = statements(wires)
    unwanted = [statement for statement in earlier if statement not in wanted]
    return _lines("delete", reversed(unwanted)) + _lines("replace", wanted)


def apply(file: Path, *, pid: int) -> None:
    """Run the lines in a running server. A line that fails, such as a route to an unreachable next
    hop, does not stop the others.
    """
    done = process.run(
        ["nsenter", f"--net=/proc/{pid}/ns/net", "ip", "-force", "-batch", file], check=False
    )
    if done.status:
        log.warning("server.network_incomplete", why=done.err.strip())


def _route(route: WireRoute, device: str | None) -> str:
    through = f" dev {device}" if device else ""
    return f"route {route.destination} via {route.nexthop}{through}{' onlink' * route.onlink}"


def _lines(verb: str, statements: Iterable[str]) -> str:
    return "".join(f"{statement.replace(' ', f' {verb} ', 1)}\n" for statement in statements)
