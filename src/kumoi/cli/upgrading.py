"""The order in which a cloud goes to another release, host by host (design note 0023).

Each step is done when a look at the cluster says so, so the same call goes on after a kill anywhere. A step
that doubts stops the rest and leaves what runs: an operator sees the fault before anything is taken back.
`kumoi upgrade` calls this on the first host. Hosts on other machines have their turns there (cli/upgrade_part.py).
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import kumoi
from kumoi.base import files
from kumoi.base.errors import Conflict, KumoiError, Permanent, Transient
from kumoi.base.files import Promise
from kumoi.base.release import version_of
from kumoi.cli import choice, cloud_store, status, up, upgrade_plan
from kumoi.cli.progress import Progress, ProgressStage
from kumoi.cli.upgrade_machines import NOBODY, UpgradeMachines
from kumoi.cli.upgrade_plan import HostRelease, Plan
from kumoi.cloud.domain.host import host as host_domain
from kumoi.cloud.store.host.host import UP, Host
from kumoi.config import CloudSettings, HostSettings
from kumoi.hosts.cluster import databases, handover, places, succession
from kumoi.hosts.cluster.succession import Succession
from kumoi.hosts.install import image
from kumoi.hosts.units import releases, running

SETTLED_S = 60.0  # What a killed command left on its way goes on by itself.
WELL_TIMEOUT_S = 120.0  # The processes before answer who is connected for up to 60 s.
POLL_S = 1.0
RUNS, FAULTY = "ACTIVE", "ERROR"
NO_STORES = Succession("", (), (), ())  # Of a cloud whose stores are files.


@dataclass(frozen=True, slots=True)
class Before:
    """What there was when `run` began: ids of servers that ran, names of control hosts that were off."""

    servers: frozenset[str]
    control_off: tuple[str, ...]


def plan(cloud: CloudSettings, first: HostSettings) -> Plan:
    """Changes nothing."""
    here = _here(cloud, first)
    rows = {row.id: row for row in _rows(cloud, first)}
    silent = {
        each.name: places.answers(cloud, first, each)
        for each in cloud.control_hosts
        if each.name not in here and not _is_up(rows.get(each.name))
    }
    off = [name for name, has_members in silent.items() if not has_members]
    stores = succession.look(cloud, first, off=off) if cloud.is_replicated else NO_STORES
    found = []
    for name in sorted({*here, *rows}, key=lambda name: _turn(cloud, first, stores.leader, name)):
        row, host = rows.get(name), here.get(name)
        ran = running_releases(host) if host else (() if row is None else (row.version,))
        found.append(
            HostRelease(
                name=name,
                is_control=name == first.name or cloud.control_host(name) is not None,
                is_up=_is_up(row),
                releases=ran,
                path=host.state_dir if host else "",
                seen=row.seen_at.isoformat(timespec="seconds") if row else "",
                has_members=silent.get(name, False),
            )
        )
    target = releases.release_id()
    doubts = upgrade_plan.doubts(cloud, first, found, stores, target)
    return Plan(target, tuple(found), doubts)


def _is_up(row: Host | None) -> bool:
    return row is not None and row.state == UP


def on_machines(cloud: CloudSettings, first: HostSettings) -> list[str]:
    """Names of the hosts on other machines that are up: each has a turn there."""
    here = _here(cloud, first)
    return [row.id for row in _rows(cloud, first) if row.id not in here and _is_up(row)]


def _silent(cloud: CloudSettings, first: HostSettings, names: Collection[str]) -> list[str]:
    """Which of these hosts are not heard of; nobody while the store does not answer."""
    try:
        up_now = {row.id for row in _rows(cloud, first) if _is_up(row)}
    except Transient:
        return []
    return [name for name in names if name not in up_now]


def run(
    cloud: CloudSettings,
    first: HostSettings,
    progress: Progress,
    *,
    watch_s: float,
    machines: UpgradeMachines = NOBODY,
) -> Plan:
    """Every host of this machine, and those on `machines`; the plan of what is left. `watch_s` is how long the first
    host that is no control host is looked at before the next one's turn. Raises Conflict where something is half broken
    before anything changes, and Permanent where a step is in doubt.
    """
    looked = _look(cloud, first, progress)
    if machines.names:
        machines.await_all(progress, partial(_silent, cloud, first))
        looked = _look(cloud, first, progress)  # People may have taken minutes.
    here = _here(cloud, first)
    with progress.stage("release on each host") as stage:
        for host in here.values():
            releases.install(host.release_dir)
        stage.note(looked.target)
    with progress.stage("stores expand"):
        up.ensure_stores(first, releases.install(first.release_dir))
    _note_of_way_back(first).unlink(missing_ok=True)
    before = Before(_servers_before(cloud, first), looked.control_off)
    is_watched = False
    for each in looked.hosts:
        if each not in looked.to_do and each.name not in machines.names:
            continue
        if not each.is_control and not each.path and _silent(cloud, first, [each.name]):
            progress.say(f"Host {each.name} is off by now, and is left out")
            continue
        progress.say(f"Host {each.name}:")
        try:
            if each.path:
                hand_over(cloud, here[each.name], progress)
                up.bring_up(up.args_of(cloud, here[each.name]), progress)
            else:
                machines.take_turn(each.name, progress)
            with progress.stage("well again") as stage:
                wait_until_well(partial(_trouble, cloud, first, each.name, before), stage)
        except KumoiError as cause:
            raise _in_doubt(each.name, str(cause), "run") from cause
        if not each.is_control and not is_watched:
            is_watched = True
            with progress.stage("watched alone"):
                _watch(cloud, first, each.name, before, watch_s)
    machines.end()
    return plan(cloud, first)


def _look(cloud: CloudSettings, first: HostSettings, progress: Progress) -> Plan:
    """Raises Conflict where something is half broken."""
    with progress.stage("look at every host") as stage:
        looked = _settled(cloud, first, stage)
        if looked.doubts:
            raise Conflict(f"{'; '.join(looked.doubts)}. Mend that, then call this again")
        stage.note(f"{len(looked.to_do)} of {len(looked.hosts)} hosts to do here")
    for notice in looked.notices:
        progress.say(notice)
    return looked


def _settled(cloud: CloudSettings, first: HostSettings, stage: ProgressStage) -> Plan:
    """The plan, with the doubts that stay."""
    deadline = time.monotonic() + SETTLED_S
    while (looked := plan(cloud, first)).doubts and time.monotonic() < deadline:
        stage.tell("; ".join(looked.doubts))
        time.sleep(POLL_S)
    return looked


def older(cloud: CloudSettings, first: HostSettings, wanted: str = "") -> str:
    """The id of the release to go back to: the one named; that of a way back that was cut off; else the one used last
    before the newest that is here. Raises Conflict when it is not there, and where no host runs the newest: the hosts
    went back from it already, or never came to it.
    """
    names = _installed(first)
    if wanted and wanted not in names:
        raise Conflict(f"there is no release {wanted}: {', '.join(names)}")
    note = _note_of_way_back(first)
    begun = note.read_text().strip() if note.exists() else ""
    if wanted or begun in names:
        return wanted or begun
    current = _run(cloud, first, names)
    newest = next((number for number, name in enumerate(names) if name in current), -1)
    left = names[newest + 1 :]
    if newest > 0:
        further = (
            f". From {names[newest]} it would go back to {left[0]}; if that is meant: upgrade rollback --to {left[0]}"
            if left
            else ""
        )
        raise Conflict(
            f"no host runs {names[0]}, the newest release here: there is nothing to take back{further}"
        )
    if not left:
        raise Conflict("there is no other release to go back to: `up` in a checkout of it")
    return left[0]


def _run(cloud: CloudSettings, first: HostSettings, names: Sequence[str]) -> set[str]:
    """Which of these releases hosts run. Of another machine's the version alone is known: it counts where no host here
    is of it, as the first one's turn may be the last.
    """
    here = _here(cloud, first)
    run_here = {each for host in here.values() for each in running_releases(host)}
    known = {version_of(each) for each in run_here}
    try:
        elsewhere = {row.version for row in _rows(cloud, first) if row.id not in here} - known
    except Transient:  # Whoever goes on says so.
        elsewhere = set()
    return run_here | {name for name in names if version_of(name) in elsewhere}


def release_there(host: HostSettings, wanted: str) -> str:
    """The id of the release to go back to on another machine than the first host's, which names `wanted`. The same
    version may have another id there, by its packages. Raises Conflict.
    """
    names = _installed(host)
    if wanted in names:
        return wanted
    version, own = version_of(wanted), kumoi.__version__
    same = [name for name in names if version_of(name) == version != own]
    if not same:
        raise Conflict(f"{host.name} has no release {wanted}: `up` there in a checkout of it")
    return same[0]


def _installed(host: HostSettings) -> list[str]:
    """The ids of releases, the one used last first."""
    there = [path for path in host.release_dir.glob("[0-9]*-*") if path.is_dir()]
    return [path.name for path in sorted(there, key=lambda path: -path.stat().st_mtime)]


def _note_of_way_back(first: HostSettings) -> Path:
    """The release that the hosts go back to, while they do."""
    return first.state / "upgrade-back"


def go_back(
    cloud: CloudSettings,
    first: HostSettings,
    release_id: str,
    progress: Progress,
    machines: UpgradeMachines = NOBODY,
) -> list[str]:
    """All hosts of this machine, each by the older release's own `up`, and those on `machines`; the names. The next one's
    turn comes when the one before is well; what is amiss elsewhere, which may be why one goes back, stops nothing.
    """
    here = _here(cloud, first)
    ordered = _way_back(plan(cloud, first).hosts, machines.names)
    for host in here.values():
        if not (host.release_dir / release_id).is_dir():
            raise Conflict(f"{host.name} has no release {release_id}: `up` in a checkout of it")
    machines.await_all(progress, partial(_silent, cloud, first))
    ordered = [each for each in ordered if each.path or each.name in machines.names]
    note = _note_of_way_back(first)
    files.replace(note, release_id.encode(), promise=Promise.OLD_OR_NEW)
    image.share()
    for each in ordered:
        try:
            if each.path:
                bring_back(cloud, here[each.name], release_id, progress)
            else:
                machines.take_turn(each.name, progress)
                with progress.stage("heard of") as stage:
                    wait_until_well(
                        partial(_heard_trouble, cloud, first, each.name, release_id), stage
                    )
        except KumoiError as cause:
            raise _in_doubt(each.name, str(cause), "rollback") from cause
    machines.end()
    note.unlink(
        missing_ok=True
    )  # Who is killed before is called again, and the other machines end.
    return [each.name for each in ordered]


def bring_back(
    cloud: CloudSettings, host: HostSettings, release_id: str, progress: Progress
) -> None:
    """A host of this machine, until it is well. Raises Permanent."""
    with contextlib.suppress(Permanent):  # Patroni there may be what is amiss.
        hand_over(cloud, host, progress)
    with progress.stage(f"host {host.name}") as stage:
        words = ["--name", cloud.name, "--state-dir", host.state_dir]
        releases.bring_up(host.release_dir / release_id, words)
        wait_until_well(partial(own_trouble, cloud, host, release_id), stage)
        stage.note(release_id)


def _way_back(hosts: Sequence[HostRelease], on_machines: Sequence[str]) -> list[HostRelease]:
    """Those of this machine and of other ones: the control plane last, and of it whoever leads the stores."""
    there = [host for host in hosts if host.path or host.name in on_machines]
    return sorted(there, key=lambda host: host.is_control)


def own_trouble(cloud: CloudSettings, host: HostSettings, release_id: str) -> str:
    """What of this host, which is on this machine, is not as it should be; empty when all is."""
    ran = running_releases(host)
    if ran != (release_id,):
        return f"runs {', '.join(ran)}"
    for row in status.processes(cloud, host):
        if not row.healthy:
            return f"{row.name}: {row.why or row.state}"
    if cloud.is_replicated and cloud.control_host(host.name):
        found = succession.look(cloud, host)
        if host.name not in {found.leader, *found.followers}:
            return "its member of the stores does not follow"
        if host.name not in {found.leader, *found.successors}:
            return "Patroni has not said yet that its member may take over"
    return ""


def _heard_trouble(cloud: CloudSettings, first: HostSettings, name: str, release_id: str) -> str:
    """The same of any host, as far as the store knows."""
    try:
        row = next((each for each in _rows(cloud, first) if each.id == name), None)
    except Transient as error:
        return str(error)
    if row is None or row.state != UP:
        return "is not heard of"
    version = version_of(release_id)
    return "" if row.version == version else f"says that it is of {row.version}"


def _here(cloud: CloudSettings, first: HostSettings) -> dict[str, HostSettings]:
    """The cloud's hosts on this machine, by name."""
    return {each.name: each for each in (first, *choice.others_here(cloud, first))}


