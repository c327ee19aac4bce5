"""The order in which a cloud goes to another release, host by host (design note 0023).

Each step is done when a look at the cluster says so, so the same call goes on after a kill anywhere. A step
that doubts stops the rest and leaves what runs: an operator sees the fault before anything is taken back.
`kumoi upgrade` calls this on the first host.
"""

from __future__ import annotations

import contextlib
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from kumoi.base.errors import Conflict, KumoiError, Permanent, Transient
from kumoi.base.process import ProcessFailed
from kumoi.cli import choice, status, up
from kumoi.cli.progress import Progress, ProgressStage
from kumoi.cloud.domain.host import host as host_domain
from kumoi.cloud.store.host.host import UP, Host
from kumoi.config import CloudSettings, HostSettings
from kumoi.engine.db import Database
from kumoi.hosts.cluster import databases, handover
from kumoi.hosts.install import image
from kumoi.hosts.units import releases, running
from kumoi.members import cloud_database

SETTLED_S = 60.0  # What a killed command left on its way goes on by itself.
WELL_TIMEOUT_S = 120.0  # The processes before answer who is connected for up to 60 s.
POLL_S = 1.0
FREE_MIN_BYTES = 1 << 30  # For a release that cannot share its packages, and for logs.
RUNS, FAULTY = "ACTIVE", "ERROR"


@dataclass(frozen=True, slots=True)
class HostRelease:
    """A host and what it runs: `releases` are ids of releases where it is on this machine, else what it
    said last. `path` is its state directory, empty elsewhere.
    """

    name: str
    is_control: bool
    is_up: bool
    releases: tuple[str, ...]
    path: str = ""

    def is_of(self, release_id: str) -> bool:
        """Of another machine's host the version alone is known."""
        wanted = release_id if self.path else release_id.partition("-")[0]
        return self.releases == (wanted,)


@dataclass(frozen=True, slots=True)
class Plan:
    """`target` is the release of this process. `hosts` are in the order in which they are upgraded."""

    target: str
    hosts: tuple[HostRelease, ...]
    doubts: tuple[str, ...]

    @property
    def to_do(self) -> list[HostRelease]:
        return [host for host in self.hosts if host.path and not host.is_of(self.target)]

    @property
    def elsewhere(self) -> list[HostRelease]:
        return [host for host in self.hosts if not host.path and not host.is_of(self.target)]


def plan(cloud: CloudSettings, first: HostSettings) -> Plan:
    """Changes nothing."""
    members = databases.look(cloud, first) if cloud.is_replicated else databases.Members("", ())
    here = _here(cloud, first)
    rows = {row.id: row for row in _rows(cloud, first)}
    found = []
    for name in sorted({*here, *rows}, key=lambda name: _turn(cloud, first, members.leader, name)):
        row, host = rows.get(name), here.get(name)
        ran = _running(host) if host else (() if row is None else (row.version,))
        found.append(
            HostRelease(
                name=name,
                is_control=name == first.name or cloud.control_host(name) is not None,
                is_up=row is not None and row.state == UP,
                releases=ran,
                path=host.state_dir if host else "",
            )
        )
    return Plan(releases.release_id(), tuple(found), tuple(_doubts(cloud, first, found, members)))


def run(cloud: CloudSettings, first: HostSettings, progress: Progress, *, watch_s: float) -> Plan:
    """Every host of this machine; the plan of what is left. `watch_s` is how long the first host that is no
    control host is looked at before the next one's turn. Raises Conflict where something is half broken before
    anything changes, and Permanent where a step is in doubt.
    """
    with progress.stage("look at every host") as stage:
        looked = _settled(cloud, first, stage)
        if looked.doubts:
            raise Conflict(f"{'; '.join(looked.doubts)}. Mend that, then call this again")
        stage.note(f"{len(looked.to_do)} of {len(looked.hosts)} hosts to do")
    here = _here(cloud, first)
    with progress.stage("release on each host") as stage:
        for host in here.values():
            releases.install(host.release_dir)
        stage.note(looked.target)
    with progress.stage("stores expand"):
        up.ensure_stores(first, releases.install(first.release_dir))
    servers = _servers(cloud, first, RUNS)
    is_watched = False
    for each in looked.to_do:
        progress.say(f"Host {each.name}:")
        host = here[each.name]
        try:
            _hand_over(cloud, host, progress)
            up.bring_up(up.args_of(cloud, host), progress)
        except KumoiError as cause:
            raise _in_doubt(each.name, str(cause), "run") from cause
        with progress.stage("well again") as stage:
            trouble = partial(_trouble, cloud, first, each.name, servers)
            _wait_until_well(each.name, trouble, "run", stage)
            if not each.is_control and not is_watched:
                is_watched = True
                _watch(cloud, first, each.name, servers, watch_s)
    return plan(cloud, first)


