"""Paths of this driver's files, below its directory on the host.

    images/<sha256>/rootfs/    an image's files, ids as in the image; only root can get in
    images/<sha256>/login      who logs in to it (login.py)
    images/<sha256>/unsettled  which boot of the machine unpacked it, until it is on the disk
    templates/<gib>.ext4       empty file systems, copied for each new disk
    seccomp                    the filter of system calls of every server
    servers/<id>/              everything of one server; LXC's own directory of it as well
        config                 what LXC reads
        network                its addresses and routes, applied at each start (network.py)
        unfiltered             is there when a start failed for want of a filter (confinement.py)
        record.json            how it was last started
        disk.<build>.ext4      its own file system; *.part while it is being made
        rescue.<boot>.ext4     the file system of a rescue that began with that boot
        monitor.pid            LXC's monitor, written by LXC
        handed-over            the generation up to which it does not start here (moving.py)
        console.log, lxc.log
    arrivals/<id>/             a server's disk, record and console on their way from another host

A file or directory whose name ends in `.part` is incomplete: nobody may use it, and anybody may remove
it while nobody is making it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

PART = ".part"


@dataclass(frozen=True, slots=True)
class Paths:
    host_dir: Path

    @property
    def images(self) -> Path:
        return self.host_dir / "images"

    @property
    def templates(self) -> Path:
        return self.host_dir / "templates"

    @property
    def servers(self) -> Path:
        return self.host_dir / "servers"

    @property
    def arrivals(self) -> Path:
        return self.host_dir / "arrivals"

    @property
    def seccomp(self) -> Path:
        return self.host_dir / "seccomp"

    def rootfs(self, sha256: str) -> Path:
        return self.images / sha256 / "rootfs"

    def server(self, server_id: str) -> Path:
        return self.servers / server_id

    def config(self, server_id: str) -> Path:
        return self.server(server_id) / "config"

    def network(self, server_id: str) -> Path:
        return self.server(server_id) / "network"

    def unfiltered(self, server_id: str) -> Path:
        return self.server(server_id) / "unfiltered"

    def record(self, server_id: str) -> Path:
        return self.server(server_id) / "record.json"

    def disk(self, server_id: str, build: int) -> Path:
        return self.server(server_id) / f"disk.{build}.ext4"

    def rescue_disk(self, server_id: str, boot: int) -> Path:
        return self.server(server_id) / f"rescue.{boot}.ext4"

    def monitor_pid(self, server_id: str) -> Path:
        return self.server(server_id) / "monitor.pid"

    def handed_over(self, server_id: str) -> Path:
        return self.server(server_id) / "handed-over"

    def console(self, server_id: str) -> Path:
        return self.server(server_id) / "console.log"

    def log(self, server_id: str) -> Path:
        return self.server(server_id) / "lxc.log"
