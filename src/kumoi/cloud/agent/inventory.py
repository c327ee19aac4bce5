"""What this host has to offer its servers, read anew for each hello."""

from __future__ import annotations

import os
import socket
from collections.abc import Collection
from pathlib import Path

import kumoi
from kumoi.cloud.hostapi.hello import HostHello
from kumoi.cloud.hostapi.offer import Offer

_MEMINFO = Path("/proc/meminfo")


def take(
    *,
    epoch: str,
    hostname: str,
    address: str,
    host_dir: Path,
    offers: dict[str, Offer],
    ready_images: Collection[str],
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
        ram_mib=ram_mib(_MEMINFO.read_text()),
        disk_gib=disk.f_blocks * disk.f_frsize >> 30,
        ready_images=tuple(sorted(ready_images)),
    )


def ram_mib(meminfo: str) -> int:
    """All of the machine's memory, from the text of /proc/meminfo; 0 where it does not say."""
    for line in meminfo.splitlines():
        if line.startswith("MemTotal:"):
            return int(line.split()[1]) >> 10
    return 0