def _settled(cloud: CloudSettings, first: HostSettings, stage: ProgressStage) -> Plan:
    """The plan, with the doubts that stay."""
    deadline = time.monotonic() + SETTLED_S
    while (looked := plan(cloud, first)).doubts and time.monotonic() < deadline:
        stage.tell("; ".join(looked.doubts))
        time.sleep(POLL_S)
    return looked


def older(cloud: CloudSettings, first: HostSettings, wanted: str = "") -> str:
    """The id of the release to go back to: the one named, or the one used last before the newest that any host of this
    machine runs. So a way back that was cut off goes on. Raises Conflict when it is not there.
    """
    current = {each for host in _here(cloud, first).values() for each in _running(host)}
    there = sorted(
        (path for path in first.release_dir.glob("[0-9]*-*") if path.is_dir()),
        key=lambda path: path.stat().st_mtime,
        reverse=True,
    )
    names = [path.name for path in there]
    if wanted and wanted not in names:
        raise Conflict(f"there is no release {wanted}: {', '.join(names)}")
    newest = next((number for number, name in enumerate(names) if name in current), -1)
    left = names[newest + 1 :]
    if not wanted and not left:
        raise Conflict("there is no other release to go back to: `up` in a checkout of it")
    return wanted or left[0]


def go_back(
    cloud: CloudSettings, first: HostSettings, release_id: str, progress: Progress
) -> list[str]:
    """All hosts of this machine, each by the older release's own `up`; the names. The next one's turn comes when
    the one before is well; what is amiss elsewhere, which may be why one goes back, stops nothing.
    """
    here = _here(cloud, first)
    ordered = [here[host.name] for host in _way_back(plan(cloud, first).hosts)]
    for host in ordered:
        if not (host.release_dir / release_id).is_dir():
            raise Conflict(f"{host.name} has no release {release_id}: `up` in a checkout of it")
    image.share()
    for host in ordered:
        with contextlib.suppress(Permanent):  # Patroni there may be what is amiss.
            _hand_over(cloud, host, progress)
        with progress.stage(f"host {host.name}") as stage:
            words = ["--name", cloud.name, "--state-dir", host.state_dir]
            try:
                releases.bring_up(host.release_dir / release_id, words)
            except ProcessFailed as cause:
                raise _in_doubt(host.name, str(cause), "rollback") from cause
            trouble = partial(_own_trouble, cloud, host, release_id)
            _wait_until_well(host.name, trouble, "rollback", stage)
            stage.note(release_id)
    return [host.name for host in ordered]


def _way_back(hosts: Sequence[HostRelease]) -> list[HostRelease]:
    """Those of this machine: the control plane last, and of it whoever leads the stores."""
    return sorted((host for host in hosts if host.path), key=lambda host: host.is_control)


def _own_trouble(cloud: CloudSettings, host: HostSettings, release_id: str) -> str:
    """What of this host is not as it should be; empty when all is."""
    ran = _running(host)
    if ran != (release_id,):
        return f"runs {', '.join(ran)}"
    for row in status.processes(cloud, host):
        if not row.healthy:
            return f"{row.name}: {row.why or row.state}"
    if cloud.is_replicated and cloud.control_host(host.name):
        found = databases.look(cloud, host)
        if host.name not in {found.leader, *found.followers}:
            return "its member of the stores does not follow"
    return ""


def _here(cloud: CloudSettings, first: HostSettings) -> dict[str, HostSettings]:
    """The cloud's hosts on this machine, by name."""
    return {each.name: each for each in (first, *choice.others_here(cloud, first))}


def _turn(
    cloud: CloudSettings, first: HostSettings, leader: str, name: str
) -> tuple[int, int, str]:
    """Control hosts, and of them who leads the stores last: one change of leader in place of two."""
    is_control = name == first.name or cloud.control_host(name) is not None
    return (0 if is_control else 1, int(name == leader), name)