def _turn(
    cloud: CloudSettings, first: HostSettings, leader: str, name: str
) -> tuple[int, int, str]:
    """Control hosts, and of them who leads the stores last: one change of leader in place of two."""
    is_control = name == first.name or cloud.control_host(name) is not None
    return (0 if is_control else 1, int(name == leader), name)


def running_releases(host: HostSettings) -> tuple[str, ...]:
    """The releases that this host's processes are of."""
    homes = {
        releases.of_process(each.pid, host.release_dir) for each in running.found(host.state_dir)
    }
    return tuple(sorted(homes - {""}))


def hand_over(cloud: CloudSettings, host: HostSettings, progress: Progress) -> None:
    """Whoever leads the stores gives that away before its processes are replaced: writes wait 3 s at most."""
    if cloud.control_host(host.name) is None or databases.look(cloud, host).leader != host.name:
        return
    with progress.stage("another host leads the stores") as stage:
        handover.hand_over(cloud, host)
        databases.wait_for_leader(cloud, host, timeout_s=WELL_TIMEOUT_S, tell=stage.tell)
        stage.note(databases.look(cloud, host).leader)


def wait_until_well(trouble_of: Callable[[], str], stage: ProgressStage) -> None:
    """Raises Permanent with what is not well in time."""
    deadline = time.monotonic() + WELL_TIMEOUT_S
    while trouble := trouble_of():
        if time.monotonic() > deadline:
            raise Permanent(trouble)
        stage.tell(trouble)
        time.sleep(POLL_S)


