"""Whether a cluster's stores bear the loss of whoever leads them: who leads, who acknowledges its writes, and who may
take over.

The last is in etcd alone: Patroni writes it there some time after members began to acknowledge, and a leader that is lost
before is replaced by nobody until it is back. `cluster status`, the drill and tests of the stores ask here, as root.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from kumoi.base.errors import Transient
from kumoi.config import CloudSettings, HostSettings
from kumoi.hosts.cluster import databases, leases
from kumoi.hosts.cluster.databases import Members


@dataclass(frozen=True, slots=True)
class Succession:
    """By their hosts' names. `missing` is in words; nothing where the stores bear the loss of any host."""

    leader: str
    followers: tuple[str, ...]
    successors: tuple[str, ...]
    missing: tuple[str, ...]


def look(cloud: CloudSettings, host: HostSettings, *, off: Collection[str] = ()) -> Succession:
    """Without those that are known to be `off`: they are missed by nobody."""
    names = [each.name for each in cloud.control_hosts if each.name not in off]
    found = databases.look(cloud, host)
    return judge(names, found, _note(cloud, host) if found.leader else "")


def judge(names: Sequence[str], found: Members, note: str) -> Succession:
    """`note` is Patroni's, "" where it has none. One that is of an earlier leader says nothing of who follows this one."""
    if not found.leader:
        return Succession("", (), (), ("a leader of PostgreSQL",))
    successors = _named(note, found.leader)
    late = [name for name in names if name not in {found.leader, *found.followers}]
    missing = [f"PostgreSQL on {name}" for name in late]
    unnamed = [name for name in found.followers if name not in successors]
    if unnamed:
        who = " and ".join(unnamed)
        missing.append(f"Patroni's word in etcd that {who} may take over from {found.leader}")
    return Succession(found.leader, found.followers, successors, tuple(missing))


def _named(note: str, leader: str) -> tuple[str, ...]:
    """By what Patroni wrote when that one led."""
    try:
        said = json.loads(note)
        is_of_leader = said["leader"] == leader
        named = str(said["sync_standby"] or "").split(",")
    except (ValueError, TypeError, KeyError):
        return ()
    return tuple(name for name in named if name) if is_of_leader else ()


def _note(cloud: CloudSettings, host: HostSettings) -> str:
    key = f"/kumoi/{cloud.name}/sync"
    try:
        with contextlib.closing(leases.open_etcd(cloud, host)) as client:
            found = client.below(key)
    except (Transient, OSError):  # No etcd, or nobody's certificate for it.
        return ""
    return next((entry.value for entry in found if entry.key == key), "")
