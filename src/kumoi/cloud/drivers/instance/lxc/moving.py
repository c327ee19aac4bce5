"""Disks of servers that leave for another host, or have come from one.

A disk that comes lies beside the servers until it is complete and its server is to be here; then it becomes the
server's by a rename. A disk that has gone stays where it was until the control plane says that the server is
absent. In between the server's directory has a mark: with the end of a stopped server's disk the other host may
start it, so it starts here no more, whatever an older copy of its spec says, until a newer one says that it is back.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from kumoi.base import files
from kumoi.base.errors import Permanent, Transient
from kumoi.base.files import Promise
from kumoi.cloud.drivers.instance import loop, record, room
from kumoi.cloud.drivers.instance.lxc.paths import PART, Paths
from kumoi.cloud.drivers.instance.moving import ArrivedDisk, DepartingDisk
from kumoi.cloud.drivers.instance.record import InstanceRecord
from kumoi.cloud.hostapi.messages import InstanceSpec

CONSOLE_BYTES_MAX = 64 << 10
DETACH_TIMEOUT_S = 5.0
_POLL_S = 0.005


class LxcMoving:
    """`is_running` is whether a server runs or is being started."""

    def __init__(self, paths: Paths, is_running: Callable[[str], bool]) -> None:
        self._paths = paths
        self._is_running = is_running

    @contextlib.contextmanager
    def departing(
        self, server_id: str, *, build: int, final_generation: int | None
    ) -> Iterator[DepartingDisk]:
        directory = self._paths.server(server_id)
        if not directory.is_dir():
            raise Permanent("the server is not on this host")
        with _attempted("read a server's disk"):
            if final_generation is not None:
                # First: a start that comes now sees it, and one that came before is seen.
                mark = self._paths.handed_over(server_id)
                files.replace(mark, str(final_generation), promise=Promise.NEW)
                if self._is_running(server_id):
                    raise Transient("hand a server's disk over: the server runs")
                await_detached(directory)
            file = os.open(self._paths.disk(server_id, build), os.O_RDONLY | os.O_CLOEXEC)
        try:
            sha256 = record.read(self._paths.record(server_id)).image_of(build)
            yield DepartingDisk(file, sha256, _end_of(self._paths.console(server_id)))
        finally:
            os.close(file)

    def sweep(self) -> None:
        """Of an earlier agent that was killed between giving a server its disk and what was left beside it."""
        if self._paths.arrivals.is_dir():
            for place in self._paths.arrivals.iterdir():
                if not any(place.glob("disk.*")):
                    shutil.rmtree(place, ignore_errors=True)

    def listed(self) -> dict[str, ArrivedDisk]:
        if not self._paths.arrivals.is_dir():
            return {}
        return {
            disk.parent.name: ArrivedDisk(
                disk.parent.name, int(disk.name.split(".")[1]), disk.suffix != PART
            )
            for disk in self._paths.arrivals.glob("*/disk.*")
        }

    def open_part(self, server_id: str, *, build: int) -> int:
        with _attempted("make room for a server's disk"):
            room.check(self._paths.host_dir, "take a server's disk")
            part = self._final(server_id, build).with_name(f"disk.{build}.ext4{PART}")
            part.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            for other in part.parent.glob("disk.*"):
                if other != part:
                    other.unlink(missing_ok=True)
            return os.open(part, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, files.PRIVATE)

    def keep(self, server_id: str, *, build: int, image_sha256: str, console: str) -> None:
        with _attempted("keep a server's disk"):
            final = self._final(server_id, build)
            made = InstanceRecord(image_sha256=image_sha256, images={build: image_sha256})
            record.write(final.with_name(self._paths.record(server_id).name), made)
            output = final.with_name(self._paths.console(server_id).name)
            files.replace(output, console, promise=Promise.KILL)
            files.publish(final.with_name(final.name + PART), final, promise=Promise.NEW)

    def forget(self, server_id: str) -> None:
        shutil.rmtree(self._paths.arrivals / server_id, ignore_errors=True)

    def adopt(self, server: InstanceSpec) -> None:
        """Give a server the disk that came for it; the disk last, so that a kill leaves all to be done again."""
        final, own = self._final(server.id, server.build), self._paths.server(server.id)
        if not final.exists():
            raise Permanent("the server's disk did not come from the host that it was on")
        for path in (self._paths.record(server.id), self._paths.console(server.id)):
            with contextlib.suppress(FileNotFoundError):
                final.with_name(path.name).replace(path)
        files.sync(own)
        final.replace(self._paths.disk(server.id, server.build))
        files.sync(own)
        files.sync(final.parent)
        self.forget(server.id)

    def require_here(self, server: InstanceSpec) -> None:
        """Before a start. Raises Permanent when the server's disk was handed over."""
        mark = self._paths.handed_over(server.id)
        try:
            generation = int(mark.read_text())
        except FileNotFoundError:
            return
        if server.generation <= generation:
            raise Permanent("start a server: another host has its disk")
        mark.unlink()

    def _final(self, server_id: str, build: int) -> Path:
        return self._paths.arrivals / server_id / f"disk.{build}.ext4"


def await_detached(directory: Path) -> None:
    """The kernel detaches the disk a moment after the last process ended."""
    deadline = time.monotonic() + DETACH_TIMEOUT_S
    while loop.is_attached(directory):
        if time.monotonic() > deadline:
            raise Transient("let a server's disk go: something still uses it")
        time.sleep(_POLL_S)


def _end_of(console: Path) -> str:
    try:
        with console.open("rb") as output:
            output.seek(max(0, os.fstat(output.fileno()).st_size - CONSOLE_BYTES_MAX))
            return output.read(CONSOLE_BYTES_MAX).decode(errors="replace")
    except FileNotFoundError:
        return ""


@contextlib.contextmanager
def _attempted(what: str) -> Iterator[None]:
    try:
        yield
    except OSError as cause:
        if files.is_disk_full(cause):
            raise Permanent(f"{what}: the host's disk is full") from cause
        raise Transient(what) from cause
