"""Certificates of the store's engines, and of the roles that may use it, by an authority of their own.

    engines.crt engines.key   the authority. Hosts and clients are signed by the cloud's other one, so no
                              certificate of theirs opens an engine
    etcd.crt patroni.crt      of the members of this host, for other members and for who asks them
    store-cloud.crt …         of the users of a store, by which PostgreSQL knows them

The authority is on the host that has the cloud's; that host makes what the other control hosts need.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from kumoi import members
from kumoi.base import files
from kumoi.config import CloudSettings, HostSettings
from kumoi.hosts.first_use import pki
from kumoi.hosts.first_use.pki import CLIENT, SERVER, Authority, Subject


def subjects(cloud: CloudSettings, host: HostSettings) -> list[Subject]:
    """What a control host needs. The common name is the file's and, for PostgreSQL, the user's. etcd looks
    whether a peer comes from an address in its certificate.
    """
    own = frozenset({members.own(cloud, host).address})
    both = SERVER | CLIENT  # Members call each other, and etcd calls itself.
    engines = [Subject(name, own, usages=both) for name in (members.ETCD, members.PATRONI)]
    users = [Subject(members.store_certificate(store), usages=CLIENT) for store in members.STORES]
    return [*engines, *users]


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
    public = directory / f"{members.AUTHORITY}.crt"
    for host in (first, *others):
        pki.make_directory(host.pki_dir)
        if host is not first:
            copy = host.pki_dir / public.name
            if not copy.exists() or copy.read_bytes() != public.read_bytes():
                files.replace(copy, public.read_bytes(), promise=files.Promise.NEW, mode=files.OPEN)
        pki.ensure_each(host.pki_dir, authority, subjects(cloud, host), now)
