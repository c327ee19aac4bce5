"""Starts servers of a lost host elsewhere: a reconciler, for no request says that a host is lost.

Looks at the leases once a second and acts on healing_plan.py. Between the last look at the witnesses and
the transaction the host may come back: so a heal is begun in etcd first, which succeeds only while there is
no lease, and until it is over the host gets none. And only whoever is the healer by the store itself
commits: another one that was frozen meanwhile is not any more.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from sqlalchemy.engine import Connection

from kumoi.base import log
from kumoi.base.clock import Clock
from kumoi.base.errors import KumoiError, Transient, UserError
from kumoi.cloud.domain.compute import server_heal
from kumoi.cloud.domain.compute.server_heal import HealOrder
from kumoi.cloud.domain.host import host as host_domain
from kumoi.cloud.domain.host import witness
from kumoi.cloud.reconcilers.healing_plan import HealingPlan, HostSight, PeerWord, plan
from kumoi.cloud.store.compute import server as server_store
from kumoi.engine import holder, lease
from kumoi.engine.db import Database, now
from kumoi.hosts.cluster.leases import TTL_S, LeaseBook, LeaseView

NAME = "heal"
LOOK_EVERY_S = 1.0
HOSTS_EVERY_S = (
    5.0  # While each host that is known has its lease, the store is asked so rarely for others.
)
PROVE_EVERY_S = 2.0
BREAK_S = 5.0
"""A longer pause between two writes that succeeded is a break."""
HEARD_WITHIN = timedelta(seconds=12)
WORD_GOOD_FOR = timedelta(seconds=10)
PEERS_MAX = 4
AGAIN_S = 30.0
"""After an attempt that found no place for a server. Meanwhile it counts as one that waits."""


class WritableWatch:
    """How long the store and etcd have taken writes without a break, as this process saw it."""

    def __init__(self, database: Database, book: LeaseBook, clock: Clock, *, who: str) -> None:
        self._database = database
        self._book = book
        self._clock = clock
        self._who = who
        self._token = holder.new_token()
        self._since_s: float | None = None
        self._last_s = 0.0

    def prove(self) -> None:
        """Write in both. Whoever fails begins anew, and it is logged once."""
        try:
            with self._database.write(wakes=False) as connection:
                name = f"writable/{self._who}"
                lease.claim(connection, name, token=self._token, ttl_s=TTL_S)
            self._book.prove_writable(self._who)
        except KumoiError as error:
            if self._since_s is not None:
                log.failure("control_plane.not_writable", error)
            self._since_s = None
            return
        at_s = self._clock.monotonic()
        if self._since_s is None or at_s - self._last_s > BREAK_S:
            self._since_s = at_s
        self._last_s = at_s

    @property
    def for_s(self) -> float:
        """0.0 after a break."""
        if self._since_s is None or self._clock.monotonic() - self._last_s > BREAK_S:
            return 0.0
        return self._last_s - self._since_s


class Healer:
    """Run by the worker, one at a time in a cloud: `token` is that of its loop. `default` is the policy of
    servers that have none of their own.
    """

    def __init__(
        self,
        database: Database,
        book: LeaseBook,
        watch: WritableWatch,
        clock: Clock,
        *,
        default: str,
        token: str,
    ) -> None:
        self._database = database
        self._book = book
        self._watch = watch
        self._clock = clock
        self._default = default
        self._token = token
        self._absent_since_s: dict[str, float] = {}
        self._again_s: dict[str, float] = {}
        self._next_s = 0.0
        self._hosts_at_s = -HOSTS_EVERY_S  # Never yet.
        self._known: frozenset[str] = frozenset()
        self._said: str | None = None

    def round(self) -> None:
        """Every write wakes it: it looks once a second."""
        at_s = self._clock.monotonic()
        if at_s < self._next_s:
            return
        self._next_s = at_s + LOOK_EVERY_S
        try:
            view = self._book.look()
        except KumoiError as error:
            if self._absent_since_s:
                log.failure("leases.not_known", error)
            self._absent_since_s.clear()
            return
        if self._is_well(view, at_s):
            return
        self._forget_returned(view)
        for host_id in view.healing:
            self._end(host_id)  # Of an earlier healer, or of a commit whose end was not seen.
        with self._database.read() as connection:
            hosts = self._sights(connection, view, at_s)
            planned = plan(hosts, is_writable=self._watch.for_s >= TTL_S)
        self._tell(planned.words)
        self._ask(planned, hosts)
        if planned.heal is not None:
            self._heal(planned.heal, planned)

    def _is_well(self, view: LeaseView, at_s: float) -> bool:
        """No host that was known a moment ago lacks its lease, and none did, so there is nothing to do, or to take back."""
        return (
            at_s - self._hosts_at_s < HOSTS_EVERY_S
            and self._known <= view.held.keys()
            and not (view.healing or self._absent_since_s or self._said)
        )

    def _forget_returned(self, view: LeaseView) -> None:
        """What others said of a host that has its lease again counts no more."""
        returned = [host_id for host_id in self._absent_since_s if host_id in view.held]
        if returned:
            with self._database.write(wakes=False) as connection:
                for host_id in returned:
                    witness.forget(connection, host_id)

    def _sights(self, connection: Connection, view: LeaseView, at_s: float) -> list[HostSight]:
        rows = host_domain.every(connection)
        known = {row.id for row in rows}
        self._hosts_at_s, self._known = at_s, frozenset(known)
        fenced = set(server_store.hosts_with_fenced(connection))
        for host_id in [*self._absent_since_s]:
            if host_id in view.held or host_id not in known:
                del self._absent_since_s[host_id]
        for host_id in known - view.held.keys():
            self._absent_since_s.setdefault(host_id, at_s)
        time_ = now(connection)
        found = []
        for row in rows:
            since_s = self._absent_since_s.get(row.id)
            sight = HostSight(
                id=row.id,
                absent_s=None if since_s is None else at_s - since_s,
                is_heard=time_ - row.seen_at < HEARD_WITHIN,
            )
            if since_s is not None and row.id in fenced:
                sight = self._closer(connection, sight, time_)
            found.append(sight)
        return found

    def _closer(self, connection: Connection, sight: HostSight, time_: datetime) -> HostSight:
        """A host that has no lease, and servers that it stops then."""
        servers = [row for row in server_store.on_host(connection, sight.id) if row.fenced]
        healable = server_heal.healable(connection, sight.id, self._default)
        if self._clock.monotonic() < self._again_s.get(sight.id, 0.0):
            healable = []
        words = witness.about(connection, sight.id)
        fresh = [row for row in words if time_ - row.asked_at < WORD_GOOD_FOR]
        return replace(
            sight,
            healable=len(healable),
            waiting=len(servers) - len(healable),
            words=tuple(
                PeerWord(row.host_id, row.reached, row.tunnel)
                for row in fresh
                if row.answered_at is not None
            ),
            asked_s_ago=min(
                ((time_ - row.asked_at).total_seconds() for row in fresh), default=None
            ),
        )

    def _ask(self, planned: HealingPlan, hosts: Sequence[HostSight]) -> None:
        if not planned.ask:
            return
        peers = [host.id for host in hosts if host.absent_s is None]
        with self._database.write() as connection:
            for host_id in planned.ask:
                witness.ask(connection, host_id, peers[:PEERS_MAX], now(connection))

    def _heal(self, host_id: str, planned: HealingPlan) -> None:
        """Nothing is moved where the host has its lease again."""
        if not self._book.begin_heal(host_id, self._token):
            return
        log.warning("host.lost", host=host_id, **(planned.said or {}))
        order = HealOrder(reason=f"{host_id} is lost", witnesses=planned.said or {})
        self._again_s[host_id] = self._clock.monotonic() + AGAIN_S
        with self._database.write() as connection:
            self._require_healer(connection)
            for row in server_heal.healable(connection, host_id, self._default):
                try:
                    server_heal.move(connection, row, now(connection), order)
                except UserError as error:  # No room, or no image: it waits, as others do.
                    log.failure("server.not_healed", error, server=row.id)
        self._book.end_heal(host_id)

    def _end(self, host_id: str) -> None:
        """Whoever had the writers' lock before has committed by now, or never will."""
        with self._database.write(wakes=False) as connection:
            self._require_healer(connection)
        self._book.end_heal(host_id)

    def _require_healer(self, connection: Connection) -> None:
        if not lease.is_held(connection, NAME, token=self._token, margin_s=0.0):
            raise Transient("heal: another process is the healer by now")

    def _tell(self, words: str) -> None:
        if words == self._said:
            return
        self._said = words
        if words:
            log.warning("healer.says", words=words)
        self._book.say(words)
