"""End the servers of a host, with no agent running. The one way in which `kumoi down` ends them.

They are asked to halt, all at the same time; what has not when the grace is over is killed. Their
disks and what is wanted of them stay: for the agent that starts next the host has rebooted, and it
starts those that are wanted running. Links, ports and mounts go with the virtual host.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from kumoi.cloud.drivers.instance.lxc import cgroup, monitor
from kumoi.cloud.drivers.instance.lxc.paths import Paths
from kumoi.config import CloudSettings, HostSettings
from kumoi.hosts.units import table

TOGETHER_MAX = 256


def stop_servers(cloud: CloudSettings, host: HostSettings, *, grace_s: float) -> int:
    """How many there were. Without grace they are killed."""
    table.boot_file(host).unlink(missing_ok=True)  # First: should we be killed half way.
    paths = Paths(host.agent_dir)
    monitor.wait_for_strays(paths)
    running = monitor.find_all(paths)

    def end(server_id: str) -> None:
        cgroup.thaw(f"{cloud.name}.servers/{server_id}")  # What is frozen hears no signal.
        monitor.stop(running[server_id], grace_s=grace_s)

    with ThreadPoolExecutor(TOGETHER_MAX) as threads:
        list(threads.map(end, running))
    return len(running)
