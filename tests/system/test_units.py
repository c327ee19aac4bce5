"""The supervisor: what is replaced goes on answering, and nobody that dies is missed for long."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import pytest
from tests.free_port import free_port

from kumoi.base.errors import Conflict, Permanent
from kumoi.config import HostSettings
from kumoi.hosts.units import control, listening, running
from kumoi.hosts.units.answering import answers
from kumoi.hosts.units.table import Unit, UnitKind
from kumoi.hosts.wires import links

pytestmark = [pytest.mark.system, pytest.mark.timeout(120)]

WAIT_S = 20.0

SERVER = """
    import os, signal, sys, threading
    from kumoi.engine.activation import Activation

    word, address, port = sys.argv[1], sys.argv[2], int(sys.argv[3])
    if word == "broken":
        sys.exit(3)
    activation = Activation.of_process()
    listening = activation.take(address, port)
    leaving = threading.Event()
    signal.signal(signal.SIGUSR1, lambda *_: leaving.set())
    listening.settimeout(0.05)
    activation.tell_ready()
    while not leaving.is_set():
        try:
            with listening.accept()[0] as client:
                client.sendall(word.encode())
        except TimeoutError:
            pass
"""

SUPERVISE = """
    import sys
    from pathlib import Path
    from kumoi.hosts.units.supervisor import Places, Supervisor
    from kumoi.hosts.units.control import digest_of
    from kumoi.hosts.units.table import Unit, UnitKind

    home, port, *words = sys.argv[1:]
    units = []
    for number, word in enumerate(words):
        address = f"tcp:127.0.0.1:{int(port) + number}"
        argv = (sys.executable, f"{home}/server.py", word, "127.0.0.1", str(int(port) + number))
        units.append(Unit(f"unit{number}", UnitKind.ROLE, argv, listens=address, sockets=(address,),
                          overlaps=True, notifies=True))
    Supervisor(units, digest_of(units), Places(home, Path(home) / "run", Path(home) / "log")).run()
