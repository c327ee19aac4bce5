"""Certificates of a cluster's engines, and of the roles that may use them, by an authority of their own.

    engines.crt engines.key   the authority. Hosts and clients are signed by the cloud's other one, so no
                              certificate of theirs opens an engine
    etcd.crt patroni.crt      of the members of this host, for other members and for who asks them
    store-cloud.crt …         of the users of a store, by which PostgreSQL knows them
    ovnnb-db.crt              of the northbound database, for other members and for its clients, who are
    ovn-northd.crt worker.crt   these two
    ovnsb-db.crt              of the southbound one, by the cloud's authority: controllers know no other
    ovn-authorities.crt       both authorities, whom the southbound database and northd trust
    leases.crt                of API and worker, for the leases of hosts in etcd. etcd knows no users by its
                              gateway: whoever has a certificate of this authority may do anything there

    ca.key engines.key        of both authorities, on each control host

The first host makes what other control hosts on its machine need; one on another machine makes its own.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path

from kumoi import members
from kumoi.base import files
from kumoi.config import CloudSettings, HostSettings
from kumoi.hosts.first_use import pki
from kumoi.hosts.first_use.pki import CLIENT, SERVER, Authority, Subject

SHARED_AUTHORITIES = ("ca", members.AUTHORITY)
"""The cloud's, and the engines'."""


def subjects(cloud: CloudSettings, host: HostSettings) -> list[Subject]:
    """What a control host needs. The common name is the file's and, for PostgreSQL, the user's. etcd looks
    whether a peer comes from an address in its certificate.
    """
    own = frozenset({members.own(cloud, host).address})
    both = SERVER | CLIENT  # Members call each other, and etcd calls itself.
    names = (members.ETCD, members.PATRONI, members.COPIES)
    engines = [Subject(name, own, usages=both) for name in names]
    users = [Subject(members.store_certificate(store), usages=CLIENT) for store in members.STORES]
    leases = Subject(members.LEASES, usages=CLIENT)
    return [*engines, *users, leases, *_of_network(cloud, host)]


def _of_network(cloud: CloudSettings, host: HostSettings) -> list[Subject]:
    if not members.has_ovn_member(cloud, host):
        return []
    own = frozenset({members.own(cloud, host).address})
    return [
        Subject(members.NORTHBOUND.unit, own, usages=SERVER | CLIENT),
        Subject(members.NORTHD, usages=CLIENT),
        Subject(members.WORKER, usages=CLIENT),
    ]


def southbound(cloud: CloudSettings, host: HostSettings) -> Subject:
    """For controllers, and for other members."""
    own = frozenset({members.own(cloud, host).address})
    return Subject(members.SOUTHBOUND.unit, own, usages=SERVER | CLIENT)


def ensure(
    cloud: CloudSettings, first: HostSettings, others: Iterable[HostSettings], now: datetime
) -> None:
    """On the host with the authority: for it, and for other control hosts on this machine, into their
    directories.
    """
    directory = first.pki_dir
    pki.make_directory(directory)
    authority = Authority.of(directory, members.AUTHORITY)
    if authority is None:
        authority = Authority.make(directory, cloud, now, members.AUTHORITY)
    public = (directory / f"{members.AUTHORITY}.crt").read_bytes()
    of_hosts = Authority.of(directory)
    for host in (first, *others):
        pki.make_directory(host.pki_dir)
        for name in SHARED_AUTHORITIES:
            if host is not first and key_mark(directory, name):
                _copy_authority(directory, host.pki_dir, name)
        pki.ensure_each(host.pki_dir, authority, subjects(cloud, host), now)
        if of_hosts is not None and members.has_ovn_member(cloud, host):
            pki.ensure_each(host.pki_dir, of_hosts, [southbound(cloud, host)], now)
            both = (directory / "ca.crt").read_bytes() + public
            _publish(host.pki_dir / f"{members.AUTHORITIES}.crt", both)


def _publish(path: Path, content: bytes) -> None:
    if not path.exists() or path.read_bytes() != content:
        files.replace(path, content, promise=files.Promise.NEW, mode=files.OPEN)


def bring_back(first: HostSettings, others: Iterable[HostSettings]) -> None:
    """The authorities' keys to the first host, where its disk has lost them and another one's has them: without, new
    authorities would be made, and every host have to join again.
    """
    for name in SHARED_AUTHORITIES:
        if key_mark(first.pki_dir, name):
            continue
        for other in others:
            if key_mark(other.pki_dir, name):
                pki.make_directory(first.pki_dir)
                _copy_authority(other.pki_dir, first.pki_dir, name)
                break


def _copy_authority(source: Path, target: Path, name: str) -> None:
    """With its key, which comes first: whoever finds the certificate finds both."""
    for end, mode in ((".key", files.PRIVATE), (".crt", files.OPEN)):
        content = (source / f"{name}{end}").read_bytes()
        copy = target / f"{name}{end}"
        if not copy.exists() or copy.read_bytes() != content:
            files.replace(copy, content, promise=files.Promise.NEW, mode=mode)


def key_mark(pki_dir: Path, name: str) -> str:
    """What tells an authority's key from another: the hash of its certificate. "" where the key is not here."""
    try:
        if not (pki_dir / f"{name}.key").read_bytes():
            return ""
        return hashlib.sha256((pki_dir / f"{name}.crt").read_bytes()).hexdigest()
    except FileNotFoundError:
        return ""