def _running(host: HostSettings) -> tuple[str, ...]:
    """The releases that this host's processes are of."""
    homes = {
        releases.of_process(each.pid, host.release_dir) for each in running.found(host.state_dir)
    }
    return tuple(sorted(homes - {""}))


def _doubts(
    cloud: CloudSettings,
    first: HostSettings,
    hosts: Sequence[HostRelease],
    members: databases.Members,
) -> list[str]:
    """What is half broken before anything begins."""
    found = [
        f"{row.name} of {host.name}: {row.why or row.state}"
        for host in (first, *choice.others_here(cloud, first))
        for row in status.processes(cloud, host)
        if not row.healthy
    ]
    if cloud.is_replicated:
        missing = {each.name for each in cloud.control_hosts} - {members.leader, *members.followers}
        found += [f"the stores' member on {name} does not follow" for name in sorted(missing)]
    for host in hosts:
        if host.path:
            free = shutil.disk_usage(host.path).free
            if free < FREE_MIN_BYTES:
                found.append(f"{host.path} has {free >> 20} MiB free, and a release needs 1 GiB")
            if not host.releases:
                found.append(f"{host.name} is down")
    return found


def _hand_over(cloud: CloudSettings, host: HostSettings, progress: Progress) -> None:
    """Whoever leads the stores gives that away before its processes are replaced: writes wait 3 s at most."""
    if not cloud.is_replicated or databases.look(cloud, host).leader != host.name:
        return
    with progress.stage("another host leads the stores") as stage:
        handover.hand_over(cloud, host)
        databases.wait_for_leader(cloud, host, timeout_s=WELL_TIMEOUT_S, tell=stage.tell)
        stage.note(databases.look(cloud, host).leader)


def _wait_until_well(
    name: str, trouble_of: Callable[[], str], action: str, stage: ProgressStage
) -> None:
    """Raises Permanent with what is not well in time."""
    deadline = time.monotonic() + WELL_TIMEOUT_S
    while trouble := trouble_of():
        if time.monotonic() > deadline:
            raise _in_doubt(name, trouble, action)
        stage.tell(trouble)
        time.sleep(POLL_S)


def _in_doubt(name: str, trouble: str, action: str) -> Permanent:
    or_else = "" if action == "rollback" else ", or `upgrade rollback`"
    return Permanent(
        f"{name} is in doubt: {trouble}. Nothing else was changed; look at its logs, then `upgrade {action}` "
        f"again{or_else}"
    )


def _watch(
    cloud: CloudSettings, first: HostSettings, name: str, servers: frozenset[str], watch_s: float
) -> None:
    """A fault of the new release meets one host."""
    until = time.monotonic() + watch_s
    while time.monotonic() < until:
        if trouble := _trouble(cloud, first, name, servers):
            raise Permanent(f"{name} was well and is not any more: {trouble}")
        time.sleep(POLL_S)


def _trouble(cloud: CloudSettings, first: HostSettings, name: str, servers: frozenset[str]) -> str:
    """What is not as it should be once this host is of the target; empty when all is."""
    looked = plan(cloud, first)
    if looked.doubts:
        return looked.doubts[0]
    found = next(host for host in looked.hosts if host.name == name)
    if not found.is_of(looked.target):
        return f"runs {', '.join(found.releases)}"
    if not found.is_up:
        return "is not heard of"
    try:
        lost = servers & _servers(cloud, first, FAULTY)
    except Transient as error:
        return str(error)
    return f"servers that ran are faulty: {', '.join(sorted(lost))}" if lost else ""


def _servers(cloud: CloudSettings, first: HostSettings, status_: str) -> frozenset[str]:
    """Ids of those in this status. Raises Transient when the API does not answer."""
    _, servers, trouble = status.hosts_and_servers(cloud, first, status.processes(cloud, first))
    if trouble:
        raise Transient(trouble)
    return frozenset(row["id"] for row in servers if row["status"] == status_)


def _rows(cloud: CloudSettings, first: HostSettings) -> list[Host]:
    database = Database(cloud_database(cloud, first), wake_dir=first.wake_dir)
    try:
        with database.read() as connection:
            return host_domain.every(connection)
    finally:
        database.close()
