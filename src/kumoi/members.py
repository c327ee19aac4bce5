"""Where stores are, and the members of a cluster's: etcd, PostgreSQL under Patroni, and OVN's databases. Pure.

All of it follows from `control_hosts`. Each control host has one member of each, at its control plane's address.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, urlencode

from kumoi import config
from kumoi.base.errors import Bug, Invalid
from kumoi.config import CloudSettings, HostSettings, Role
from kumoi.control_host import ControlHost

ETCD, PATRONI = "etcd", "patroni"
COPIES = (
    "copies"  # The unit that keeps here what other control hosts have; also a user of both stores.
)
KEEPALIVED = "keepalived"
HEALTH = "health"  # The unit that tells keepalived whether this host's API and pipeline answer.
AUTHORITY = (
    "engines"  # Signs the certificates of engines and of who may use them; hosts' are another's.
)
CLOUD, PIPELINE = "cloud", "pipeline"  # Databases, and the users of each.
STORES = (CLOUD, PIPELINE)
LEASES = "leases"  # The certificate by which the host API and the healer speak to etcd.
ETCD_PORT, ETCD_PEER_PORT = 2379, 2380  # The usual ones: addresses are the cloud's own.
POSTGRES_PORT = 5432
PATRONI_PORT = 8008
COPIES_PORT = 8009
CONNECTIONS_PORT = 8010  # UDP, of `health`.
ORDERS_PORT = (
    8011  # Of the first host, while `cluster create` or `upgrade` orders others something.
)
# A leader of etcd gives each lease its whole time again, and this: whoever leads PostgreSQL and is lost
# together with etcd's leader is replaced so much later.
HEARTBEAT_MS, ELECTION_MS = 200, 1_000
# A change is kept once a quorum has it in its log, on disk. A member writes what is in its log into its database so rarely,
# and after a crash reads the log again from there. By etcd's own 100 ms each change would be two more syncs of each disk.
WRITTEN_EVERY = "5s"
SNAPSHOT_ENTRIES = (
    2_000  # So many of its log and 5,000 more a member has in memory; 105,000 by itself.
)
HISTORY = "10m"  # Whoever watches, and was away for longer, reads all again.


@dataclass(frozen=True, slots=True)
class OvnDatabase:
    """One of OVN's two. `schema` is its name in the protocol, `port` is of clients, `peer_port` of members."""

    name: str
    schema: str
    port: int
    peer_port: int

    @property
    def unit(self) -> str:
        return f"{self.name}-db"


NORTHBOUND = OvnDatabase("ovnnb", "OVN_Northbound", 6641, 6643)
SOUTHBOUND = OvnDatabase("ovnsb", "OVN_Southbound", 6642, 6644)
OVN_DATABASES = (NORTHBOUND, SOUTHBOUND)
NORTHD = "ovn-northd"
WORKER = "worker"  # The certificate by which the northbound database knows it.
AUTHORITIES = (
    "ovn-authorities"  # Both: controllers have certificates of the cloud's, northd of the engines'.
)


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


def token_keys_dir(host: HostSettings) -> Path:
    """What the API alone reads: the keys that sign tokens, and beside them the one that seals."""
    return host.pki_dir / "token-keys"


def seal_file(host: HostSettings) -> Path:
    """Seals what the cloud's store keeps for users, and keys of tokens where it has them."""
    return token_keys_dir(host) / "secrets.key"


def certificate(host: HostSettings, name: str) -> tuple[Path, Path, Path]:
    """Key, certificate and authority, of an engine or of a store's user."""
    pki = host.pki_dir
    return pki / f"{name}.key", pki / f"{name}.crt", pki / f"{AUTHORITY}.crt"


def ovn_certificate(host: HostSettings, name: str) -> tuple[Path, Path, Path]:
    """Key, certificate and authorities, of the southbound database or of northd, who speaks to both."""
    key, public, _ = certificate(host, name)
    return key, public, host.pki_dir / f"{AUTHORITIES}.crt"


def store_certificate(store: str) -> str:
    """The name of the certificate by which a store's user is known."""
    return f"store-{store}"


