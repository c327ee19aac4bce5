"""What a driver of servers does for the host agent.

Every method is idempotent: it looks at what is there and does what is missing, also after a kill in
the middle of an earlier call. The agent calls methods for one server from one thread at a time, and
for several servers at once. A method raises Transient when a later try may help and Permanent, with a
text for operators, when none will. Drivers know nothing of the control plane.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from kumoi.cloud.drivers.instance.moving import MovingDisks
from kumoi.cloud.drivers.network.interface import Switch
from kumoi.cloud.hostapi.messages import ImageContent, InstanceSpec, InstanceState, ServerPort
from kumoi.cloud.hostapi.offer import Offer


@dataclass(frozen=True, slots=True, kw_only=True)
class ObservedInstance:
    """What a driver observes of a server. `state` is running, paused or stopped.

    `keeper_pid` is the process that ends when the server has stopped for good, and stays in a reboot
    from inside. `build` is None while there is no disk. The rest is about the latest start:
    `started_generation` is that of the spec it was started by, 0 for none; `host_boot` is the identity
    of the host's boot; `remains` says that its links or control groups are still there although it has
    stopped. `wired` are its ports as last set up inside; None where the driver has no live addresses,
    so that only the next start can change them. `guarded` are the ids of the ports that let no advertisements
    of routers out, `bounded` of those that send from few MACs; None where the driver does not say. `connections` and `listening` are of the ports that its spec
    watches; the agent observes them itself.
    """

    server_id: str
    state: InstanceState
    pid: int = 0
    keeper_pid: int = 0
    build: int | None = None
    boot: int = 0
    hard_boot: int = 0
    started_generation: int = 0
    host_boot: str = ""
    ports: frozenset[str] = frozenset()
    wired: tuple[ServerPort, ...] | None = ()
    guarded: frozenset[str] | None = None
    bounded: frozenset[str] = frozenset()
    remains: bool = False
    connections: int = 0
    listening: tuple[int, ...] = ()


class InstanceDriver(Protocol):
    @property
    def name(self) -> str:
        """As in a server's `driver`."""
        ...

    @property
    def offer(self) -> Offer:
        """The image formats that it accepts on this host, and its capabilities."""
        ...

    @property
    def moving(self) -> MovingDisks:
        """What it does with disks that move, where it offers that."""
        ...

    def list_instances(self) -> dict[str, ObservedInstance]:
        """Every server that has anything on this host, by id."""
        ...

    def observe(self, server_id: str) -> ObservedInstance | None:
        """One server, without looking at the others."""
        ...

    def ready_images(self) -> frozenset[str]:
        """Content hashes of the images that a server can be built from at once."""
        ...

    def ensure_image(self, image: ImageContent, path: Path) -> None:
        """Make an image ready from its file. Does not change the file."""
        ...

    def delete_image(self, sha256: str) -> bool:
        """Remove a ready image, unless a server's disk needs it; whether it was removed."""
        ...

    def ensure_built(self, server: InstanceSpec) -> None:
        """Give a stopped server a disk of its build, then remove those of other builds: while the new
        one cannot be made, the server keeps the old one.
        """
        ...

    def ensure_running(self, server: InstanceSpec) -> None:
        """Start a built server, or resume it, and record its generation and boots."""
        ...

    def ensure_ports(self, server: InstanceSpec) -> None:
        """Plug a running server's ports as wanted and record its generation. A driver with live
        addresses changes those inside, too; with any other, the next start does.
        """
        ...

    def ensure_paused(self, server_id: str) -> None:
        """Freeze a running server."""
        ...

    def ensure_stopped(self, server_id: str, *, grace_s: float) -> None:
        """Ask it to stop, kill it when the grace is over, and remove everything but its disk."""
        ...

    def delete_instance(self, server_id: str) -> None:
        """Remove everything it has."""
        ...

    def write_image(self, server: InstanceSpec, path: Path) -> None:
        """Write a server's files, as they are now, as an image that others can start from."""
        ...

    def sweep(self, wanted_ports: Callable[[], frozenset[str]]) -> None:
        """Remove ports that no server is wanted to have. It must list the ports before it calls
        `wanted_ports`, which then names those of a start in between.
        """
        ...

    def disk_bytes(self) -> int:
        """What the servers' disks take of the host's disk now, which is less than they may."""
        ...

    def share_room(self, left_bytes: Callable[[], int]) -> int:
        """Let servers' disks take so many bytes more of the host's disk together, until the next call:
        a write beyond is ENOSPC to the server. How many servers are held to less than they have free.
        Servers write meanwhile, so it is asked what is left once it is known what they have taken.
        """
        ...

    def hold_network_tables(self) -> list[str]:
        """Take from servers what their root told the kernel of networks, where it takes more memory of the host than
        counts for them and a part beyond; the server ends where it cannot be taken. The ids of these servers.
        """
        ...

    def console(self, server_id: str, *, bytes_max: int) -> str:
        """The end of what the server wrote to its console."""
        ...


class HostDriver(Protocol):
    """A driver on a host, whether servers or an agent run there or not."""

    def opened(self, *, switch: Switch, host_boot: str) -> AbstractContextManager[InstanceDriver]:
        """The driver for an agent, while it runs; servers keep running afterwards. `host_boot` is the
        identity of this boot of the host.
        """
        ...

    def ready_images(self) -> frozenset[str]:
        """Likewise, without an agent."""
        ...

    def list_running(self) -> dict[str, int]:
        """By server id, the process that ends when the server has stopped for good: `keeper_pid`."""
        ...

    def held_disks(self) -> int:
        """How many servers' disks may not grow as far as they have free, for want of room."""
        ...

    def stop_servers(self, *, grace_s: float) -> int:
        """Stop all running servers, while no agent runs: all are asked at once and killed when the
        grace is over. Their disks stay. Gives their number.
        """
        ...

    def forget(self) -> None:
        """Give back what the host holds outside its directories, unless a process still uses it."""
        ...
