"""How a host joins the cloud, and leaves it. A token lets one key in: the first that shows it.

Whether the token is ours and still good the authority has said (hosts/cluster/authority.py); here it
is spent, and the host enrolled.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from datetime import datetime

from sqlalchemy.engine import Connection

from kumoi.base import log
from kumoi.base.errors import Conflict, Forbidden
from kumoi.cloud.domain.host import enrolment
from kumoi.cloud.store.host import enrolment as enrolment_store
from kumoi.cloud.store.host import host as host_store
from kumoi.cloud.store.host import join as store
from kumoi.cloud.store.host.join import Join
from kumoi.cloud.store.network.standard import TOPIC as NETWORK_TOPIC
from kumoi.config import CloudSettings, first_host
from kumoi.engine import feed
from kumoi.engine.db import now
from kumoi.hosts.cluster.join_token import JoinToken
from kumoi.hosts.cluster.signing import SignedHost

FIRST_FOR_HOSTS = 2  # Of the underlay: 0 is its own, 1 the control plane's.


def choose_address(connection: Connection, host_id: str, cloud: CloudSettings) -> str:
    """The host's address on the underlay: its own, where it has one, or the first free one. Raises
    Conflict when none is free.
    """
    underlay_cidr = cloud.underlay_cidr
    addresses = _addresses(connection)
    taken = {address for owner, address in addresses if owner != host_id}
    taken |= {cloud.shared_address, *(host.address for host in cloud.control_hosts)}
    first = first_host(cloud, "")  # It is in no row where it has no agent, and its links are there.
    if host_id != first.name:
        taken.add(first.underlay_address)
    free = _for_hosts(underlay_cidr)
    own = [address for owner, address in addresses if owner == host_id]
    for address in (*own, *free):
        if address and address not in taken:
            return address
    raise Conflict(f"the underlay {underlay_cidr} has no address left for another host")


def choose_control_addresses(
    connection: Connection, names: Sequence[str], cloud: CloudSettings
) -> list[str]:
    """Addresses on the underlay for control planes of further hosts: the last free ones. Raises Conflict."""
    taken = {address for _, address in _addresses(connection)}
    taken |= {cloud.shared_address, *(host.address for host in cloud.control_hosts)}
    free = [each for each in reversed(_for_hosts(cloud.underlay_cidr)) if each not in taken]
    if len(free) < len(names):
        raise Conflict(
            f"the underlay {cloud.underlay_cidr} has no addresses left for control planes"
        )
    return free[: len(names)]


def _addresses(connection: Connection) -> list[tuple[str, str]]:
    """Of hosts, and of those that may still join, each with its host."""
    at = now(connection)
    joins = [row for row in store.every(connection) if row.joined_at or row.expires_at > at]
    addresses = [(row.host_id, row.address) for row in joins]
    return addresses + [(row.id, row.address) for row in host_store.every(connection)]


def _for_hosts(underlay_cidr: str) -> list[str]:
    network = ipaddress.IPv4Network(underlay_cidr)
    return [str(network[number]) for number in range(FIRST_FOR_HOSTS, network.num_addresses - 1)]


def expect(connection: Connection, token: JoinToken, expires_at: datetime) -> None:
    """From now on the host may join with this token, and with no earlier one."""
    row = Join(token.host, token.nonce, token.address, expires_at)
    store.replace(connection, row)
    log.event("host.expected", host=token.host, address=token.address)


def expected(connection: Connection) -> list[Join]:
    """Hosts that may still join."""
    at = now(connection)
    return [row for row in store.every(connection) if not row.joined_at and row.expires_at > at]


def names(connection: Connection) -> list[str]:
    """Of all hosts that joined or were to."""
    return [row.host_id for row in store.every(connection)]


def admit(connection: Connection, signed: SignedHost) -> None:
    """Spend the token and enrol the host. The key that has spent it may come again: a host that was
    killed before it had its answer. Raises Forbidden or Conflict.
    """
    row = store.get(connection, signed.host)
    if row is None or row.nonce != signed.nonce:
        raise Forbidden(f"There is a later token for {signed.host}, or it has left since.")
    key = signed.public_key_sha256
    if row.public_key_sha256 not in {"", key}:
        raise Conflict(
            f"The token for {signed.host} was spent by another key. If that was not you, make "
            f"another, which shuts that one out: sudo ./kumoi cluster token {signed.host}"
        )
    if not row.public_key_sha256:
        at = now(connection)
        store.replace(
            connection, Join(row.host_id, row.nonce, row.address, row.expires_at, key, at)
        )
    enrolment.enrol(connection, signed.host, key)


def dismiss(connection: Connection, host_id: str, *, forced: bool) -> None:
    """The host has left: its key and its token are good for nothing, and its address is free. Raises
    Conflict while it has servers, unless `forced`; then they stay with its row, which is down.
    """
    row = host_store.get(connection, host_id)
    count = 0 if row is None else row.servers_claimed
    if count and not forced:
        raise Conflict(
            f"{host_id} has {count} servers: delete them first, or use --force, and they are lost"
        )
    enrolment_store.delete(connection, host_id)
    store.delete(connection, host_id)
    if count:
        host_store.update(connection, host_id, forced_down=True, enabled=False)
    else:
        host_store.delete(connection, host_id)
    feed.touch(connection, NETWORK_TOPIC, host_id)  # It leads outside no more.
    log.event("host.left", host=host_id, servers=count)