def _in_doubt(name: str, trouble: str, action: str) -> Permanent:
    or_else = "" if action == "rollback" else ", or `upgrade rollback`"
    return Permanent(
        f"{name} is in doubt: {trouble}. Nothing else was changed; look at its logs, then `upgrade {action}` "
        f"again{or_else}"
    )


def _watch(
    cloud: CloudSettings, first: HostSettings, name: str, before: Before, watch_s: float
) -> None:
    """A fault of the new release meets one host."""
    until = time.monotonic() + watch_s
    while time.monotonic() < until:
        if trouble := _trouble(cloud, first, name, before):
            raise Permanent(f"{name} was well and is not any more: {trouble}")
        time.sleep(POLL_S)


def _trouble(cloud: CloudSettings, first: HostSettings, name: str, before: Before) -> str:
    """What is not as it should be once this host is of the target; empty when all is."""
    try:
        looked = plan(cloud, first)
        if looked.doubts:
            return looked.doubts[0]
        if lost := [each for each in looked.control_off if each not in before.control_off]:
            return f"{' and '.join(lost)} was there when this began, and is off"
        found = next(host for host in looked.hosts if host.name == name)
        if not found.is_of(looked.target):
            return f"runs {', '.join(found.releases)}"
        if trouble := _heard_trouble(cloud, first, name, looked.target):
            return trouble  # `finalize` asks the same.
        faulty = before.servers & _servers(cloud, first, FAULTY)
    except Transient as error:
        return str(error)
    return f"servers that ran are faulty: {', '.join(sorted(faulty))}" if faulty else ""


def _servers_before(cloud: CloudSettings, first: HostSettings) -> frozenset[str]:
    """Of whichever API answers: one that a killed command left on its way may not yet."""
    deadline = time.monotonic() + SETTLED_S
    while True:
        try:
            return _servers(cloud, first, RUNS)
        except Transient:
            if time.monotonic() > deadline:
                raise
        time.sleep(POLL_S)


def _servers(cloud: CloudSettings, first: HostSettings, status_: str) -> frozenset[str]:
    """Ids of those in this status. Raises Transient when the API does not answer."""
    _, servers, trouble = status.hosts_and_servers(cloud, first, status.processes(cloud, first))
    if trouble:
        raise Transient(trouble)
    return frozenset(row["id"] for row in servers if row["status"] == status_)


def _rows(cloud: CloudSettings, first: HostSettings) -> list[Host]:
    with cloud_store.opened(cloud, first) as database, database.read() as connection:
        return host_domain.every(connection)
