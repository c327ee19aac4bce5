"""The users that units run as: one for each unit of each cloud, made by `up`, gone with the cloud.

API and worker work on one store, a file of SQLite where nobody said otherwise, so they have one group
and no other; every other unit has a group of its own, and an engine is in the groups of those whose
sockets it connects to. The home of each is its cloud's state directory, which is how it is told
whose user it is. The agent is root.
"""

from __future__ import annotations

import grp
import hashlib
import os
import pwd
import re
from pathlib import Path

from kumoi import config, members
from kumoi.base import process
from kumoi.base.errors import Conflict
from kumoi.components import Api
from kumoi.config import CloudSettings, HostSettings, Role
from kumoi.members import COPIES, ETCD, HEALTH, KEEPALIVED, PATRONI

NORTHBOUND, DATABASES = "-ovnnb-db", "-ovn"
NAME_PATTERN = re.compile(r"[a-z][a-z0-9-]{0,15}")  # With a unit's name, 31 characters.
NOLOGIN = "/usr/sbin/nologin"
CONTROL = frozenset({Role.API, Role.WORKER})
REPOSITORIES = "repositories"  # Owns what was pushed, for the pipeline.
INSPECTOR = "inspector"  # Looks into images' files, for the API.
AUTHORITY = "authority"  # Signs the certificates of hosts that join, for the API.
FENCE = "fence"  # Holds the host's lease, and stops servers when it has ended.
SHARE_IMAGES = CONTROL | {COPIES}  # Of one group: each works on the same files.
CONFINED = (
    PATRONI,
    FENCE,
    INSPECTOR,
    AUTHORITY,
    Role.API,
    Role.WORKER,
    Role.PIPELINE,
    REPOSITORIES,
    COPIES,
    HEALTH,
)


UNITS = {
    Role.API: (INSPECTOR, AUTHORITY, "api"),
    Role.WORKER: ("worker",),
    Role.PIPELINE: (REPOSITORIES, "pipeline"),
    Role.NETWORK: ("ovnnb-db", "ovnsb-db", "ovn-northd"),
    Role.AGENT: (FENCE, "ovs-db", "ovs-vswitchd", "ovn-controller", "prober", "proxy"),
}
"""Units, and programs that the agent starts, with a user of their own, by the role that brings them to a host."""


MEMBERS = (ETCD, PATRONI)
OF_CONTROL_HOSTS = (*MEMBERS, REPOSITORIES, COPIES, HEALTH, KEEPALIVED)
"""Units of every host that `control_hosts` names, which has a copy of all that was pushed."""


def name_of(cloud: CloudSettings, host: HostSettings, unit: str) -> str:
    """With the host's name: several hosts of a cloud may be on one machine."""
    return f"{_prefix(cloud, host)}-{unit}"


def group_of(cloud: CloudSettings, host: HostSettings, unit: str) -> str:
    is_shared = unit in SHARE_IMAGES
    return f"{_prefix(cloud, host)}-control" if is_shared else name_of(cloud, host, unit)


def databases_group(cloud: CloudSettings, host: HostSettings) -> str:
    """Of both central databases: their files are in one directory."""
    return f"{_prefix(cloud, host)}{DATABASES}"


def is_needed(cloud: CloudSettings, host: HostSettings, unit: str) -> bool:
    """The authority's key is used on one host, and where no host can join there is nobody to sign for; where
    nobody uploads images, nothing to look into; where there is no etcd, no lease; while the stores are
    files, others are no copies of what they name; and no address moves that is not shared.
    """
    if unit == AUTHORITY:
        return cloud.is_cluster and config.is_first(cloud, host)
    if unit == FENCE:
        return cloud.is_replicated
    if unit == COPIES:
        return members.have_stores(cloud)
    if unit in (HEALTH, KEEPALIVED):
        return members.shares_address(cloud, host)
    return unit != INSPECTOR or Api.IMAGE in cloud.apis


def units_here(cloud: CloudSettings, host: HostSettings) -> list[str]:
    """Those of its roles that are needed."""
    found = [unit for role, units in UNITS.items() if role in host.roles for unit in units]
    if cloud.control_host(host.name) is not None:
        found = [*OF_CONTROL_HOSTS, *found]
    return [unit for unit in dict.fromkeys(found) if is_needed(cloud, host, unit)]


