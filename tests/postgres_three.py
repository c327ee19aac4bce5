"""Three servers of PostgreSQL, as of three hosts: what is written is acknowledged when one of two others has it."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import psycopg

from tests.postgres import PostgresServer, own_postgres, standby_of

WITHIN_S = 30.0
STREAMING = "SELECT 1 FROM pg_stat_replication WHERE state = 'streaming' AND sync_state = 'quorum'"


@dataclass(frozen=True, slots=True)
class ThreeServers:
    leader: PostgresServer
    standbys: tuple[PostgresServer, PostgresServer]

    @property
    def url(self) -> str:
        hosts = ",".join(str(each.home) for each in (self.leader, *self.standbys))
        return f"postgresql+psycopg://kumoi@/postgres?host={hosts}&target_session_attrs=read-write"

    def start(self) -> None:
        """Those that were killed; returns when both others follow."""
        for each in (self.leader, *self.standbys):
            if not (each.home / "data/postmaster.pid").exists():
                each.start()
        wait_until(lambda: len(execute(self.leader, STREAMING)) == len(self.standbys))

    def settle(self) -> None:
        """Returns when the tables of both others show all that the leader's do."""
        ((at,),) = execute(self.leader, "SELECT pg_current_wal_lsn()")
        shows = f"SELECT pg_wal_lsn_diff(pg_last_wal_replay_lsn(), '{at}') >= 0"
        wait_until(lambda: all(execute(each, shows) == [(True,)] for each in self.standbys))


@contextlib.contextmanager
def three_servers() -> Iterator[ThreeServers]:
    with own_postgres() as leader:
        execute(leader, "ALTER SYSTEM SET wal_retrieve_retry_interval = 50")
        with standby_of(leader, "one") as one, standby_of(leader, "two") as two:
            execute(leader, "ALTER SYSTEM SET synchronous_standby_names = 'ANY 1 (one, two)'")
            execute(leader, "SELECT pg_reload_conf()")
            yield ThreeServers(leader, (one, two))


def execute(server: PostgresServer, sql: str) -> list[tuple[object, ...]]:
    with psycopg.connect(server.libpq_url, autocommit=True) as admin:
        cursor = admin.execute(sql)
        return cursor.fetchall() if cursor.description else []


def wait_until(true: Callable[[], bool]) -> None:
    ends_s = time.monotonic() + WITHIN_S
    while not true():
        assert time.monotonic() < ends_s
        time.sleep(0.02)
