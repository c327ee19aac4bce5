"""One of OVN's databases as a RAFT of three servers, on sockets in a directory."""

from __future__ import annotations

import contextlib
import re
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from kumoi.base import process
from kumoi.hosts.units import database_file
from kumoi.hosts.units.database_file import RaftMember

SCHEMAS = Path("/usr/share/ovn")
NAMES = {"nb": "OVN_Northbound", "sb": "OVN_Southbound"}
MEMBERS = (1, 2, 3)
READY_S = 20.0


class Raft:
    """`which` is "nb" or "sb"."""

    def __init__(self, folder: Path, which: str = "nb") -> None:
        self._folder = folder
        self._which = which
        self._schema = SCHEMAS / f"ovn-{which}.ovsschema"
        self._running: dict[int, subprocess.Popen[bytes]] = {}
        self.members: tuple[int, ...] = ()

    def grow(self) -> None:
        """From a database that is alone, with all that is in it."""
        self.start_alone()
        self.ask("init")
        self.kill(MEMBERS[0])
        for member in MEMBERS:
            database_file.ensure(self.file(member), self._schema, self._member(member))
            self.start(member)
            wait_until(lambda: all("cluster member" in self.status(one) for one in self.members))
            wait_until(lambda: self.leader() is not None)

    def shrink(self) -> None:
        """To a database alone, of the first member."""
        for member in MEMBERS[1:]:
            self.tell(member, "cluster/leave", NAMES[self._which])
            self._wait_until_left(member)
            self.kill(member)
            self.file(member).unlink()
        self.kill(MEMBERS[0])

    def _wait_until_left(self, member: int) -> None:
        wait_until(lambda: not self.status(member))  # It has no such database any more.

    def start_alone(self) -> None:
        """The first, whatever it was."""
        database_file.ensure(self.file(MEMBERS[0]), self._schema)
        self.start(MEMBERS[0])

    @property
    def remotes(self) -> str:
        return ",".join(map(self.remote, MEMBERS))

    def remote(self, member: int) -> str:
        return f"unix:{self._folder / f'{member}.sock'}"

    def start(self, member: int) -> None:
        """Also as what its file says that it is."""
        self.members = tuple(sorted({*self.members, member}))
        sockets = (
            f"--remote=p{self.remote(member)}",
            f"--unixctl={self._control(member)}",
        )
        self._running[member] = process.start(
            ["ovsdb-server", self.file(member), *sockets, "--no-chdir"],
            log=self._folder / f"{member}.log",
        )
        socket = Path(self.remote(member).removeprefix("unix:"))
        wait_until(lambda: self._control(member).exists() and socket.exists())
        socket.chmod(0o777)  # Engines have users of their own.

    def kill(self, member: int) -> None:
        self._running[member].kill()
        self._running[member].wait()
        self.members = tuple(one for one in self.members if one != member)
        for path in (self._control(member), self._folder / f"{member}.sock"):
            path.unlink(missing_ok=True)

    @contextlib.contextmanager
    def frozen(self, member: int) -> Iterator[None]:
        before = self.members
        self.members = tuple(one for one in before if one != member)
        self._running[member].send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self.members = before
            self._running[member].send_signal(signal.SIGCONT)

    def stop(self) -> None:
        for running in self._running.values():
            running.kill()
            running.wait()

    def status(self, member: int) -> str:
        return self.tell(member, "cluster/status", NAMES[self._which])

    def leader(self) -> int | None:
        return next((one for one in self.members if "Role: leader" in self.status(one)), None)

    def term(self) -> int:
        """It grows by one with each leader."""
        return max(int(re.findall(r"Term: (\d+)", self.status(one))[0]) for one in self.members)

    def transfer(self) -> None:
        """Another leads, as when a leader is about to compact what it has by itself."""
        leader = self.leader()
        if leader is not None:
            self.tell(leader, "cluster/failure-test", "transfer-leadership")

    def tell(self, member: int, *words: str) -> str:
        """Empty where it does not answer."""
        control = str(self._control(member))
        ask = ["ovs-appctl", "-t", control, "--timeout=2", *words]
        return process.run(ask, check=False).out

    def ask(self, *words: str) -> str:
        """Of the leader, or of the only one."""
        leader = self.leader() if len(self.members) > 1 else self.members[0]
        assert leader is not None
        command = [f"ovn-{self._which}ctl", f"--db={self.remote(leader)}", "--timeout=5"]
        return process.run([*command, *words]).out

    def _member(self, member: int) -> RaftMember:
        others = tuple(self._peer(other) for other in MEMBERS if other != member)
        return RaftMember(self._peer(member), others)

    def file(self, member: int) -> Path:
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
