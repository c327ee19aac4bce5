"""Where stores are, and the members of a cluster's: etcd, and PostgreSQL under Patroni. Pure.

All of it follows from `control_hosts`. Each control host has one member of each, at its control plane's address.
"""

from __future__ import annotations

from pathlib import Path
from urllib.parse import quote, urlencode

from kumoi.base.errors import Bug
from kumoi.config import CloudSettings, HostSettings
from kumoi.control_host import ControlHost

ETCD, PATRONI = "etcd", "patroni"
AUTHORITY = (
    "engines"  # Signs the certificates of engines and of who may use them; hosts' are another's.
)
CLOUD, PIPELINE = "cloud", "pipeline"  # Databases, and the users of each.
STORES = (CLOUD, PIPELINE)
ETCD_PORT, ETCD_PEER_PORT = 2379, 2380  # The usual ones: addresses are the cloud's own.
POSTGRES_PORT = 5432
PATRONI_PORT = 8008
# A leader of etcd gives each lease its whole time again, and this: whoever leads PostgreSQL and is lost
# together with etcd's leader is replaced so much later.
HEARTBEAT_MS, ELECTION_MS = 100, 1_000


def own(cloud: CloudSettings, host: HostSettings) -> ControlHost:
    """Raises Bug on a host that is none."""
    found = cloud.control_host(host.name)
    if found is None:
        raise Bug(f"{host.name} has no control plane")
    return found


def etcd_dir(host: HostSettings) -> Path:
    return host.state / "etcd"


def postgres_dir(host: HostSettings) -> Path:
    """Of Patroni, with the database's files below it."""
    return host.state / "postgres"


def certificate(host: HostSettings, name: str) -> tuple[Path, Path, Path]:
    """Key, certificate and authority, of an engine or of a store's user."""
    pki = host.pki_dir
    return pki / f"{name}.key", pki / f"{name}.crt", pki / f"{AUTHORITY}.crt"


def store_certificate(store: str) -> str:
    """The name of the certificate by which a store's user is known."""
    return f"store-{store}"


def etcd_hosts(cloud: CloudSettings) -> list[str]:
    return [f"{host.address}:{ETCD_PORT}" for host in cloud.control_hosts]


def etcd_command(cloud: CloudSettings, host: HostSettings) -> tuple[str, ...]:
    me = own(cloud, host)
    key, certificate_, authority = certificate(host, ETCD)
    peers = ",".join(
        f"{each.name}=https://{each.address}:{ETCD_PEER_PORT}" for each in cloud.control_hosts
    )
    peer, client = (f"https://{me.address}:{port}" for port in (ETCD_PEER_PORT, ETCD_PORT))
    return (
        "/usr/bin/etcd",
        f"--name={me.name}",
        f"--data-dir={etcd_dir(host)}",
        f"--listen-peer-urls={peer}",
        f"--initial-advertise-peer-urls={peer}",
        f"--listen-client-urls={client}",
        f"--advertise-client-urls={client}",
        f"--initial-cluster={peers}",
        f"--initial-cluster-token=kumoi-{cloud.name}",
        f"--heartbeat-interval={HEARTBEAT_MS}",
        f"--election-timeout={ELECTION_MS}",
        "--auto-compaction-retention=1",
        "--client-cert-auth",
        f"--cert-file={certificate_}",
        f"--key-file={key}",
        f"--trusted-ca-file={authority}",
        "--peer-client-cert-auth",
        f"--peer-cert-file={certificate_}",
        f"--peer-key-file={key}",
        f"--peer-trusted-ca-file={authority}",
        "--logger=zap",
        "--log-level=warn",
    )


def cloud_database(cloud: CloudSettings, host: HostSettings) -> str:
    """The URL of the cloud's store, for what runs on this host: the one that is set; else the members',
    or where there are none a file of this host.
    """
    if cloud.database_url or not cloud.is_replicated:
        return cloud.database_url or f"sqlite:///{host.store_dir / 'cloud.db'}"
    return store_url(cloud, host, CLOUD)


def pipeline_database(cloud: CloudSettings, host: HostSettings) -> str:
    """The pipeline's, likewise."""
    if cloud.pipeline_database_url or not cloud.is_replicated:
        return cloud.pipeline_database_url or f"sqlite:///{host.pipeline_dir / 'pipeline.db'}"
    return store_url(cloud, host, PIPELINE)


def store_url(cloud: CloudSettings, host: HostSettings, store: str) -> str:
    """The leader's, whichever it is: libpq asks one after the other. The user is known by a certificate."""
    return _url(cloud, host, store, user=store, name=store_certificate(store))


def administration_url(cloud: CloudSettings, host: HostSettings) -> str:
    """For who makes the databases: root, who reads the engine's key."""
    return _url(cloud, host, "postgres", user="postgres", name=PATRONI)


def _url(cloud: CloudSettings, host: HostSettings, database: str, *, user: str, name: str) -> str:
    key, certificate_, authority = certificate(host, name)
    # Its own first: the order is that of the attempts.
    hosts = sorted(cloud.control_hosts, key=lambda each: each.name != host.name)
    query = {
        "host": ",".join(each.address for each in hosts),
        "port": ",".join(str(POSTGRES_PORT) for _ in hosts),
        "target_session_attrs": "read-write",
        "sslmode": "verify-full",
        "sslrootcert": authority,
        "sslcert": certificate_,
        "sslkey": key,
    }
    return f"postgresql+psycopg://{user}@/{database}?{urlencode(query, quote_via=quote, safe='/,')}"
