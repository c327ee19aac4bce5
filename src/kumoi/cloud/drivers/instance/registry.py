"""The drivers of servers that there are. A new one is a line here and a folder beside this file.

Whoever starts or takes down a host asks here, and learns no driver's files: the agent, `up`, `down`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from kumoi.cloud.drivers.instance.interface import HostDriver
from kumoi.cloud.drivers.instance.lxc.host import LxcHost

Factory = Callable[[Path, str], HostDriver]
"""From a directory of the driver's own, and the host's name."""

DRIVERS: Mapping[str, Factory] = {
    "lxc": LxcHost,
}


def on_host(
    agent_dir: Path, host_name: str, *, table: Mapping[str, Factory] = DRIVERS
) -> dict[str, HostDriver]:
    """All of them on one host, by name, in the order of the table. Each has a directory of its own
    below the agent's.
    """
    return {name: factory(agent_dir / name, host_name) for name, factory in table.items()}
