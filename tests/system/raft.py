"""OVN's northbound database as a RAFT of three servers, on sockets in a directory."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from kumoi.base import process

SCHEMA = Path("/usr/share/ovn/ovn-nb.ovsschema")
DATABASE = "OVN_Northbound"
ELECTION_MS = 5_000  # As a cloud has it.
MEMBERS = (1, 2, 3)
READY_S = 20.0


class Raft:
    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._running: dict[int, subprocess.Popen[bytes]] = {}
        first, *others = MEMBERS
        timer = f"--election-timer={ELECTION_MS}"
        self._tool(timer, "create-cluster", self._file(first), SCHEMA, self._peer(first))
        for member in others:
            words = (self._file(member), DATABASE, self._peer(member), self._peer(first))
            self._tool("join-cluster", *words)
        for member in MEMBERS:
            self.start(member)
        wait_until(lambda: all("cluster member" in self.status(one) for one in MEMBERS))
        wait_until(lambda: self.leader() is not None)
        self.ask("init")

    @property
    def remotes(self) -> str:
        return ",".join(map(self.remote, MEMBERS))

    def remote(self, member: int) -> str:
        return f"unix:{self._folder / f'{member}.sock'}"

    def start(self, member: int) -> None:
        sockets = (
            f"--remote=p{self.remote(member)}",
            f"--unixctl={self._control(member)}",
        )
        self._running[member] = process.start(
            ["ovsdb-server", self._file(member), *sockets, "--no-chdir"],
            log=self._folder / f"{member}.log",
        )
        wait_until(self._control(member).exists)

    def kill(self, member: int) -> None:
        self._running[member].kill()
        self._running[member].wait()
        for path in (self._control(member), self._folder / f"{member}.sock"):
            path.unlink(missing_ok=True)

    @contextlib.contextmanager
    def frozen(self, member: int) -> Iterator[None]:
        self._running[member].send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self._running[member].send_signal(signal.SIGCONT)

    def stop(self) -> None:
        for running in self._running.values():
            running.kill()
            running.wait()

    def status(self, member: int) -> str:
        return self.tell(member, "cluster/status", DATABASE)

    def leader(self) -> int | None:
        return next((one for one in MEMBERS if "Role: leader" in self.status(one)), None)

    def tell(self, member: int, *words: str) -> str:
        """Empty where it does not answer."""
        if self._running[member].poll() is not None:
            return ""
        control = str(self._control(member))
        ask = ["ovs-appctl", "-t", control, "--timeout=2", *words]
        return process.run(ask, check=False).out

    def ask(self, *words: str) -> str:
        """Of the leader."""
        leader = self.leader()
        assert leader is not None
        return process.run(["ovn-nbctl", f"--db={self.remote(leader)}", "--timeout=5", *words]).out

    def _tool(self, *words: str | Path) -> None:
        process.run(["ovsdb-tool", *words])

    def _file(self, member: int) -> Path:
        return self._folder / f"{member}.db"

    def _peer(self, member: int) -> str:
        return f"unix:{self._folder / f'{member}.raft'}"

    def _control(self, member: int) -> Path:
        return self._folder / f"{member}.ctl"


@contextlib.contextmanager
def every(seconds: float, act: Callable[[], None]) -> Iterator[None]:
    """Beside what is done meanwhile."""
    stop = threading.Event()
    problems: list[BaseException] = []

    def work() -> None:
        try:
            while not stop.wait(seconds):
                act()
        except BaseException as problem:  # noqa: BLE001 - handed to the test
            problems.append(problem)

    worker = threading.Thread(target=work)
    worker.start()
    try:
        yield
    finally:
        stop.set()
        worker.join()
    assert not problems, problems


def wait_until(holds: Callable[[], bool]) -> None:
    until = time.monotonic() + READY_S
    while not holds():
        assert time.monotonic() < until, f"not within {READY_S:g} s"
        threading.Event().wait(0.02)
