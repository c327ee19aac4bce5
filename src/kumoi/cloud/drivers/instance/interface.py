"""What a driver of servers does for the host agent.

Every verb is idempotent: it looks at what is there and does what is missing, also after a kill in
the middle of an earlier one. The agent calls the verbs of one server from one thread at a time, and
of several servers at once. A verb raises Transient when a later try may help and Permanent, with a
text for operators, when none will. Drivers know nothing of the control plane.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from kumoi.cloud.drivers.network.interface import Switch
from kumoi.cloud.hostapi.messages import ImageContent, InstanceSpec, InstanceState, ServerPort
from kumoi.cloud.hostapi.offer import Offer


@dataclass(frozen=True, slots=True, kw_only=True)
class ObservedInstance:
    """What is there of a server. `state` is running, paused or stopped.

    `keeper_pid` is the process that ends when the server has stopped for good, a reboot from inside
    excepted. `build` is None while there is no disk. The rest tells about the latest start:
    `started_generation` is that of the wanted state it was for, 0 for none; `host_boot` is the
    identity of the host's own boot; `remains` says that links or groups of it are still there.
    `wired` is how its ports were last set up inside; None where a driver has no live addresses and
    only the next start can change them.
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
    remains: bool = False


class InstanceDriver(Protocol):
    @property
    def name(self) -> str:
        """As in a server's `driver`."""
        ...

    @property
    def offer(self) -> Offer:
        """What it takes and can do on this host."""
        ...

    def list_instances(self) -> dict[str, ObservedInstance]:
        """All that has anything on this host, by server id."""
        ...

    def observe(self, server_id: str) -> ObservedInstance | None:
        """One of them, as cheaply as can be."""
        ...

    def ready_images(self) -> frozenset[str]:
        """Content hashes of the images that a server can be built from at once."""
        ...

    def ensure_image(self, image: ImageContent, path: Path) -> None:
        """Make an image ready from its file. Does not change the file."""
        ...

    def delete_image(self, sha256: str) -> bool:
        """Remove what was made ready of an image, unless a server's disk lies on it. Whether it is
        gone.
        """
        ...

    def ensure_built(self, server: InstanceSpec) -> None:
        """Give a stopped server a disk of its build, then take away those of other builds: where it
        cannot be made, the server has what it had.
        """
        ...

    def ensure_running(self, server: InstanceSpec) -> None:
        """Start what is built, or resume it, and take down the start's generation and boots."""
        ...

    def ensure_ports(self, server: InstanceSpec) -> None:
        """Plug a running server's ports as wanted and take down its generation. With live
        addresses, those inside are then as wanted too; without, those of the next start will be.
        """
        ...

    def ensure_paused(self, server_id: str) -> None:
        """Freeze a running server."""
        ...

    def ensure_stopped(self, server_id: str, *, grace_s: float) -> None:
        """Ask it to stop, end it when the grace is over, and clean up after it but for the disk."""
        ...

    def delete_instance(self, server_id: str) -> None:
        """Leave nothing of it."""
        ...

    def write_image(self, server: InstanceSpec, path: Path) -> None:
        """Write a server's files, as they are now, as an image that others can start from."""
        ...

    def sweep(self, wanted_ports: Callable[[], frozenset[str]]) -> None:
        """Remove ports that no server is wanted to have. First look what is there, then ask what is
        wanted: what a start makes meanwhile is then known to be wanted.
        """
        ...

    def console(self, server_id: str, *, bytes_max: int) -> str:
        """The end of what it wrote to its console."""
        ...


class HostDriver(Protocol):
    """A driver on a host, whether servers or an agent run there or not."""

    def opened(self, *, switch: Switch, host_boot: str) -> AbstractContextManager[InstanceDriver]:
        """For the agent, as long as that runs. Servers run on when it is left. `host_boot` is the
        identity of this boot of the host.
        """
        ...

    def ready_images(self) -> frozenset[str]:
        """As an agent would say."""
        ...

    def list_running(self) -> dict[str, int]:
        """By server id, the process that ends when the server has stopped for good."""
        ...

    def stop_servers(self, *, grace_s: float) -> int:
        """End all that runs, with no agent running: asked all at the same time, killed when the
        grace is over. Their disks stay. How many there were.
        """
        ...

    def forget(self) -> None:
        """Take back what it was given outside the host's directories, unless others use it."""
        ...