def roles_here(cloud: CloudSettings, host: HostSettings) -> list[str]:
    """Our own processes on this host that have users."""
    here = units_here(cloud, host)
    return [unit for unit in CONFINED if unit in here]


def user_of(cloud: CloudSettings, host: HostSettings, unit: str) -> tuple[int, int]:
    """The user and group of a unit; where a role was started by hand, those of this process."""
    try:
        entry = pwd.getpwnam(name_of(cloud, host, unit))
    except KeyError:
        return os.geteuid(), os.getegid()
    is_ours = entry.pw_dir == host.state_dir
    return (entry.pw_uid, entry.pw_gid) if is_ours else (os.geteuid(), os.getegid())


def ensure(cloud: CloudSettings, host: HostSettings) -> None:
    """A user for each unit that runs here. Raises Conflict when a name is somebody else's."""
    for unit in units_here(cloud, host):
        name, group = name_of(cloud, host, unit), group_of(cloud, host, unit)
        _ensure(name, group, host.state_dir)
    if Role.NETWORK in host.roles:
        _ensure_group(databases_group(cloud, host))


def remove(host: HostSettings) -> None:
    """All users of the cloud that keeps its state there, and their groups."""
    ours = [entry for entry in pwd.getpwall() if entry.pw_dir == host.state_dir]
    names = [entry.pw_name for entry in ours if entry.pw_name.endswith(NORTHBOUND)]
    shared = {name.removesuffix(NORTHBOUND) + DATABASES for name in names}
    ids = {entry.pw_gid for entry in ours}
    # By name: an id that is free again may be another cloud's a moment later.
    groups = [
        each.gr_name for each in grp.getgrall() if each.gr_gid in ids or each.gr_name in shared
    ]
    for entry in ours:
        process.run(["userdel", entry.pw_name])
    there = {each.gr_name for each in grp.getgrall()}  # userdel takes those of a user's name.
    for name in groups:
        if name in there:
            process.run(["groupdel", name])


def ids_of(state_dir: str) -> frozenset[int]:
    """Of all users of the cloud that keeps its state there."""
    return frozenset(entry.pw_uid for entry in pwd.getpwall() if entry.pw_dir == state_dir)


def is_unit_of(state_dir: str, unit: str, uid: int) -> bool:
    """Whether a process of this user may be that unit: nobody else writes its mark."""
    if uid == 0:
        return True
    try:
        entry = pwd.getpwuid(uid)
    except KeyError:
        return False
    return entry.pw_dir == state_dir and entry.pw_name.endswith(f"-{unit}")


def unit_of(state_dir: str, uid: int) -> str | None:
    """The unit that this is the user of, in the cloud that keeps its state there."""
    try:
        entry = pwd.getpwuid(uid)
    except KeyError:
        return None
    if entry.pw_dir != state_dir:
        return None
    units = [*OF_CONTROL_HOSTS, *(unit for each in UNITS.values() for unit in each)]
    return next((str(unit) for unit in units if entry.pw_name.endswith(f"-{unit}")), None)


def _prefix(cloud: CloudSettings, host: HostSettings) -> str:
    """The cloud's name on its first host, elsewhere the host's."""
    if host.name == config.first_host(cloud, host.state_dir).name:
        return cloud.name
    if NAME_PATTERN.fullmatch(host.name):
        return host.name
    return f"{cloud.name}-{hashlib.sha256(host.name.encode()).hexdigest()[:7]}"


def _ensure(name: str, group: str, state_dir: str) -> None:
    try:
        entry = pwd.getpwnam(name)
    except KeyError:
        _ensure_group(group)
        made = ["useradd", "--system", "--no-create-home", "--no-log-init", "--shell", NOLOGIN]
        process.run([*made, "--home-dir", state_dir, "--gid", group, name])
        return
    if entry.pw_dir == state_dir:
        return
    if Path(entry.pw_dir).exists():
        raise Conflict(
            f"the user {name} is there and belongs to {entry.pw_dir}: use another --name"
        )
    process.run(["usermod", "--home", state_dir, name])  # Of a cloud that was deleted by hand.


def _ensure_group(name: str) -> None:
    process.run(["groupadd", "--system", "--force", name])