def shares_address(cloud: CloudSettings, host: HostSettings) -> bool:
    """Whether this host may be the one that has the shared address."""
    return bool(cloud.shared_address) and cloud.control_host(host.name) is not None


def has_ovn_member(cloud: CloudSettings, host: HostSettings) -> bool:
    """Whether OVN's databases on this host are members; where they are not, they are alone."""
    return cloud.control_host(host.name) is not None and Role.NETWORK in host.roles


def ovn_remotes(cloud: CloudSettings, database: OvnDatabase) -> str:
    """All members, of which a client finds the one that it needs."""
    return ",".join(f"ssl:{each.address}:{database.port}" for each in cloud.control_hosts)


def ovn_peer(member: ControlHost, database: OvnDatabase) -> str:
    """Where the others reach a member."""
    return f"ssl:{member.address}:{database.peer_port}"


def northbound(
    cloud: CloudSettings, host: HostSettings
) -> tuple[str, tuple[Path, Path, Path] | None]:
    """How the worker of this host reaches the northbound database; with a certificate where it is not by
    a socket.
    """
    if not has_ovn_member(cloud, host):
        return host.northbound_remote, None
    return ovn_remotes(cloud, NORTHBOUND), certificate(host, WORKER)


def first_southbound(cloud: CloudSettings, host: HostSettings) -> str:
    """The remote at which this host's controller reaches OVN's southbound database, where nobody told it
    of members. Raises Invalid when it is on another host and `southbound_url` is not set. A host that is
    given a member keeps it: its switch must not start anew for that.
    """
    if Role.NETWORK in host.roles and (not cloud.is_replicated or config.is_first(cloud, host)):
        return host.southbound_remote
    if not cloud.southbound_url:
        raise Invalid(
            f"{host.name} does not run OVN's databases: set southbound_url", field="southbound_url"
        )
    return cloud.southbound_url


def southbound(
    cloud: CloudSettings, host: HostSettings
) -> tuple[str, tuple[Path, Path, Path] | None]:
    """How the agent of this host reaches the southbound database, as its controller does; with a certificate where
    it is not by a socket.
    """
    replicated = cloud.is_replicated
    remote = ovn_remotes(cloud, SOUTHBOUND) if replicated else first_southbound(cloud, host)
    own = (host.pki_dir / f"{host.name}.key", host.pki_dir / f"{host.name}.crt")
    return remote, (*own, host.pki_dir / "ca.crt") if remote.startswith("ssl:") else None


def etcd_hosts(cloud: CloudSettings) -> list[str]:
    return [f"{host.address}:{ETCD_PORT}" for host in cloud.control_hosts]


def etcd_peer(member: ControlHost) -> str:
    """Where the others reach a member."""
    return f"https://{member.address}:{ETCD_PEER_PORT}"


def etcd_command(cloud: CloudSettings, host: HostSettings) -> tuple[str, ...]:
    me = own(cloud, host)
    key, certificate_, authority = certificate(host, ETCD)
    peers = ",".join(f"{each.name}={etcd_peer(each)}" for each in cloud.control_hosts)
    peer, client = etcd_peer(me), f"https://{me.address}:{ETCD_PORT}"
    joins = ("--initial-cluster-state=existing",) if host.joins_stores else ()
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
        *joins,
        f"--heartbeat-interval={HEARTBEAT_MS}",
        f"--election-timeout={ELECTION_MS}",
        f"--auto-compaction-retention={HISTORY}",
        f"--snapshot-count={SNAPSHOT_ENTRIES}",
        f"--backend-batch-interval={WRITTEN_EVERY}",
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


def have_stores(cloud: CloudSettings) -> bool:
    """Whether the stores are the members', which they are not yet while a cloud moves to them."""
    return cloud.is_replicated and not (cloud.database_url or cloud.pipeline_database_url)


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


def copies_store_url(cloud: CloudSettings, host: HostSettings, store: str) -> str:
    """For who only reads which images and repositories there are."""
    return _url(cloud, host, store, user=COPIES, name=COPIES)


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
