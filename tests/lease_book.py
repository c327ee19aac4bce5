"""Leases of hosts that are only remembered: what etcd keeps in a cluster."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from kumoi.base.errors import Transient
from kumoi.hosts.cluster.leases import LeaseRenewal, LeaseState, LeaseView


@dataclass
class RememberedLeases:
    """While `is_away` every call fails, as without a quorum. `before_heal` happens just before a heal is
    begun.
    """

    held: dict[str, int] = field(default_factory=dict)
    healing: dict[str, str] = field(default_factory=dict)
    words: list[str] = field(default_factory=list)
    proofs: list[str] = field(default_factory=list)
    is_away: bool = False
    before_heal: Callable[[], None] = lambda: None
    revision: int = 0

    def renew(self, host: str) -> LeaseRenewal:
        self._check()
        if host in self.healing:
            return LeaseRenewal(LeaseState.HEALING)
        if host not in self.held:
            self.revision += 1
            self.held[host] = self.revision
        return LeaseRenewal(LeaseState.HELD, self.held[host])

    def look(self) -> LeaseView:
        self._check()
        return LeaseView(dict(self.held), dict(self.healing))

    def begin_heal(self, host: str, who: str) -> bool:
        self._check()
        self.before_heal()
        if host in self.held:
            return False
        self.healing[host] = who
        return True

    def end_heal(self, host: str) -> None:
        self._check()
        self.healing.pop(host, None)

    def prove_writable(self, who: str) -> None:
        self._check()
        self.proofs.append(who)

    def say(self, words: str) -> None:
        self.words.append(words)

    def _check(self) -> None:
        if self.is_away:
            raise Transient("ask for leases: they were told to be away")
