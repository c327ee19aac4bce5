"""Stop the servers of a host while no agent runs: how `kumoi down` stops them.

Each driver stops its own. Their disks and specs stay. To the agent that starts next the host has
rebooted: it starts the servers that are wanted running. Links and ports go with the virtual host.
"""

from __future__ import annotations

from kumoi.cloud.drivers.instance import registry
from kumoi.cloud.drivers.load_balancer import station
from kumoi.cloud.drivers.load_balancer.proxy_group import ProxyGroup
from kumoi.config import HostSettings
from kumoi.hosts.units import table


def stop_servers(host: HostSettings, *, grace_s: float) -> int:
    """Stop all of them; gives their number. With a grace of 0 they are killed."""
    table.boot_file(host).unlink(
        missing_ok=True
    )  # First: it must be gone if we are killed half way.
    drivers = registry.on_host(host.agent_dir, host.name).values()
    station.remove_all(host.name)
    ProxyGroup(host.name, ram_mib=0).remove()
    return sum(driver.stop_servers(grace_s=grace_s) for driver in drivers)


def forget(host: HostSettings) -> None:
    """Have drivers give back what they hold outside the host's directories, such as its range of
    sub-ids. Call it when the servers are gone.
    """
    for driver in registry.on_host(host.agent_dir, host.name).values():
        driver.forget()
