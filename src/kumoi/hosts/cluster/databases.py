"""The databases of a cluster's stores, with a user each, on whichever member leads.

`up` calls this as root on the host with the authority, before the stores' tables are made. Repeatable.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import psycopg
import sqlalchemy as sa
from psycopg import Connection, sql

from kumoi import members
from kumoi.base.errors import Permanent, Transient
from kumoi.config import CloudSettings, HostSettings

CONNECT_TIMEOUT_S = 2  # Of each; the least that libpq keeps to.
POLL_S = 0.2


FOLLOWERS = (
    "SELECT application_name FROM pg_stat_replication WHERE sync_state IN ('quorum', 'sync')"
)


COPIED = {
    members.CLOUD: ("image", ("id", "sha256")),
    members.PIPELINE: ("repository", ("id", "project_id", "name", "changes", "changed_on")),
}
"""Of each store, what tells of which files other control hosts have copies. Who makes them reads no more."""


@dataclass(frozen=True, slots=True)
class Members:
    """By their hosts' names. `leader` takes writes, "" when none does; `followers` acknowledge them."""

    leader: str
    followers: tuple[str, ...]


def look(cloud: CloudSettings, host: HostSettings) -> Members:
    """As the leader sees it."""
    try:
        with _connected(cloud, host) as connection:
            leads = connection.execute("SELECT host(inet_server_addr())").fetchall()
            follow = connection.execute(FOLLOWERS).fetchall()
    except (Transient, psycopg.OperationalError):
        return Members("", ())
    names = {member.address: member.name for member in cloud.control_hosts}
    return Members(names.get(leads[0][0], ""), tuple(sorted(name for (name,) in follow)))


def has_leader(cloud: CloudSettings, host: HostSettings) -> bool:
    """Whether a member takes writes, and another one acknowledges them. Patroni asks for that once
    there has been one.
    """
    return bool(look(cloud, host).followers)


def wait_for_leader(
    cloud: CloudSettings,
    host: HostSettings,
    *,
    timeout_s: float,
    tell: Callable[[str], None] = lambda _text: None,
) -> None:
    """Raises Permanent when there is none in time."""
    deadline = time.monotonic() + timeout_s
    while not has_leader(cloud, host):
        if time.monotonic() > deadline:
            raise Permanent(
                f"no member of PostgreSQL leads after {timeout_s:g} s; see {host.log_dir / 'patroni.log'}"
            )
        tell("no leader yet")
        time.sleep(POLL_S)


def ensure(cloud: CloudSettings, host: HostSettings) -> list[str]:
    """Those that had to be made."""
    made = []
    with _connected(cloud, host) as connection:
        for store in members.STORES:
            name = sql.Identifier(store)
            if not _has(connection, "pg_roles", "rolname", store):
                connection.execute(sql.SQL("CREATE ROLE {} LOGIN").format(name))
            if not _has(connection, "pg_database", "datname", store):
                connection.execute(sql.SQL("CREATE DATABASE {} OWNER {}").format(name, name))
                made.append(store)
        if not _has(connection, "pg_roles", "rolname", members.COPIES):
            connection.execute(
                sql.SQL("CREATE ROLE {} LOGIN").format(sql.Identifier(members.COPIES))
            )
    return made


def let_copies_read(cloud: CloudSettings, host: HostSettings) -> None:
    """When the stores have their tables."""
    for store, (table, columns) in COPIED.items():
        allow = sql.SQL("GRANT SELECT ({}) ON {} TO {}").format(
            sql.SQL(", ").join(map(sql.Identifier, columns)),
            sql.Identifier(table),
            sql.Identifier(members.COPIES),
        )
        with _connected(cloud, host, store) as connection:
            connection.execute(allow)


def _has(connection: Connection, table: str, column: str, value: str) -> bool:
    query = sql.SQL("SELECT 1 FROM {} WHERE {} = %s")
    found = connection.execute(query.format(sql.Identifier(table), sql.Identifier(column)), [value])
    return found.fetchone() is not None


@contextlib.contextmanager
def _connected(
    cloud: CloudSettings, host: HostSettings, database: str = ""
) -> Iterator[Connection]:
    """As the databases' administrator. Raises Transient when no member takes writes."""
    url = sa.make_url(members.administration_url(cloud, host)).set(drivername="postgresql")
    url = url.set(database=database or url.database)
    try:
        connection = psycopg.connect(
            url.render_as_string(), autocommit=True, connect_timeout=CONNECT_TIMEOUT_S
        )
    except psycopg.OperationalError as cause:
        raise Transient("connect to the leader of PostgreSQL") from cause
    with contextlib.closing(connection):
        yield connection
