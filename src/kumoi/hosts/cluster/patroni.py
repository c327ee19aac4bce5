"""Patroni, which keeps this host's PostgreSQL: how it is to, and its process.

Who leads is decided in etcd. A commit is acknowledged when a quorum of the other members has it too, and where there is
none it waits: what was acknowledged is never lost (docs/design/0027). The unit `patroni` runs `serve`.
"""

from __future__ import annotations

import json
import os
import sys
from types import ModuleType
from typing import Any

from kumoi import members
from kumoi.config import CloudSettings, HostSettings
from kumoi.hosts.units import rights, running, users

BINARIES = "/usr/lib/postgresql/15/bin"
TTL_S = 20  # Patroni's least: a leader that is gone is replaced after that.
LOOP_WAIT_S, RETRY_TIMEOUT_S = 2, 7
START_TIMEOUT_S = 0  # One that crashed is replaced at once: another has all that was acknowledged.
MAP = "engines"  # Who may be which user of the database.
PARAMETERS = {
    "shared_buffers": "16MB",
    # Of three hosts' API, worker and pipeline, and of copies, which use both stores: each has two pools' worth at most.
    "max_connections": 500,
    # For each of those there is room for so many locks, made at the start; all share it. None is serializable, which the second
    # are of. By PostgreSQL's own 64 each server would have 9 MiB more.
    "max_locks_per_transaction": 32,
    "max_pred_locks_per_transaction": 10,
    "max_logical_replication_workers": 0,
    "wal_level": "replica",
    "wal_keep_size": "256MB",
    "max_wal_size": "256MB",
    "hot_standby": "on",
    "huge_pages": "off",
    "jit": "off",  # It would write code and run it, which the unit may not.
    "dynamic_shared_memory_type": "mmap",  # /dev/shm is everybody's.
    "max_parallel_workers": 0,
    "wal_receiver_timeout": "10s",
    "wal_sender_timeout": "10s",
    "tcp_keepalives_idle": 5,
    "tcp_keepalives_interval": 2,
    "tcp_keepalives_count": 3,
    "log_min_messages": "warning",
    "timezone": "UTC",
}


# So often a follower that lost its leader asks for it. A leader's Patroni looks a second after its promotion who follows,
# and takes whoever does not yet from those that may take over.
FOLLOW_AGAIN = "500ms"


def settings(cloud: CloudSettings, host: HostSettings) -> dict[str, Any]:
    """Patroni's own words, as its documentation has them."""
    me = members.own(cloud, host)
    key, certificate, authority = map(str, members.certificate(host, members.PATRONI))
    rest = f"{me.address}:{members.PATRONI_PORT}"
    return {
        "scope": cloud.name,
        "namespace": "/kumoi/",
        "name": me.name,
        "log": {"level": "INFO", "format": "%(asctime)s %(levelname)s %(message)s"},
        "restapi": {
            "listen": rest,
            "connect_address": rest,
            "certfile": certificate,
            "keyfile": key,
            "cafile": authority,
            "verify_client": "required",
        },
        "ctl": {"cacert": authority, "certfile": certificate, "keyfile": key},
        "etcd3": {
            "hosts": members.etcd_hosts(cloud),
            "protocol": "https",
            "cacert": authority,
            "cert": certificate,
            "key": key,
        },
        "bootstrap": _first_of_all(),
        "postgresql": _postgres(cloud, host),
    }


def _first_of_all() -> dict[str, Any]:
    """What the member that is first writes down for all."""
    return {
        "dcs": {
            "ttl": TTL_S,
            "loop_wait": LOOP_WAIT_S,
            "retry_timeout": RETRY_TIMEOUT_S,
            "primary_start_timeout": START_TIMEOUT_S,
            "synchronous_mode": "quorum",
            "synchronous_mode_strict": True,
            "failsafe_mode": False,
            "postgresql": {"use_pg_rewind": True, "use_slots": True, "parameters": PARAMETERS},
        },
        "initdb": [
            {"encoding": "UTF8"},
            {"locale": "C.UTF-8"},
            "data-checksums",
            {"auth-local": "peer"},
            {"auth-host": "reject"},
        ],
    }


def _postgres(cloud: CloudSettings, host: HostSettings) -> dict[str, Any]:
    key, certificate, authority = map(str, members.certificate(host, members.PATRONI))
    by_certificate = {
        "sslmode": "verify-ca",
        "sslcert": certificate,
        "sslkey": key,
        "sslrootcert": authority,
    }
    address = f"{members.own(cloud, host).address}:{members.POSTGRES_PORT}"
    return {
        "listen": address,
        "connect_address": address,
        "data_dir": str(members.postgres_dir(host) / "data"),
        "bin_dir": BINARIES,
        "pgpass": str(members.postgres_dir(host) / "pgpass"),
        "basebackup": [{"checkpoint": "fast"}],
        "use_unix_socket": True,
        "use_unix_socket_repl": True,
        "authentication": {
            "superuser": {"username": "postgres", **by_certificate},
            "replication": {"username": "replicator", **by_certificate},
        },
        "parameters": {
            "unix_socket_directories": str(rights.run_dir(host, members.PATRONI)),
            "wal_retrieve_retry_interval": FOLLOW_AGAIN,
            "ssl": "on",
            "ssl_cert_file": certificate,
            "ssl_key_file": key,
            "ssl_ca_file": authority,
            "ssl_min_protocol_version": "TLSv1.3",
        },
        "pg_hba": _who_may_come(),
        "pg_ident": _who_is_who(cloud, host),
    }


def _who_may_come() -> list[str]:
    """Nobody without a certificate of the engines' authority, and each to its own."""
    return [
        f"local all all peer map={MAP}",
        f"local replication all peer map={MAP}",
        f"hostssl replication replicator all cert map={MAP}",
        f"hostssl all postgres all cert map={MAP}",
        *(f"hostssl {store} {store} all cert map={MAP}" for store in members.STORES),
        *(f"hostssl {store} {members.COPIES} all cert map={MAP}" for store in members.STORES),
    ]


def _who_is_who(cloud: CloudSettings, host: HostSettings) -> list[str]:
    keeper = users.name_of(cloud, host, members.PATRONI)
    may = [(who, user) for who in (keeper, members.PATRONI) for user in ("postgres", "replicator")]
    may += [("root", "postgres")]
    may += [(members.store_certificate(store), store) for store in members.STORES]
    may += [(members.COPIES, members.COPIES)]
    return [f"{MAP} {who} {user}" for who, user in may]


def serve(cloud: CloudSettings, host: HostSettings) -> None:
    """Until SIGTERM, which stops PostgreSQL too. Where this process is killed, PostgreSQL goes on, and the
    next one finds it; so it must not be taken for the unit.
    """
    running.forget_mark()
    leave_out_dns()
    os.environ["PATRONI_CONFIGURATION"] = json.dumps(settings(cloud, host))
    sys.argv[1:] = []
    from patroni.__main__ import main  # noqa: PLC0415 - a large import, for this process alone

    main()


def leave_out_dns() -> None:
    """Patroni's libraries could look up etcd's members by DNS. Ours are addresses, so what would do it, a good part of the
    process, is never called.
    """
    modules = {name: ModuleType(name) for name in ("dns", "dns.resolver", "dns.exception")}
    vars(modules["dns"]).update(
        resolver=modules["dns.resolver"], exception=modules["dns.exception"]
    )
    vars(modules["dns.exception"]).update(DNSException=LookupError)
    for name, module in modules.items():
        sys.modules.setdefault(name, module)
