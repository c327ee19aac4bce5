"""A PostgreSQL server of our own for tests: Debian's binaries, a directory of its own, a socket.

It listens on no network. `running_postgres` gives the URL of a superuser's database `postgres`;
`fresh_database` makes an empty one beside it. Used by the fixtures; runs as root or not.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg

from kumoi.base.ids import new_hex_id
from kumoi.base.process import run

BINARIES = Path("/usr/lib/postgresql/15/bin")
UNPRIVILEGED = "postgres"  # Debian's package makes this user; the server refuses to run as root.


@contextlib.contextmanager
def running_postgres() -> Iterator[str]:
    """Start a server, give its SQLAlchemy URL, stop it and remove all of it."""
    home = Path(tempfile.mkdtemp(prefix="kumoi-pg-"))
    try:
        if os.geteuid() == 0:
            shutil.chown(home, UNPRIVILEGED, UNPRIVILEGED)
        data = home / "data"
        _command("initdb", "-D", data, "-U", "kumoi", "--auth=trust", "-E", "UTF8", "--no-sync")
        options = (
            f"-c listen_addresses= -c unix_socket_directories={home} -c fsync=off "
            "-c max_connections=200 -c shared_buffers=16MB"
        )
        log = home / "log"
        _command("pg_ctl", "-D", data, "-w", "-t", "30", "-l", log, "-o", options, "start")
        try:
            yield f"postgresql+psycopg://kumoi@/postgres?host={home}"
        finally:
            _command("pg_ctl", "-D", data, "-w", "-m", "immediate", "stop")
    finally:
        shutil.rmtree(home, ignore_errors=True)


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
