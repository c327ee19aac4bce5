"""The leases of a cloud's hosts, in etcd (design note 0022). The host API renews them for hosts, the healer
reads them, and nobody else writes here.

    /kumoi/CLOUD/lease/HOST     there while the host has its lease, ends with it
    /kumoi/CLOUD/heal/HOST      the host's servers are being moved: it gets no lease until that is over
    /kumoi/CLOUD/writable/HOST  written by the worker there, to see that it can
    /kumoi/CLOUD/healer         what the healer says of itself, for `status`

A lease and a heal exclude each other: each is put only while the other is not there.
"""

from __future__ import annotations

import contextlib
import enum
import hashlib
import ssl
from dataclasses import dataclass, field
from typing import Protocol

from kumoi import members
from kumoi.config import CloudSettings, HostSettings
from kumoi.engine import etcd
from kumoi.engine.etcd import Etcd, EtcdLost, EtcdRefused

TTL_S = 12
LEASE, HEAL, WRITABLE, HEALER = "lease/", "heal/", "writable/", "healer"


class LeaseState(enum.StrEnum):
    """What a host that renews is told."""

    HELD = "held"
    HEALING = "healing"  # Its servers are being moved: it has none, and gets none yet.
    LEADERLESS = "leaderless"  # Nobody leads etcd, so what it had has not ended.


@dataclass(frozen=True, slots=True)
class LeaseRenewal:
    """`since` tells one lease of a host from its next."""

    state: LeaseState
    since: int = 0


@dataclass(frozen=True, slots=True)
class LeaseView:
    """`held` is by host since which revision; `healing` by host who moves its servers."""

    held: dict[str, int] = field(default_factory=dict)
    healing: dict[str, str] = field(default_factory=dict)
    healer: str = ""


class LeaseBook(Protocol):
    """All raise Transient where etcd does not answer by quorum."""

    def renew(self, host: str) -> LeaseRenewal: ...

    def look(self) -> LeaseView: ...

    def begin_heal(self, host: str, who: str) -> bool:
        """From now on the host gets no lease. False where it has one."""
        ...

    def end_heal(self, host: str) -> None: ...

    def prove_writable(self, who: str) -> None: ...

    def say(self, words: str) -> None:
        """What the healer says of itself."""
        ...


class Leases:
    """The book in etcd."""

    def __init__(self, client: Etcd, cloud_name: str) -> None:
        self._etcd = client
        self._root = f"/kumoi/{cloud_name}/"

    def renew(self, host: str) -> LeaseRenewal:
        """The lease's id is made of the host's name, so whoever answers knows it."""
        key, number = f"{self._root}{LEASE}{host}", lease_number(self._root, host)
        try:
            if self._etcd.keep_alive(number):
                kept = self._etcd.transact([etcd.has_lease(key, number)], [etcd.reading(key)])
                if kept.succeeded:
                    return LeaseRenewal(LeaseState.HELD, kept.read[0].created)
            return self._begin(host, key, number)
        except EtcdLost:
            if self._etcd.has_no_leader():
                return LeaseRenewal(LeaseState.LEADERLESS)
            raise

    def _begin(self, host: str, key: str, number: int) -> LeaseRenewal:
        with contextlib.suppress(EtcdRefused):  # It is there, without its key.
            self._etcd.grant(number, TTL_S)
        made = self._etcd.transact(
            [etcd.is_absent(f"{self._root}{HEAL}{host}")],
            [etcd.putting(key, host, number), etcd.reading(key)],
        )
        if not made.succeeded:
            return LeaseRenewal(LeaseState.HEALING)
        return LeaseRenewal(LeaseState.HELD, made.read[0].created)

    def look(self) -> LeaseView:
        view = LeaseView()
        healer = ""
        for entry in self._etcd.below(self._root):
            name = entry.key.removeprefix(self._root)
            if name.startswith(LEASE):
                view.held[name.removeprefix(LEASE)] = entry.created
            elif name.startswith(HEAL):
                view.healing[name.removeprefix(HEAL)] = entry.value
            elif name == HEALER:
                healer = entry.value
        return LeaseView(view.held, view.healing, healer)

    def begin_heal(self, host: str, who: str) -> bool:
        key = f"{self._root}{HEAL}{host}"
        made = self._etcd.transact(
            [etcd.is_absent(f"{self._root}{LEASE}{host}")], [etcd.putting(key, who)]
        )
        return made.succeeded

    def end_heal(self, host: str) -> None:
        self._etcd.delete(f"{self._root}{HEAL}{host}")

    def prove_writable(self, who: str) -> None:
        self._etcd.put(f"{self._root}{WRITABLE}{who}", "")

    def say(self, words: str) -> None:
        self._etcd.put(f"{self._root}{HEALER}", words)


def lease_number(root: str, host: str) -> int:
    """Above zero, of 63 bits."""
    digest = hashlib.sha256(f"{root}{host}".encode()).digest()
    return (int.from_bytes(digest[:8]) >> 1) | 1


def open_book(cloud: CloudSettings, host: HostSettings) -> Leases | None:
    """None in a cloud whose control plane is on one host: it has no etcd, and nothing heals there."""
    if not cloud.is_replicated or cloud.control_host(host.name) is None:
        return None
    return Leases(open_etcd(cloud, host), cloud.name)


def open_etcd(
    cloud: CloudSettings, host: HostSettings, *, timeout_s: float = etcd.TIMEOUT_S
) -> Etcd:
    """On a control host, its own member first."""
    key, certificate, authority = members.certificate(host, members.LEASES)
    tls = ssl.create_default_context(cafile=str(authority))
    tls.load_cert_chain(certificate, key)
    own_first = sorted(cloud.control_hosts, key=lambda each: each.name != host.name)
    found = [f"{each.address}:{members.ETCD_PORT}" for each in own_first]
    return Etcd(found, tls, timeout_s=timeout_s)
