"""A control host's place among the members of the stores and of OVN's databases: given up for a host that is lost, and
taken by the one that comes instead, at the same address under the same name (design note 0038).

`cluster forget` and `up` call this as root, on any control host that is left. Each may be repeated.
"""

from __future__ import annotations

import time

from kumoi import members
from kumoi.base.errors import Conflict
from kumoi.config import CloudSettings, HostSettings
from kumoi.control_host import ControlHost
from kumoi.hosts.cluster import databases, leases, ovn_members, succession
from kumoi.hosts.cluster.succession import Succession

NAMED_WITHIN_S = 30.0  # Several rounds of Patroni's loop.
POLL_S = 0.5
CHANGE_S = 10.0  # Of etcd's members: a round of its consensus, with the disk.


def require_others(cloud: CloudSettings, here: HostSettings, lost: ControlHost) -> None:
    """Raises Conflict unless all others are there: what is given up counts no more, so the next loss would be one too
    many.
    """
    _require_members(cloud, here, lost)
    deadline = time.monotonic() + NAMED_WITHIN_S
    while unnamed := _unnamed(cloud, succession.look(cloud, here), lost):
        if time.monotonic() > deadline:
            raise Conflict(
                f"Patroni has not written to etcd that {' and '.join(unnamed)} may take over, so nobody would: "
                "sudo ./kumoi cluster status says when it has"
            )
        time.sleep(POLL_S)


def _unnamed(cloud: CloudSettings, stores: Succession, lost: ControlHost) -> list[str]:
    """Those that Patroni would not let lead if the leader were lost, too; it says so some seconds after they follow."""
    named = {stores.leader, *stores.successors}
    return [each.name for each in cloud.control_hosts if each != lost and each.name not in named]


def _require_members(cloud: CloudSettings, here: HostSettings, lost: ControlHost) -> None:
    etcd = leases.open_etcd(cloud, here).answering()
    stores = databases.look(cloud, here)
    following = {stores.leader, *stores.followers}
    for each in cloud.control_hosts:
        if each == lost:
            continue
        is_member = etcd.get(f"{each.address}:{members.ETCD_PORT}", False)
        if not is_member or each.name not in following:
            raise Conflict(
                f"{each.name} has no whole member of the stores either, and without it too few would be left: start it "
                "first (sudo ./kumoi status there says what is away)"
            )


def require_lost(cloud: CloudSettings, here: HostSettings, lost: ControlHost) -> None:
    """Raises Conflict when any member of its answers."""
    if answers(cloud, here, lost):
        raise Conflict(
            f"{lost.name} is not lost, its members of the stores answer: stop it there first, sudo ./kumoi down"
        )


def answers(cloud: CloudSettings, here: HostSettings, place: ControlHost) -> bool:
    """Whether any member of its does, of the stores or of OVN's databases."""
    stores = databases.look(cloud, here)
    etcd = leases.open_etcd(cloud, here).answering()
    ovn = {
        name for each in ovn_members.look(cloud, here) for name in (each.leader, *each.followers)
    }
    return (
        place.name in {stores.leader, *stores.followers, *ovn}
        or f"{place.address}:{members.ETCD_PORT}" in etcd
    )


def give_up(cloud: CloudSettings, here: HostSettings, lost: ControlHost) -> None:
    """Those that are left need a majority of themselves alone then. Patroni forgets it by itself."""
    etcd = leases.open_etcd(cloud, here, timeout_s=CHANGE_S)
    for member in etcd.known_members():
        if member.peer == members.etcd_peer(lost):
            etcd.remove_member(member.id)
    ovn_members.forget(cloud, here, lost)


def take(cloud: CloudSettings, here: HostSettings, new: ControlHost) -> None:
    """For a host whose disk is empty; before its members start. One that was there before and was not given up is."""
    etcd = leases.open_etcd(cloud, here, timeout_s=CHANGE_S)
    peer = members.etcd_peer(new)
    found = [member for member in etcd.known_members() if member.peer == peer]
    for member in found:
        if member.name:
            etcd.remove_member(member.id)
    if not any(not member.name for member in found):
        etcd.add_member(peer)


def is_taken(cloud: CloudSettings, here: HostSettings, place: ControlHost) -> bool:
    known = leases.open_etcd(cloud, here, timeout_s=CHANGE_S).known_members()
    return any(member.peer == members.etcd_peer(place) for member in known)