"""


@dataclass
class Supervised:
    """A supervisor over one server per word, which says its word to whoever connects."""

    home: Path
    port: int
    words: list[str] = field(default_factory=list)

    @property
    def host(self) -> HostSettings:
        return HostSettings(state_dir=str(self.home))

    def up(self, *words: str) -> None:
        self.words = list(words)
        units = []
        for number, word in enumerate(words):
            where = ("127.0.0.1", str(self.port + number))
            argv = (sys.executable, f"{self.home}/server.py", word, *where)
            address = ":".join(("tcp", *where))
            units.append(
                Unit(
                    f"unit{number}",
                    UnitKind.ROLE,
                    argv,
                    listens=address,
                    sockets=(address,),
                    overlaps=True,
                    notifies=True,
                )
            )
        command = [sys.executable, f"{self.home}/supervise.py", str(self.home), str(self.port)]
        control.ensure(self.host, units, command=[*command, *words])
        control.wait_ready(self.host, [unit.name for unit in units], timeout_s=WAIT_S)

    def ask(self, number: int = 0) -> str:
        with socket.create_connection(("127.0.0.1", self.port + number), timeout=WAIT_S) as asked:
            return asked.recv(64).decode()

    def pid(self, name: str) -> int:
        """0 while there is none."""
        return next((unit.pid for unit in running.found(str(self.home)) if unit.name == name), 0)

    def kill(self, name: str) -> int:
        """Which process it was. One that ends just now, as a supervisor does without its guard, has another
        after it.
        """
        killed = 0

        def kill() -> bool:
            nonlocal killed
            killed = self.pid(name)
            with contextlib.suppress(ProcessLookupError):
                os.kill(killed, signal.SIGKILL)
                return True
            return False

        eventually(kill)
        return killed


@pytest.fixture
def supervised(tmp_path: Path) -> Iterator[Supervised]:
    for name, text in (("server", SERVER), ("supervise", SUPERVISE)):
        (tmp_path / f"{name}.py").write_text(textwrap.dedent(text))
    for name in ("run", "log"):
        (tmp_path / name).mkdir()
    supervised = Supervised(tmp_path, free_port())
    try:
        yield supervised
    finally:
        for name in (running.GUARD, running.SUPERVISOR):
            running.stop(
                [it for it in running.found(str(tmp_path)) if it.name == name], timeout_s=WAIT_S
            )
        running.stop(running.found(str(tmp_path)), timeout_s=WAIT_S)


def test_a_unit_is_replaced_without_a_connection_refused(supervised: Supervised) -> None:
    supervised.up("first")
    with asking(supervised) as answers:
        supervised.up("second")
        eventually(lambda: answers.heard[-1:] == ["second"])
    assert answers.failed == []
    assert set(answers.heard) == {"first", "second"}
    eventually(lambda: len(pids(supervised, "unit0")) == 1)  # The first has left.


def test_a_release_that_does_not_start_replaces_nothing(supervised: Supervised) -> None:
    supervised.up("first", "other")
    before = supervised.pid("unit0"), supervised.pid("unit1")
    with pytest.raises(Permanent, match=r"unit0.*goes on"):
        supervised.up("broken", "newer")
    assert (supervised.ask(0), supervised.ask(1)) == ("first", "other")  # It stopped at the first.
    assert (supervised.pid("unit0"), supervised.pid("unit1")) == before
    supervised.up("mended", "newer")
    eventually(lambda: (supervised.ask(0), supervised.ask(1)) == ("mended", "newer"))


def test_whichever_of_guard_and_supervisor_is_killed_both_come_back(supervised: Supervised) -> None:
    supervised.up("first")
    unit = supervised.pid("unit0")
    for name in (running.SUPERVISOR, running.GUARD, running.SUPERVISOR):
        old = supervised.kill(name)
        eventually(lambda: supervised.pid(name) not in {0, old})  # noqa: B023 - used at once
        eventually(lambda: control.read_status(supervised.host) is not None)
        eventually(lambda: supervised.pid(running.SUPERVISOR) != 0)
    assert supervised.pid("unit0") == unit
    supervised.kill("unit0")
    eventually(lambda: supervised.pid("unit0") not in {0, unit})
    assert supervised.ask() == "first"
    assert len(pids(supervised, running.SUPERVISOR)) == 1
    assert len(pids(supervised, running.GUARD)) == 1


def test_who_connects_while_a_unit_is_dead_waits_and_is_answered(supervised: Supervised) -> None:
    supervised.up("first")
    for _ in range(5):
        supervised.kill("unit0")
        assert supervised.ask() == "first"
        eventually(lambda: supervised.pid("unit0") != 0)


@pytest.fixture
def inside() -> Iterator[str]:
    """A network namespace."""
    name = f"kunits-{os.getpid()}"
    links.ensure_namespace(name)
    try:
        yield name
    finally:
        links.delete_namespace(name)


def test_a_socket_is_kept_in_the_namespace_of_its_unit(inside: str) -> None:
    address = "tcp:127.0.0.1:5000"
    kept = listening.open_all({address: inside}, [])
    try:
        again = listening.open_all({address: inside}, [os.getpid()])  # By the next supervisor.
        kept[address].close()
        assert answers(address, inside)
        again[address].close()
        assert not answers(address, inside)
    finally:
        kept[address].close()
    assert not answers(address, "nowhere")
    with pytest.raises(Conflict, match="nowhere"):
        listening.open_all({address: "nowhere"}, [])


def pids(supervised: Supervised, name: str) -> list[int]:
    return [unit.pid for unit in running.found(str(supervised.home)) if unit.name == name]


class asking:  # noqa: N801 - reads as what it does
    """Connections one after another, all along."""

    def __init__(self, supervised: Supervised) -> None:
        self._supervised = supervised
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._ask)
        self.heard: list[str] = []
        self.failed: list[str] = []

    def __enter__(self) -> Self:
        self._thread.start()
        eventually(lambda: bool(self.heard))
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _ask(self) -> None:
        while not self._over.is_set():
            try:
                word = self._supervised.ask()
            except OSError as error:
                self.failed.append(repr(error))
            else:
                (self.heard if word else self.failed).append(word)


def eventually(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WAIT_S
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.02)
