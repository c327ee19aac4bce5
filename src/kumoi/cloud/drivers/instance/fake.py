"""A driver with servers in memory. It behaves as the real one: it has state, takes its time and fails
when a test says so.

For tests, and for measuring the control plane with a hundred hosts in one process.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from kumoi.base.errors import KumoiError, Permanent, Transient
from kumoi.cloud.drivers.instance.interface import ObservedInstance
from kumoi.cloud.drivers.instance.moving import ArrivedDisk, DepartingDisk
from kumoi.cloud.hostapi.messages import ImageContent, InstanceSpec, InstanceState
from kumoi.cloud.hostapi.offer import Capability, Offer

EVERYTHING = Offer(formats=["root-tar", "squashfs", "qcow2"], capabilities=list(Capability))


def _file() -> int:
    """One without a name."""
    with tempfile.TemporaryFile(buffering=0) as made:
        return os.dup(made.fileno())


@dataclass
class FakeMoving:
    """Disks are files without names: `disks` those of servers here, `arrivals` those that come. `handed_over` are
    the generations in which servers were handed to other hosts; `refused` counts those that ran then.
    """

    driver: FakeDriver
    disks: dict[str, int] = field(default_factory=dict)
    arrivals: dict[str, tuple[int, ArrivedDisk]] = field(default_factory=dict)
    handed_over: dict[str, int] = field(default_factory=dict)
    refused: int = 0

    @contextlib.contextmanager
    def departing(
        self, server_id: str, *, build: int, final_generation: int | None
    ) -> Iterator[DepartingDisk]:
        seen = self.driver.observe(server_id)
        if seen is None or seen.build != build:
            raise Permanent("the server is not on this host")
        if final_generation is not None:
            if seen.state is not InstanceState.STOPPED:
                self.refused += 1
                raise Transient("hand a server's disk over: the server runs")
            self.handed_over[server_id] = final_generation
        yield DepartingDisk(self.disk(server_id), "0" * 64, f"console of {server_id}")

    def disk(self, server_id: str) -> int:
        """Its file, for a test to write to."""
        if server_id not in self.disks:
            self.disks[server_id] = _file()
            os.ftruncate(self.disks[server_id], 1 << 20)
        return self.disks[server_id]

    def listed(self) -> dict[str, ArrivedDisk]:
        return {key: disk for key, (_, disk) in self.arrivals.items()}

    def open_part(self, server_id: str, *, build: int) -> int:
        known = self.arrivals.get(server_id)
        file = _file() if known is None else known[0]
        self.arrivals[server_id] = file, ArrivedDisk(server_id, build, complete=False)
        return os.dup(file)

    def keep(self, server_id: str, *, build: int, image_sha256: str, console: str) -> None:  # noqa: ARG002 - the contract's
        file, _ = self.arrivals[server_id]
        self.arrivals[server_id] = file, ArrivedDisk(server_id, build, complete=True)

    def forget(self, server_id: str) -> None:
        if known := self.arrivals.pop(server_id, None):
            os.close(known[0])

    def adopt(self, server_id: str) -> None:
        known = self.arrivals.pop(server_id, None)
        if known is None or not known[1].complete:
            raise Permanent("the server's disk did not come from the host that it was on")
        self.disks[server_id] = known[0]


@dataclass
class FakeDriver:
    """`offer` is for a test to choose: without live addresses, addresses inside change at a start
    only; without snapshots, it refuses to write images. `start_s` is how long a start takes.
    `fail_next` makes calls fail; `kill` ends a server as if its own processes had ended; `reboot_host`
    ends all servers, and the host has another boot.
    """

    name: str = "lxc"
    offer: Offer = EVERYTHING
    host_boot: str = "boot-1"
    start_s: float = 0.0
    servers: dict[str, ObservedInstance] = field(default_factory=dict)
    images: set[str] = field(default_factory=set)
    room_bytes: int = 0
    tables_too_large: list[str] = field(default_factory=list)
    tables_looked_at: int = 0
    done: list[str] = field(default_factory=list)
    _failures: list[tuple[str, KumoiError]] = field(default_factory=list)
    _guard: threading.RLock = field(default_factory=threading.RLock)
    _last_pid: int = 1
    moving: FakeMoving = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        self.moving = FakeMoving(self)

    # For tests.

    def fail_next(self, verb: str, error: KumoiError, *, times: int = 1) -> None:
        """The next calls of this verb raise this error instead of doing anything."""
        self._failures += [(verb, error)] * times

    def failures_left(self, verb: str) -> int:
        """How many calls of this verb are still to fail."""
        return sum(1 for failing, _ in self._failures if failing == verb)

    def kill(self, server_id: str) -> None:
        with self._guard:
            self._change(
                server_id, state=InstanceState.STOPPED, pid=0, ports=frozenset(), remains=True
            )

    def unplug(self, server_id: str) -> None:
        """A running server loses its ports."""
        self._change(server_id, ports=frozenset())

    def reboot_host(self, host_boot: str) -> None:
        with self._guard:
            self.host_boot = host_boot
            for server_id in self.servers:
                self.kill(server_id)

    # The driver.

    def list_instances(self) -> dict[str, ObservedInstance]:
        with self._guard:
            return dict(self.servers)

    def observe(self, server_id: str) -> ObservedInstance | None:
        with self._guard:
            self._fail_if_asked("observe")
            return self.servers.get(server_id)

    def ready_images(self) -> frozenset[str]:
        with self._guard:
            return frozenset(self.images)

    def ensure_image(self, image: ImageContent, path: Path) -> None:  # noqa: ARG002 - the contract's
        if image.disk_format not in self.offer.formats:
            raise Permanent(f"the driver {self.name} takes no {image.disk_format} images")
        self._begin("ensure_image", image.id)
        with self._guard:
            self.images.add(image.sha256)

    def delete_image(self, sha256: str) -> bool:
        """No server's disk lies on an image here."""
        self._begin("delete_image", sha256)
        with self._guard:
            self.images.discard(sha256)
        return True

    def ensure_built(self, server: InstanceSpec) -> None:
        self._begin("ensure_built", server.id)
        with self._guard:
            if server.arrived and server.id not in self.servers:
                self.moving.adopt(server.id)
            seen = self.servers.get(server.id) or ObservedInstance(
                server_id=server.id, state=InstanceState.STOPPED
            )
            self.servers[server.id] = dataclasses.replace(seen, build=server.build)

    def ensure_running(self, server: InstanceSpec) -> None:
        self._begin("ensure_running", server.id)
        time.sleep(self.start_s)
        with self._guard:
            seen = self.servers[server.id]
            if seen.state is InstanceState.STOPPED:
                if server.generation <= self.moving.handed_over.get(server.id, 0):
                    raise Permanent("start a server: another host has its disk")
                self._last_pid += 1
                self._change(server.id, pid=self._last_pid)
            self._change(server.id, state=InstanceState.RUNNING, remains=False)
            self._settle(server)

    def ensure_ports(self, server: InstanceSpec) -> None:
        self._begin("ensure_ports", server.id)
        with self._guard:
            self._settle(server)

    def ensure_paused(self, server_id: str) -> None:
        self._require(Capability.PAUSE)
        self._begin("ensure_paused", server_id)
        self._change(server_id, state=InstanceState.PAUSED)

    def ensure_stopped(self, server_id: str, *, grace_s: float) -> None:  # noqa: ARG002 - likewise
        self._begin("ensure_stopped", server_id)
        with self._guard:
            if server_id in self.servers:
                self.kill(server_id)
                self._change(server_id, remains=False)

    def delete_instance(self, server_id: str) -> None:
        self._begin("delete_instance", server_id)
        with self._guard:
            self.servers.pop(server_id, None)

    def sweep(self, wanted_ports: Callable[[], frozenset[str]]) -> None:
        """Every port here belongs to a server."""

    def write_image(self, server: InstanceSpec, path: Path) -> None:
        self._require(Capability.SNAPSHOT)
        self._begin("write_image", server.id)
        path.write_bytes(f"image of {server.id}".encode())

    def disk_bytes(self) -> int:
        return 0

    def share_room(self, left_bytes: Callable[[], int]) -> int:
        self.room_bytes = left_bytes()
        return 0

    def hold_network_tables(self) -> list[str]:
        self.tables_looked_at += 1
        return self.tables_too_large

    def console(self, server_id: str, *, bytes_max: int) -> str:
        seen = self.observe(server_id)
        return f"server {server_id} is {seen.state}\n"[-bytes_max:] if seen else ""

    # What the methods share.

    def _require(self, capability: Capability) -> None:
        if capability not in self.offer.capabilities:
            raise Permanent(f"the driver {self.name} has no {capability}")

    def _begin(self, verb: str, noun_id: str) -> None:
        with self._guard:
            self._fail_if_asked(verb)
            self.done.append(f"{verb} {noun_id}")

    def _fail_if_asked(self, verb: str) -> None:
        for failure in self._failures:
            if failure[0] == verb:
                self._failures.remove(failure)
                raise failure[1]

    def _settle(self, server: InstanceSpec) -> None:
        has_live_addresses = Capability.LIVE_ADDRESSES in self.offer.capabilities
        self._change(
            server.id,
            started_generation=server.generation,
            boot=server.boot,
            hard_boot=server.hard_boot,
            host_boot=self.host_boot,
            ports=frozenset(port.id for port in server.ports),
            wired=tuple(server.ports) if has_live_addresses else None,
        )

    def _change(self, server_id: str, **changes: object) -> None:
        with self._guard:
            seen = self.servers[server_id]
            self.servers[server_id] = dataclasses.replace(seen, **changes)  # type: ignore[arg-type]
