"""Servers as unprivileged LXC system containers.

Observes, has plan.py say what is missing, and does that. Processes are observed in /proc and disks in
the server's directory, so a kill at any moment leaves nothing that the next look does not find. Links
are made while the root file system is mounted; LXC starts when it has both.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import msgspec

from kumoi.base import files
from kumoi.base.errors import KumoiError, Permanent, Transient
from kumoi.base.files import Promise
from kumoi.base.process import ProcessFailed
from kumoi.cloud.drivers.instance import fence, record, room, seed, sparse, unpack, wire
from kumoi.cloud.drivers.instance.interface import ObservedInstance
from kumoi.cloud.drivers.instance.lxc import (
    cgroup,
    config,
    confinement,
    disk,
    enlarge,
    growth,
    idmap,
    image,
    link,
    monitor,
    moving,
    network,
    plan,
    rootfs,
    still,
    subids,
)
from kumoi.cloud.drivers.instance.lxc.paths import PART, Paths
from kumoi.cloud.drivers.instance.lxc.ports import Ports, link_ports
from kumoi.cloud.drivers.instance.lxc.table_bounds import TableBounds
from kumoi.cloud.drivers.instance.record import InstanceRecord
from kumoi.cloud.drivers.network import veth
from kumoi.cloud.drivers.network.interface import Switch
from kumoi.cloud.hostapi.messages import ImageContent, InstanceSpec, InstanceState
from kumoi.cloud.hostapi.offer import Capability, Offer

CPUINFO = Path("/proc/cpuinfo")
TIME_NAMESPACE = Path("/proc/self/ns/time")
BLOCK_BYTES = 512  # What the kernel counts a file's blocks in.


class LxcDriver:
    """Used by the host agent, in the host's network namespace. `host_name` names the control
    groups of its servers, `host_boot` is the identity of this boot of the host.
    """

    name = "lxc"
    offer = Offer(
        formats=sorted(unpack.formats()),
        capabilities=list(Capability),
        servers_max=idmap.SLOTS,
    )

    def __init__(self, *, host_dir: Path, host_name: str, switch: Switch, host_boot: str) -> None:
        self._paths = Paths(host_dir)
        self._ports = Ports(self._paths, switch)
        self._host_boot = host_boot
        self._host_name = host_name
        self._freezer = still.Freezer(self._group)
        self._machine = cgroup.machine(fence.of_servers(host_name))
        self._cpuinfo = CPUINFO.read_text()
        self._ids = idmap.IdOwners({})
        self._starting: set[str] = set()
        self._table_bounds = TableBounds()
        self._settling = ThreadPoolExecutor(1, thread_name_prefix="settling")
        self.moving = moving.LxcMoving(self._paths, self._is_up)

    def prepare(self) -> None:
        """Once, before any other method: prepare the host, and clean up after an earlier agent."""
        self._paths.servers.mkdir(parents=True, exist_ok=True)
        self._paths.servers.chmod(0o711)
        self._paths.host_dir.chmod(0o711)
        # Each server's own directory is closed to all, but its root, who is nobody on the host, must be
        # able to pass through those above.
        for directory in self._paths.servers.resolve().parents:
            if not directory.stat().st_mode & stat.S_IXOTH:
                raise Permanent(f"{directory} must be open to others for passing through (0711)")
        files.replace(self._paths.seccomp, confinement.seccomp(), promise=Promise.KILL)
        subids.claim(self._paths.host_dir)
        monitor.wait_for_strays(self._paths)
        self._ports.prepare()
        running = monitor.find_all(self._paths)
        self._ids = idmap.IdOwners(
            {idmap.base_of(one.pid): server_id for server_id, one in running.items()}
        )
        image.sweep(self._paths)
        self.moving.sweep()
        self._settling.submit(image.settle, self._paths)

    def close(self) -> None:
        """After all other methods."""
        self._ports.close()
        self._settling.shutdown()

    # Observing.

    def list_instances(self) -> dict[str, ObservedInstance]:
        running = monitor.find_all(self._paths)
        names = {entry.name for entry in self._paths.servers.iterdir() if entry.is_dir()}
        links = frozenset(name for name in link.list_links() if veth.is_up(name))
        plugged = self._ports.list_plugged()
        return {
            server_id: self._observed(server_id, running.get(server_id), links, plugged)
            for server_id in sorted(names | set(running))
        }

    def observe(self, server_id: str) -> ObservedInstance | None:
        running = self._running(server_id)
        if running is None and not self._paths.server(server_id).is_dir():
            return None
        known = record.read(self._paths.record(server_id)).links
        links = frozenset(name for name in known if veth.is_up(name))
        return self._observed(server_id, running, links, self._ports.list_plugged())

    def ready_images(self) -> frozenset[str]:
        return image.ready(self._paths)

    def disk_bytes(self) -> int:
        taken = 0
        for file in self._paths.servers.glob("*/*.ext4"):
            with contextlib.suppress(FileNotFoundError):
                taken += file.stat().st_blocks * BLOCK_BYTES
        return taken

    def share_room(self, left_bytes: Callable[[], int]) -> int:
        return growth.share_out(self._paths.host_dir, self._paths.servers, left_bytes)

    def hold_network_tables(self) -> list[str]:
        def hold(server_id: str) -> bool:
            end = partial(self._end, server_id, grace_s=0)
            return self._table_bounds.hold(server_id, self._group(server_id), end)

        return [server_id for server_id in monitor.find_all(self._paths) if hold(server_id)]

    def console(self, server_id: str, *, bytes_max: int) -> str:
        try:
            with self._paths.console(server_id).open("rb") as file:
                size = os.fstat(file.fileno()).st_size
                file.seek(max(0, size - bytes_max))
                return file.read().decode(errors="replace")
        except FileNotFoundError:
            return ""

    # Changing.

    def ensure_image(self, image_: ImageContent, path: Path) -> None:
        with _attempted("make an image ready"):
            image.ensure(self._paths, image_, path)
        self._settling.submit(image.settle, self._paths)

    def delete_image(self, sha256: str) -> bool:
        with _attempted("remove an image"):
            for directory in self._paths.servers.iterdir():
                known = record.read(self._paths.record(directory.name))
                if sha256 in (known.image_sha256, known.rescue_sha256, *known.images.values()):
                    return False
            image.delete(self._paths, sha256)
        return True

    def ensure_built(self, server: InstanceSpec) -> None:
        with _attempted("make a server's disk"):
            self._paths.server(server.id).mkdir(mode=0o700, exist_ok=True)
            if server.arrived and server.build not in self._disks(server.id):
                self.moving.adopt(server)
            self._build(server)

    def ensure_running(self, server: InstanceSpec) -> None:
        with _attempted("start a server"):
            running = monitor.find(self._paths, server.id)
            if running is None:
                self._starting.add(server.id)
                try:
                    self.moving.require_here(server)
                    self._start(server)
                finally:
                    self._starting.discard(server.id)
            else:
                self._freezer.resume(server.id)
            self._settle(server)

    def ensure_ports(self, server: InstanceSpec) -> None:
        with _attempted("plug a server's ports"):
            self._settle(server)

    def ensure_paused(self, server_id: str) -> None:
        with _attempted("pause a server"):
            self._freezer.pause(server_id)

    def ensure_stopped(self, server_id: str, *, grace_s: float) -> None:
        with _attempted("stop a server"):
            self._end(server_id, grace_s=grace_s)
            if self._tidy(server_id):
                self._record(server_id, links={})

    def delete_instance(self, server_id: str) -> None:
        """Writes nothing: it must work on a full disk."""
        with _attempted("delete a server"):
            self._end(server_id, grace_s=0)
            self._tidy(server_id)
            directory = self._paths.server(server_id)
            moving.await_detached(directory)
            shutil.rmtree(directory, ignore_errors=True)
            if directory.exists():
                raise Transient("delete a server's files")

    def write_image(self, server: InstanceSpec, path: Path) -> None:
        with _attempted("make an image of a server"):
            base = self._image_of(server)
            file = self._paths.disk(server.id, server.build)
            mounts = rootfs.mounts_for(self._paths.host_dir)
            copy = path.with_name(f"{path.name}.disk")
            if not self._running(server.id) or self._freezer.is_paused(server.id):
                image.write(self._paths, base, file, path)  # Nothing changes the disk.
                return
            with still.of(mounts, file, copy, self._freezer, server.id) as source:
                image.write(self._paths, base, source, path)

    def sweep(self, wanted_ports: Callable[[], frozenset[str]]) -> None:
        self._ports.sweep(wanted_ports)

    # What the methods above share.

    def _observed(
        self,
        server_id: str,
        running: monitor.RunningContainer | None,
        links: frozenset[str],
        plugged: dict[str, str],
    ) -> ObservedInstance:
        known = record.read(self._paths.record(server_id))
        state = InstanceState.STOPPED
        if running is not None:
            state = (
                InstanceState.PAUSED
                if self._freezer.is_paused(server_id)
                else InstanceState.RUNNING
            )
        present = {name: port for name, port in known.links.items() if name in links}
        return ObservedInstance(
            server_id=server_id,
            state=state,
            pid=running.pid if running else 0,
            keeper_pid=running.keeper_pid if running else 0,
            build=max(self._disks(server_id), default=None),
            boot=known.boot,
            hard_boot=known.hard_boot,
            started_generation=known.started_generation,
            host_boot=known.host_boot,
            ports=frozenset(port for name, port in present.items() if plugged.get(name) == port),
            wired=tuple(known.wired),
            guarded=frozenset(known.guarded),
            bounded=frozenset(known.bounded),
            remains=running is None and bool(known.links),
        )

    def _build(self, server: InstanceSpec) -> None:
        """Make and drop disks. The record names the images of all disks that exist, at any moment."""
        actions = plan.building(server, self._disks(server.id))
        for action in actions:
            if isinstance(action, plan.DropDisk):
                self._paths.disk(server.id, action.build).unlink(missing_ok=True)
            else:
                self._make_disk(server.id, action)
        if actions:
            sha256 = record.read(self._paths.record(server.id)).image_of(server.build)
            self._record(server.id, image_sha256=sha256, images={server.build: sha256})

    def _make_disk(self, server_id: str, action: plan.MakeDisk) -> None:
        def note() -> None:
            known = record.read(self._paths.record(server_id))
            images = {build: known.image_of(build) for build in self._disks(server_id)}
            self._record(server_id, images=images | {action.build: action.image_sha256})

        self._fill_disk(self._paths.disk(server_id, action.build), action, note)

    def _fill_disk(self, final: Path, action: plan.MakeDisk, note: Callable[[], object]) -> None:
        """`note` is called before the disk is there."""
        room.check(self._paths.servers, "make a server's disk")
        base = self._paths.rootfs(action.image_sha256)
        login = image.login_of(self._paths, action.image_sha256)
        part = final.with_name(final.name + PART)
        template = disk.ensure_template(self._paths.templates, action.disk_gib)
        mounts = rootfs.mounts_for(self._paths.host_dir)

        def fill() -> None:
            rootfs.open_disk(mounts, part)
            rootfs.write_files(mounts, base, action.files, login)
            rootfs.sync_disk(mounts)

        with disk.draft(part):
            sparse.copy(template, part)
            rootfs.with_own_mounts(fill)
            note()
            disk.keep(part, final)

    def _prepare_rescue(self, server: InstanceSpec) -> Path | None:
        """The disk of the rescue that is wanted; those of others go, and what they needed."""
        wanted = None
        if server.rescue is not None:
            wanted, sha256 = self._paths.rescue_disk(server.id, server.boot), server.rescue.sha256
            if not wanted.exists():
                files_ = seed.files(msgspec.structs.replace(server, files=[]))
                made = plan.MakeDisk(server.boot, server.disk_gib, sha256, files_)
                self._fill_disk(wanted, made, lambda: self._record(server.id, rescue_sha256=sha256))
        for path in self._paths.server(server.id).glob("rescue.*.ext4"):
            if path != wanted:
                path.unlink(missing_ok=True)
        if wanted is None and record.read(self._paths.record(server.id)).rescue_sha256:
            self._record(server.id, rescue_sha256="")
        return wanted

    def _start(self, server: InstanceSpec) -> None:
        ids = idmap.of_slot(subids.claim(self._paths.host_dir), server.id_slot)
        self._ids.take(ids, server.id, self._is_up)
        image_ = self._image_of(server)
        wires = wire.of(server)
        mounts = rootfs.mounts_for(self._paths.host_dir)
        paths = config.ContainerPaths(
            rootfs=mounts.root,
            seccomp=self._paths.seccomp,
            unfiltered=self._paths.unfiltered(server.id),
            console=self._paths.console(server.id),
            processors=mounts.processors,
            start_hook=network.hook(self._paths.network(server.id)),
            rescued=mounts.rescued.root if server.rescue else None,
            # By the clock that stops in suspends: no clock of a server may run below 0.
            uptime_s=int(time.monotonic()) if TIME_NAMESPACE.exists() else None,
        )
        paths.unfiltered.unlink(missing_ok=True)
        text = config.config(server, self._machine, paths, ids)
        self._record(
            server.id,
            links=link_ports(wires),
            wired=server.ports,
            guarded=wire.guarded(wires),
            bounded=wire.bounded(wires),
            given=list(network.statements(wires)),
        )
        if server.build not in self._disks(server.id):
            raise Transient("start a server that is not built yet")
        self._build(server)  # Drops disks of other builds that a killed agent left.
        self._grow_disk(server)
        rescue = self._prepare_rescue(server)
        files.replace(self._paths.config(server.id), text, promise=Promise.KILL)
        for group in self._groups(server.id):
            cgroup.remove(group)
        links = self._ports.begin(server, wires)

        def launch() -> None:
            own = self._paths.disk(server.id, server.build)
            if rescue is None or server.rescue is None:
                rootfs.open_disk(mounts, own)
                rootfs.assemble(mounts, image_, ids)
            else:
                rootfs.open_disk(mounts, rescue)
                rootfs.assemble(mounts, self._paths.rootfs(server.rescue.sha256), ids)
                mounts.rescued.top.mkdir(mode=0o755)
                rootfs.open_disk(mounts.rescued, own)
                rootfs.assemble(mounts.rescued, image_, ids)
            mounts.processors.write_text(config.processors(self._cpuinfo, server.vcpus))
            links.wait_made()
            monitor.start(self._paths, server.id)

        try:
            rootfs.with_own_mounts(launch)
        except ProcessFailed as cause:
            raise self._not_started(server.id) from cause
        finally:
            links.wait_ended()
        links.wait()

    def _settle(self, server: InstanceSpec) -> None:
        """Ports as wanted, and the generation and boots into the record."""
        running = monitor.find(self._paths, server.id)
        path = self._paths.record(server.id)
        known = self._ports.settle(server, record.read(path), pid=running.pid if running else 0)
        settled = known.replace(
            started_generation=server.generation,
            boot=server.boot,
            hard_boot=server.hard_boot,
            host_boot=self._host_boot,
        )
        record.write(path, settled)

    def _grow_disk(self, server: InstanceSpec) -> None:
        """Enlarge a stopped server's disk after a resize to a flavor with a larger one."""
        file = self._paths.disk(server.id, server.build)
        if disk.is_smaller(file, server.disk_gib):
            room.check(file.parent, "make a server's disk larger")
            moving.await_detached(file.parent)
            enlarge.enlarge(self._paths.host_dir, file, server.disk_gib)

    def _running(self, server_id: str) -> monitor.RunningContainer | None:
        """A server whose directory was removed is found by its control group."""
        if self._paths.server(server_id).is_dir():
            return monitor.find(self._paths, server_id)
        if cgroup.remains(self._group(server_id)):
            return monitor.find_all(self._paths).get(server_id)
        return None

    def _end(self, server_id: str, *, grace_s: float) -> None:
        """End all its processes."""
        if running := self._running(server_id):
            cgroup.thaw_to_end(self._group(server_id))
            monitor.stop(running, grace_s=grace_s)

    def _tidy(self, server_id: str) -> bool:
        """Remove what a start made: ports, links, control groups. Whether its record names links."""
        known = record.read(self._paths.record(server_id))
        if known.links:
            self._ports.remove(known.links)
        for group in self._groups(server_id):
            cgroup.remove(group)
        return bool(known.links)

    def _record(self, server_id: str, **changes: object) -> InstanceRecord:
        path = self._paths.record(server_id)
        known = record.read(path).replace(**changes)
        record.write(path, known)
        return known

    def _image_of(self, server: InstanceSpec) -> Path:
        """The image below its disk, by the record; by its spec when the record was lost."""
        known = record.read(self._paths.record(server.id)).image_of(server.build)
        sha256 = known or (server.image.sha256 if server.image else "")
        if not sha256:
            raise Permanent("nobody knows which image the server was built from")
        return self._paths.rootfs(sha256)

    def _disks(self, server_id: str) -> list[int]:
        names = [path.name for path in self._paths.server(server_id).glob("disk.*.ext4")]
        return [int(name.split(".")[1]) for name in names]

    def _group(self, server_id: str) -> str:
        return cgroup.of_server(self._host_name, server_id)

    def _groups(self, server_id: str) -> tuple[str, str]:
        return self._group(server_id), f"{self._group(server_id)}{config.MONITOR_SUFFIX}"

    def _is_up(self, server_id: str) -> bool:
        return server_id in self._starting or self._running(server_id) is not None

    def _not_started(self, server_id: str) -> KumoiError:
        if self._paths.unfiltered(server_id).exists():
            return Permanent("start a server: this LXC leaves out its filter of system calls")
        return Transient(f"start a server: LXC says {self._first_error(server_id)}")

    def _first_error(self, server_id: str) -> str:
        """The first line of LXC's log, without its prefix."""
        try:
            lines = self._paths.log(server_id).read_text(errors="replace").splitlines()
        except FileNotFoundError:
            return "nothing"
        return " ".join(lines[0].split()[3:]) if lines else "nothing"


@contextlib.contextmanager
def _attempted(what: str) -> Iterator[None]:
    """An error of the operating system is Transient, or Permanent when the disk is full."""
    try:
        yield
    except OSError as cause:
        if files.is_disk_full(cause):
            raise Permanent(f"{what}: the host's disk is full") from cause
        raise Transient(what) from cause
