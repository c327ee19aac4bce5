"""The users that roles run as: one for each role of each cloud, made by `up`, gone with the cloud.

API and worker work on one store, a file of SQLite where nobody said otherwise, so they have one group
and no other; the pipeline has a group of its own. The home of each is its cloud's state directory,
which is how it is told whose user it is. The agent and the engines are root.
"""

from __future__ import annotations

import grp
import pwd
from pathlib import Path

from kumoi.base import process
from kumoi.base.errors import Conflict
from kumoi.config import CloudSettings, HostSettings, Role

NOLOGIN = "/usr/sbin/nologin"
CONTROL = frozenset({Role.API, Role.WORKER})
CONFINED = (Role.API, Role.WORKER, Role.PIPELINE)


def name_of(cloud: CloudSettings, role: Role) -> str:
    return f"{cloud.name}-{role.value}"


def group_of(cloud: CloudSettings, role: Role) -> str:
    return f"{cloud.name}-control" if role in CONTROL else name_of(cloud, role)


def ensure(cloud: CloudSettings, host: HostSettings) -> None:
    """A user for each role that runs here. Raises Conflict when a name is somebody else's."""
    for role in CONFINED:
        if role in host.roles:
            _ensure(name_of(cloud, role), group_of(cloud, role), host.state_dir)


def remove(host: HostSettings) -> None:
    """All users of the cloud that keeps its state there, and their groups."""
    ours = [entry for entry in pwd.getpwall() if entry.pw_dir == host.state_dir]
    groups = {entry.pw_gid for entry in ours}
    for entry in ours:
        process.run(["userdel", entry.pw_name])
    for group in grp.getgrall():
        if group.gr_gid in groups:
            process.run(["groupdel", group.gr_name])


def is_unit_of(state_dir: str, unit: str, uid: int) -> bool:
    """Whether a process of this user may be that unit: nobody else writes its mark."""
    if uid == 0:
        return True
    try:
        entry = pwd.getpwuid(uid)
    except KeyError:
        return False
    return entry.pw_dir == state_dir and entry.pw_name.rpartition("-")[2] == unit


def _ensure(name: str, group: str, state_dir: str) -> None:
    try:
        entry = pwd.getpwnam(name)
    except KeyError:
        process.run(["groupadd", "--system", "--force", group])
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
