"""Faults that undo themselves: however the drill ends, what it froze goes on and what it cut is joined.

Whatever has to be undone is undone by a shell that was started before, and waits for the end of its input: the drill's own
end, by SIGKILL too, is one.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import signal
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from kumoi.base import process
from kumoi.base.errors import Conflict
from kumoi.drill.place import DrillHost
from kumoi.drill.plan import HOST, Drilled, Fault
from kumoi.hosts.units import running

FILLER = "drill-fills-this-disk"
UNTIL_OVER = "trap '' INT TERM HUP QUIT; echo ready; read -r _; {}"
NO_DISK = "its directory is on a disk that others share, which is not the drill's to fill"
NO_CLOCK = "hosts on one machine have its clock, and Linux has no other of a group of processes"
NOT_RUNNING = "it does not run"


@dataclass(frozen=True, slots=True)
class Made:
    """What a fault did: the processes that it ended."""

    killed: frozenset[int] = frozenset()


def hindrance(drilled: Drilled, place: DrillHost | None) -> str:
    """Why this fault cannot be made here; "" where it can."""
    if drilled.fault is Fault.SKEW:
        return NO_CLOCK
    if place is None:
        return ""
    if drilled.fault is Fault.FILL and not _has_own_disk(place.host.state):
        return NO_DISK
    if drilled.component != HOST and not place.pids(drilled.component):
        return NOT_RUNNING
    return ""


@contextlib.contextmanager
def made(drilled: Drilled, place: DrillHost | None) -> Iterator[Made]:
    """Inside the `with` block the fault is there."""
    with contextlib.ExitStack() as undone:
        if place is None:
            yield Made()
        elif drilled.fault is Fault.KILL:
            yield Made(frozenset(_kill(_to_kill(drilled, place))))
        elif drilled.fault is Fault.FREEZE:
            pids = _to_freeze(drilled, place)
            words = " ".join(map(str, pids))
            undone.enter_context(_undone_by(f"kill -CONT {words} 2>/dev/null"))
            _signal(pids, signal.SIGSTOP)
            yield Made()
        elif drilled.fault is Fault.CUT:
            links = place.links()
            joins = (f"ip link set dev {shlex.quote(link)} up" for link in links)
            undone.enter_context(_undone_by("; ".join(joins)))
            for link in links:
                process.run(["ip", "link", "set", "dev", link, "down"])
            yield Made()
        else:
            file = place.host.state / FILLER
            undone.enter_context(_undone_by(f"rm -f {shlex.quote(str(file))}"))
            _fill(file)
            yield Made()


@contextlib.contextmanager
def _undone_by(script: str) -> Iterator[None]:
    """Once at the end of the block, or of this process."""
    with process.piped(["/bin/sh", "-c", UNTIL_OVER.format(script)]) as undoer:
        if not undoer.output.readline():  # From now on no signal ends it.
            raise Conflict("who is to undo the fault did not start")
        try:
            yield
        finally:
            undoer.input.close()
            undoer.output.read()  # Until it has ended.


def _to_kill(drilled: Drilled, place: DrillHost) -> list[int]:
    """Of a host all but the guard, which starts the rest again as a machine's boot does."""
    if drilled.component != HOST:
        return place.pids(drilled.component)
    guards = place.pids(running.GUARD)
    return [pid for pid in place.every_pid() if pid not in guards]


def _to_freeze(drilled: Drilled, place: DrillHost) -> list[int]:
    return place.every_pid() if drilled.component == HOST else place.pids(drilled.component)


def _kill(pids: Sequence[int]) -> Sequence[int]:
    _signal(pids, signal.SIGKILL)
    return pids


def _signal(pids: Sequence[int], number: signal.Signals) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


def _has_own_disk(directory: Path) -> bool:
    return directory.is_dir() and directory.stat().st_dev != directory.parent.stat().st_dev


def _fill(file: Path) -> None:
    """To the last byte that anybody may have."""
    room = shutil.disk_usage(file.parent).free
    descriptor = os.open(file, os.O_CREAT | os.O_WRONLY | os.O_EXCL, 0o600)
    try:
        while room > 0:
            try:
                os.posix_fallocate(descriptor, os.fstat(descriptor).st_size, room)
            except OSError:  # Some of it is the file system's own.
                room //= 2
    finally:
        os.close(descriptor)
