"""OVN's two databases on the control hosts: made members of a RAFT, looked at, and made alone again.

`up` calls `convert` before a host's units start and `settle` after, `cluster create` calls `leave` on its way
back, `cluster status` and `status` call `look`. Which members there are follows from the settings; the files
are hosts/units/database_file.py's.
"""

from __future__ import annotations

import contextlib
import json
import re
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

from kumoi import members
from kumoi.base import process
from kumoi.base.process import ProcessFailed
from kumoi.config import CloudSettings, HostSettings
from kumoi.control_host import ControlHost
from kumoi.hosts.units import ownership, rights
from kumoi.hosts.units.keeper import UnitKeeper
from kumoi.hosts.units.table import Unit
from kumoi.hosts.wires import virtual
from kumoi.members import NORTHD, OVN_DATABASES, OvnDatabase

CENTRAL = frozenset({*(database.unit for database in OVN_DATABASES), NORTHD})
STARTED_S = 90.0  # On a machine that has other work to do.
JOINED_S = 20.0  # Longer than an election, in which nobody is let in.
LEFT_S = 20.0
ASK_S, LOOK_S = 5, 3
POLL_S = 0.1
MEMBER = re.compile(r"^\s+([0-9a-f]{4}) \(\1 at (\S+)\)", re.MULTILINE)
OWN_ID = re.compile(r"^Server ID: ([0-9a-f]{4}) ", re.MULTILINE)
TERM = re.compile(r"^Term: (\d+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class OvnMembers:
    """One of the two, by hosts' names. `leader` is "" when none leads; `missing` do not answer, or have lost
    the others. Each leader has a `term` of its own, a greater one than the leader before; 0 is unknown.
    """

    database: str
    leader: str
    followers: tuple[str, ...]
    missing: tuple[str, ...]
    term: int

    @property
    def is_whole(self) -> bool:
        return bool(self.leader) and not self.missing


# On a host whose settings say another thing than its files.


def convert(
    cloud: CloudSettings, host: HostSettings, keeper: UnitKeeper, wanted: Sequence[Unit]
) -> None:
    """Make this host's databases what the settings say, alone or members. Their servers and northd end for
    that, and are started again where anything runs; controllers and switches go on with what they have.
    """
    runs = keeper.read_status() is not None
    keeper.stop_units(CENTRAL)
    virtual.ensure_central(cloud, host)
    ownership.own_databases(cloud, host)
    if runs:
        keeper.tell(wanted)
        keeper.ensure_ready(sorted(CENTRAL), timeout_s=STARTED_S)


def settle(cloud: CloudSettings, host: HostSettings) -> list[str]:
    """Wait for this host's members to be let in, and have the others forget those that were at its address
    before, whose disk was lost: they would count when a majority is asked for. The databases whose member is
    not let in yet, since others are away.
    """
    late = []
    for database in OVN_DATABASES if members.has_ovn_member(cloud, host) else ():
        if not _wait(partial(_is_member, host, database), timeout_s=JOINED_S):
            late.append(database.schema)
            continue
        for lost in _lost(cloud, host, database):
            _ask(host, database, "cluster/kick", database.schema, lost)
    return late


def forget(cloud: CloudSettings, host: HostSettings, lost: ControlHost) -> None:
    """This host's members have the others forget the lost one's. Raises ProcessFailed."""
    for database in OVN_DATABASES if members.has_ovn_member(cloud, host) else ():
        address = members.ovn_peer(lost, database)
        for id_, at in MEMBER.findall(_status(host, database)):
            if at == address:
                _ask(host, database, "cluster/kick", database.schema, id_)


def leave(cloud: CloudSettings, hosts: Iterable[HostSettings]) -> None:
    """One after the other, so that those that stay have all that was written. A member that does not
    answer or was never let in has nothing of its own.
    """
    for host in hosts:
        for database in OVN_DATABASES if members.has_ovn_member(cloud, host) else ():
            if _is_member(host, database):
                with contextlib.suppress(ProcessFailed):  # It is on its way already.
                    _ask(host, database, "cluster/leave", database.schema)
                _wait(partial(_has_left, host, database), timeout_s=LEFT_S)


# Looking.


def look(cloud: CloudSettings, host: HostSettings) -> list[OvnMembers]:
    """Of both databases, as all of their members say; the term is what this host's member says."""
    if not members.has_ovn_member(cloud, host):
        return []
    asked = [(database, each) for database in OVN_DATABASES for each in cloud.control_hosts]
    with ThreadPoolExecutor(len(asked)) as threads:
        roles = list(threads.map(lambda pair: _role(host, *pair), asked))
    return [
        OvnMembers(
            database.schema,
            leader=next(iter(_named(database, "leader", asked, roles)), ""),
            followers=_named(database, "follower", asked, roles),
            missing=_named(database, "", asked, roles),
            term=int(next(iter(TERM.findall(_status(host, database))), "0")),
        )
        for database in OVN_DATABASES
    ]


def words(found: OvnMembers) -> str:
    """For people, in one line."""
    if not found.leader:
        return f"{found.database}: nobody leads, so no network can be changed; {_list(found.missing)} missing"
    missing = f"; {_list(found.missing)} missing" if found.missing else ""
    verb = "follow" if len(found.followers) > 1 else "follows"
    followers = f", {_list(found.followers)} {verb}" if found.followers else ""
    return f"{found.database}: {found.leader} leads in term {found.term}{followers}{missing}"


def _list(names: Sequence[str]) -> str:
    return " and ".join(names) if names else "none"


def _named(
    database: OvnDatabase,
    role: str,
    asked: Sequence[tuple[OvnDatabase, ControlHost]],
    roles: Sequence[str],
) -> tuple[str, ...]:
    return tuple(
        each.name
        for (of, each), found in zip(asked, roles, strict=True)
        if of is database and found == role
    )


def _role(host: HostSettings, database: OvnDatabase, member: ControlHost) -> str:
    """`leader`, `follower`, or empty when it does not answer or has lost the others."""
    select = {
        "op": "select",
        "table": "Database",
        "where": [["name", "==", database.schema]],
        "columns": ["connected", "leader"],
    }
    key, certificate, authorities = members.ovn_certificate(host, NORTHD)
    command = ["ovsdb-client", f"--timeout={LOOK_S}", f"--private-key={key}"]
    command += [f"--certificate={certificate}", f"--ca-cert={authorities}", "query"]
    remote = f"ssl:{member.address}:{database.port}"
    found = process.run([*command, remote, json.dumps(["_Server", select])], check=False)
    with contextlib.suppress(ValueError, LookupError, TypeError):
        row = json.loads(found.out)[0]["rows"][0]
        if row["connected"]:
            return "leader" if row["leader"] else "follower"
    return ""


# This host's own servers.


def _is_member(host: HostSettings, database: OvnDatabase) -> bool:
    return "Status: cluster member" in _status(host, database)


def _has_left(host: HostSettings, database: OvnDatabase) -> bool:
    return not _is_member(host, database)


def _lost(cloud: CloudSettings, host: HostSettings, database: OvnDatabase) -> list[str]:
    """Ids at this host's address that are not its server's."""
    status = _status(host, database)
    address = members.ovn_peer(members.own(cloud, host), database)
    own = OWN_ID.findall(status)
    return [id_ for id_, at in MEMBER.findall(status) if at == address and id_ not in own]


def _status(host: HostSettings, database: OvnDatabase) -> str:
    """Empty where it does not answer, or has left."""
    with contextlib.suppress(ProcessFailed):
        return _ask(host, database, "cluster/status", database.schema)
    return ""


def _ask(host: HostSettings, database: OvnDatabase, *command: str) -> str:
    """Raises ProcessFailed."""
    control = rights.ovn_control(host, database)
    return process.run(["ovs-appctl", "-t", control, f"--timeout={ASK_S}", *command]).out


def _wait(holds: Callable[[], bool], *, timeout_s: float) -> bool:
    deadline = time.monotonic() + timeout_s
    while not holds():
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL_S)
    return True
