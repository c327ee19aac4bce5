"""The drivers of servers. A new one is a line here and a folder beside this file.

The agent, `up` and `down` get their drivers here, and know no driver's files.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from kumoi.cloud.drivers.instance.interface import HostDriver
from kumoi.cloud.drivers.instance.lxc.host import LxcHost

Factory = Callable[[Path, str], HostDriver]
"""Makes a driver from a directory of its own and the host's name."""

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
