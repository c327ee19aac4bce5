"""What this host has to offer its servers, read anew for each hello."""

from __future__ import annotations

import os
import socket
from collections.abc import Collection
from pathlib import Path

import kumoi
from kumoi.cloud.hostapi.hello import Allocation, HostHello
from kumoi.cloud.hostapi.offer import Offer
from kumoi.config import HostSettings

STAT = Path("/proc/stat")
MEMINFO = Path("/proc/meminfo")


def take(
    *,
    epoch: str,
    hostname: str,
    address: str,
    host_dir: Path,
    offers: dict[str, Offer],
    ready_images: Collection[str],
    allocation: Allocation,
    leads_outside: bool = True,
) -> HostHello:
    """`ready_images` are the ids of images that a server can start from without a fetch."""
    disk = os.statvfs(host_dir)
    return HostHello(
        release=kumoi.__version__,
        epoch=epoch,
        hostname=hostname or socket.gethostname(),
        address=address,
        drivers=list(offers),
        offers=offers,
        vcpus=os.cpu_count() or 1,
        ram_mib=ram_mib(MEMINFO.read_text()),
        disk_gib=disk.f_blocks * disk.f_frsize >> 30,
        ready_images=tuple(sorted(ready_images)),
        allocation=allocation,
        leads_outside=leads_outside,
        booted_at=booted_at(STAT.read_text()),
    )


def allocation(host: HostSettings, *, servers_bytes: int) -> Allocation:
    """How much of this host servers may claim, by its settings, and by what lies on its disk beside
    their own disks, which take `servers_bytes`.
    """
    disk = os.statvfs(host.agent_dir)
    others_bytes = (disk.f_blocks - disk.f_bavail) * disk.f_frsize - servers_bytes
    return Allocation(
        cpu_ratio=host.cpu_allocation_ratio,
        ram_ratio=host.ram_allocation_ratio,
        disk_ratio=host.disk_allocation_ratio,
        ram_reserved_mib=host.reserved_host_memory_mib,
        disk_reserved_gib=host.reserved_host_disk_gib + max(0, -(-others_bytes >> 30)),
    )


def booted_at(stat: str) -> int | None:
    """When the machine was started, in seconds since 1970, by the text of /proc/stat."""
    found = (line.split()[1] for line in stat.splitlines() if line.startswith("btime "))
    return next((int(text) for text in found), None)


def ram_mib(meminfo: str) -> int:
    """All of the machine's memory, from the text of /proc/meminfo; 0 where it does not say."""
    for line in meminfo.splitlines():
        if line.startswith("MemTotal:"):
            return int(line.split()[1]) >> 10
    return 0
