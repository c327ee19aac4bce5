"""The processes of servers: LXC's monitor, which is no child of ours, and the server's first process.

Which servers run is read from /proc, so a restarted agent knows it at once. A monitor's command line
is `[lxc monitor] <directory> <server>`; a process inside a server could have the same, so only
processes of the host's own root count.
"""

from __future__ import annotations

import contextlib
import os
import re
import select
import signal
import time
from dataclasses import dataclass
from pathlib import Path

from kumoi.base import process
from kumoi.base.errors import Transient
from kumoi.cloud.drivers.instance.lxc.paths import Paths

START_TIMEOUT_S = 30.0
ASK_AGAIN_S = 1.0
KILL_TIMEOUT_S = 10.0
STRAY_TIMEOUT_S = 30.0
_POLL_S = 0.02
_PROC = Path("/proc")
_MONITOR = re.compile(r"\[lxc monitor\] (.+) ([0-9a-f-]{36})\0*")
_SIGRTMIN_POWER_OFF = signal.SIGRTMIN + 4  # As systemd understands it.


@dataclass(frozen=True, slots=True)
class RunningContainer:
    """`keeper_pid` is the monitor; `pid` the server's first process, 0 while it is being started."""

    keeper_pid: int
    pid: int


def start(paths: Paths, server_id: str) -> None:
    """Start a server from its configuration, in the calling thread's mounts. LXC's monitor becomes a
    daemon. Raises Transient when the server does not start.
    """
    log = paths.log(server_id)
    log.unlink(missing_ok=True)
    process.run(
        [
            "lxc-start", "-P", paths.servers, "-n", server_id, "-f", paths.config(server_id),
            "-o", log, "-l", "ERROR", "-p", paths.monitor_pid(server_id),
        ],
        timeout_s=START_TIMEOUT_S,
    )  # fmt: skip


def find(paths: Paths, server_id: str) -> RunningContainer | None:
    """A server's processes, by the monitor's pid file."""
    try:
        pid = int(paths.monitor_pid(server_id).read_text())
    except (FileNotFoundError, ValueError):
        return None
    if _monitored(paths, pid) != server_id:
        return None
    return RunningContainer(pid, _first_process(pid))


def find_all(paths: Paths) -> dict[str, RunningContainer]:
    """All servers' processes, from a look at every process of the host."""
    found: dict[str, RunningContainer] = {}
    for pid in _all_pids():
        if server_id := _monitored(paths, pid):
            found[server_id] = RunningContainer(pid, _first_process(pid))
    return found


def wait_for_strays(paths: Paths) -> None:
    """Wait until the starts that an earlier agent began have ended."""
    deadline = time.monotonic() + STRAY_TIMEOUT_S
    while any(_is_start(paths, pid) for pid in _all_pids()):
        if time.monotonic() > deadline:
            raise Transient("wait for a server that is being started")
        time.sleep(_POLL_S)


def stop(running: RunningContainer, *, grace_s: float) -> None:
    """Ask the first process to end the server; when the grace is over, kill it. Returns when the
    monitor has ended. Raises Transient when even that does not help.
    """
    try:
        keeper = os.pidfd_open(running.keeper_pid)
    except ProcessLookupError:
        return
    try:
        if running.pid and _ask_to_end(keeper, running.pid, grace_s):
            return
        if running.pid:
            _signal(running.pid, signal.SIGKILL)
            if _ended(keeper, KILL_TIMEOUT_S):
                return
        signal.pidfd_send_signal(keeper, signal.SIGKILL)
        if not _ended(keeper, KILL_TIMEOUT_S):
            raise Transient("kill a server: its monitor does not end")
    except ProcessLookupError:
        return
    finally:
        os.close(keeper)


def _all_pids() -> list[int]:
    return [int(entry.name) for entry in _PROC.iterdir() if entry.name.isdigit()]


def _monitored(paths: Paths, pid: int) -> str | None:
    """The id of the server whose monitor this process is; None when it is none."""
    try:
        command = (_PROC / str(pid) / "cmdline").read_text(errors="replace")
        match = _MONITOR.fullmatch(command)
        if match is None or Path(match[1]) != paths.servers:
            return None
        if _effective_uid(pid) != 0:
            return None
    except (FileNotFoundError, ProcessLookupError):
        return None
    return match[2]


def _is_start(paths: Paths, pid: int) -> bool:
    try:
        arguments = (_PROC / str(pid) / "cmdline").read_text(errors="replace").split("\0")
        return arguments[:3] == ["lxc-start", "-P", str(paths.servers)] and _effective_uid(pid) == 0
    except (FileNotFoundError, ProcessLookupError):
        return False


def _effective_uid(pid: int) -> int:
    for line in (_PROC / str(pid) / "status").read_text().splitlines():
        if line.startswith("Uid:"):
            return int(line.split()[2])
    return -1


def _first_process(keeper_pid: int) -> int:
    try:
        children = (_PROC / str(keeper_pid) / "task" / str(keeper_pid) / "children").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return int(children.split()[0]) if children.strip() else 0


def _halt_signal(pid: int) -> int:
    """The signal that makes a first process halt: systemd has its own, others take SIGPWR."""
    with contextlib.suppress(OSError):
        if (_PROC / str(pid) / "exe").readlink().name == "systemd":
            return _SIGRTMIN_POWER_OFF
    return signal.SIGPWR


def _ask_to_end(keeper: int, pid: int, grace_s: float) -> bool:
    """Whether it ends within the grace. The signal is sent again and again: a first process that has
    just begun ignores it.
    """
    deadline = time.monotonic() + grace_s
    while (left_s := deadline - time.monotonic()) > 0:
        _signal(pid, _halt_signal(pid))
        if _ended(keeper, min(ASK_AGAIN_S, left_s)):
            return True
    return False


def _signal(pid: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def _ended(pidfd: int, timeout_s: float) -> bool:
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    return bool(poll.poll(timeout_s * 1000))
