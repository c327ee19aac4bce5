"""End the servers of a host, with no agent running. The one way in which `kumoi down` ends them.

Each driver ends its own. Their disks and what is wanted of them stay: for the agent that starts next
the host has rebooted, and it starts those that are wanted running. Links and ports go with the
virtual host.
"""

from __future__ import annotations

from kumoi.cloud.drivers.instance import registry
from kumoi.config import HostSettings
from kumoi.hosts.units import table


def stop_servers(host: HostSettings, *, grace_s: float) -> int:
    """How many there were. Without grace they are killed."""
    table.boot_file(host).unlink(missing_ok=True)  # First: should we be killed half way.
    drivers = registry.on_host(host.agent_dir, host.name).values()
    return sum(driver.stop_servers(grace_s=grace_s) for driver in drivers)


def forget(host: HostSettings) -> None:
    """What drivers were given outside the host's directories. After its servers are gone."""
    for driver in registry.on_host(host.agent_dir, host.name).values():
        driver.forget()
