"""A PostgreSQL server of our own for tests: Debian's binaries, a directory of its own, a socket.

It listens on no network. `running_postgres` gives the URL of a superuser's database `postgres`;
`fresh_database` makes an empty one beside it; `promoted_copy` is a standby that has taken over. Used
by the fixtures and by tests of what a failover does; runs as root or not.
"""

from __future__ import annotations

import contextlib
import os
import select
import shutil
import signal
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import psycopg

from kumoi.base.ids import new_hex_id
from kumoi.base.process import run

BINARIES = Path("/usr/lib/postgresql/15/bin")
ENDS_S = 10.0
UNPRIVILEGED = "postgres"  # Debian's package makes this user; the server refuses to run as root.


@contextlib.contextmanager
def running_postgres(*, is_durable: bool = False) -> Iterator[str]:
    """Start a server, give its SQLAlchemy URL, stop it and remove all of it. Its commits wait for the disk
    where they are to be as long as an operator's.
    """
    with own_postgres(is_durable=is_durable) as server:
        yield server.url


@dataclass(frozen=True, slots=True)
class PostgresServer:
    """One that a test may kill. `start` brings it back as a supervisor would."""

    home: Path
    is_durable: bool = False

    @property
    def url(self) -> str:
        return f"postgresql+psycopg://kumoi@/postgres?host={self.home}"

    @property
    def libpq_url(self) -> str:
        return self.url.replace("+psycopg", "")

    def start(self) -> None:
        _start(self.home, is_durable=self.is_durable)

    def kill(self) -> None:
        """SIGKILL to the postmaster; returns when all that it had started has ended after it."""
        pid_file = self.home / "data/postmaster.pid"
        pid = int(pid_file.read_text().split()[0])
        started = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        handles = [os.pidfd_open(int(child)) for child in (str(pid), *started)]
        os.kill(pid, signal.SIGKILL)
        for handle in handles:
            if not select.select([handle], [], [], ENDS_S)[0]:
                raise TimeoutError("a process of PostgreSQL outlives its postmaster")
            os.close(handle)
        for lock in (pid_file, self.home / ".s.PGSQL.5432.lock"):
            lock.unlink()  # Until somebody has reaped it, its number keeps the next one away.


@contextlib.contextmanager
def own_postgres(*, is_durable: bool = False) -> Iterator[PostgresServer]:
    """A server for one test file, which it may kill. Removed at the end, running or not."""
    with _initialised() as home, _started(home, is_durable=is_durable):
        yield PostgresServer(home, is_durable)


@contextlib.contextmanager
def standby_of(leader: PostgresServer, name: str) -> Iterator[PostgresServer]:
    """A server that follows `leader`, which knows it by that name, from what it has now on."""
    with _home() as home:
        data = home / "data"
        source = f"host={leader.home} user=kumoi application_name={name}"
        _command("pg_basebackup", "-D", data, "-d", source, "-c", "fast", "-X", "stream", "-R")
        with _started(home):
            yield PostgresServer(home)


@contextlib.contextmanager
def promoted_copy(url: str) -> Iterator[Callable[[], str]]:
    """Copy the server of a database as it is now. Calling the result starts that copy as a standby,
    promotes it, and gives the URL of the same database there: it lacks what was written since.
    """
    with _home() as home, contextlib.ExitStack() as running:
        source, data = url.partition("?host=")[2], home / "data"
        _command(
            "pg_basebackup", "-D", data, "-h", source, "-U", "kumoi", "-c", "fast", "-X", "fetch"
        )

        def promote() -> str:
            (data / "standby.signal").touch()
            running.enter_context(_started(home))
            _command("pg_ctl", "-D", data, "-w", "-t", "30", "promote")
            return url.replace(source, str(home))

        yield promote


@contextlib.contextmanager
def _home() -> Iterator[Path]:
    home = Path(tempfile.mkdtemp(prefix="kumoi-pg-"))
    try:
        if os.geteuid() == 0:
            shutil.chown(home, UNPRIVILEGED, UNPRIVILEGED)
        yield home
    finally:
        shutil.rmtree(home, ignore_errors=True)


@contextlib.contextmanager
def _initialised() -> Iterator[Path]:
    with _home() as home:
        data = home / "data"
        _command("initdb", "-D", data, "-U", "kumoi", "--auth=trust", "-E", "UTF8", "--no-sync")
        yield home


@contextlib.contextmanager
def _started(home: Path, *, is_durable: bool = False) -> Iterator[None]:
    _start(home, is_durable=is_durable)
    try:
        yield
    finally:
        if (home / "data/postmaster.pid").exists():
            _command("pg_ctl", "-D", home / "data", "-w", "-m", "immediate", "stop")


def _start(home: Path, *, is_durable: bool) -> None:
    options = (
        f"-c listen_addresses= -c unix_socket_directories={home} "
        f"-c fsync={'on' if is_durable else 'off'} "
        "-c max_connections=200 -c shared_buffers=16MB"
    )
    data = home / "data"
    _command("pg_ctl", "-D", data, "-w", "-t", "30", "-l", home / "log", "-o", options, "start")


@contextlib.contextmanager
def fresh_database(url: str) -> Iterator[str]:
    """An empty database beside the given one; dropped at the end."""
    name = f"t_{new_hex_id()}"
    admin = url.replace("postgresql+psycopg://", "postgresql://")
    with psycopg.connect(admin, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    try:
        yield url.replace("/postgres?", f"/{name}?")
    finally:
        with psycopg.connect(admin, autocommit=True) as connection:
            connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


def _command(program: str, *args: str | Path) -> None:
    """As the unprivileged user when we are root. The server's output goes to its log, not to us."""
    argv: list[str | Path] = [BINARIES / program, *args]
    if os.geteuid() == 0:
        argv = [
            "setpriv",
            f"--reuid={UNPRIVILEGED}",
            f"--regid={UNPRIVILEGED}",
            "--clear-groups",
            *argv,
        ]
    run(argv, timeout_s=60, cwd=Path("/"))
