"""`kumoi status`: the state of every process of the cloud, and of its hosts and servers."""

from __future__ import annotations

import argparse
import contextlib
import os
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from keystoneauth1.exceptions import ClientException
from openstack.exceptions import SDKException
from rich.table import Table
from rich.text import Text
from sqlalchemy.engine import Connection

from kumoi.base import files
from kumoi.base.errors import KumoiError
from kumoi.cli import choice, cloud_store, components, lease, stores_words
from kumoi.cli.output import console, one_line, say, say_json, table
from kumoi.cloud.agent.unlisted import unlisted
from kumoi.cloud.domain.host import cluster_version
from kumoi.cloud.domain.host import host as host_domain
from kumoi.cloud.drivers.instance import fence, registry
from kumoi.cloud.store import kept
from kumoi.components import Api
from kumoi.config import CloudSettings, HostSettings, Role
from kumoi.hosts.cluster import ovn_members
from kumoi.hosts.first_use import clouds_yaml, first_run, passwords
from kumoi.hosts.units import control, keeper, landlock, memory, releases, running
from kumoi.hosts.units.answering import answers

RESTARTS_SHOWN_FROM = 1
LOOKS = 8
UNKNOWN = "on the host, unknown to the store (docs/guide/operate.md, Restore)"
NO_LANDLOCK = (
    "This kernel has no Landlock: only users and modes keep each process to its own files. "
    "Linux since 5.19 has it, where `lsm=` on its command line does not leave it out"
)
NO_LANDLOCK_UNDER_SYSTEMD = (
    "This kernel has no Landlock: systemd keeps each process to its own files, but only users and modes "
    "keep what reads a tenant's push or image to the one. Linux since 5.19 has it, where `lsm=` on its "
    "command line does not leave it out"
)
NO_APPARMOR = (
    "This kernel has no AppArmor: user namespaces, a filter of system calls and control groups hold servers, and "
    "their root can uncover what is masked of /proc and /sys. `apparmor=1 security=apparmor` on its command "
    "line switches it on, where it is built in"
)
COLOURS = {"running": "green", "starting": "yellow", "waiting": "red"}


@dataclass(frozen=True, slots=True)
class ProcessRow:
    """One process. `since` is in ISO 8601; `why` says what is wrong with it, or is empty."""

    name: str
    kind: str
    pid: int
    since: str
    memory_kib: int
    restarts: int
    state: str
    healthy: bool
    why: str


def add_to(parser: argparse.ArgumentParser) -> None:
    choice.add_to(parser)
    parser.add_argument("--json", action="store_true", help="for programs")


def run(args: argparse.Namespace) -> int:
    """0 when everything that should run does and answers, 1 otherwise."""
    cloud, host = choice.existing(args)
    found = processes(cloud, host)
    around = _look_around(cloud, host)
    hosts, servers, trouble = hosts_and_servers(cloud, host, found)
    off = left_off(cloud, host)
    others, ovn, leased, store = around.result()
    lists_servers = Api.COMPUTE in cloud.apis
    unknown = _unlisted_servers(host, servers) if lists_servers and not trouble else []
    if args.json:
        document = {
            "name": cloud.name,
            "api_url": cloud.api_url,
            "processes": [asdict(row) for row in found],
            "processes_of_others_here": {
                name: [asdict(row) for row in rows] for name, rows in others.items()
            },
            "ovn": [asdict(each) for each in ovn],
            "hosts": hosts,
            "servers": servers,
            "off": off,
            "leases": asdict(leased),
            "stores": asdict(store),
            "unknown": unknown,
            "api_trouble": trouble,
            "landlock": landlock.version(),
            "apparmor": fence.has_apparmor(),
            "servers_together": fence.in_force(host.name),
            "disk": disk(host),
        }
        say_json(document)
    elif found:
        _show(
            found,
            hosts,
            servers,
            unknown,
            trouble,
            together=_together(host),
            full=nearly_full(disk(host)),
            missing=missing_walls(host),
            lists_servers=lists_servers,
        )
        late = (*older_words(cloud, host, found), *store.words, *stores_words.lacking(store))
        for line in (*late, *hosts_words(hosts, {host.name, *others})):
            console().print(Text(line, style="red"))
        for each in ovn:
            console().print(ovn_members.words(each))
        lease.show(leased, [row["name"] for row in hosts])
        if off:
            console().print(f"Off: {', '.join(map(_off_words, off.items()))}")
        for name, rows in others.items():
            console().print(f"Host {name}:", _process_table(rows) if rows else "is down")
    else:
        start = f"sudo ./kumoi up{choice.words(cloud, host)}"
        say(f"The cloud {cloud.name} is down. Start it: {start}")
    is_up = bool(found) and all(others.values())
    every = [row for rows in (found, *others.values()) for row in rows]
    return 0 if is_up and not store.words and all(row.healthy for row in every) else 1


Around = tuple[
    dict[str, list[ProcessRow]],
    list[ovn_members.OvnMembers],
    lease.ShownLeases,
    stores_words.ShownStores,
]
"""The processes of other hosts here by the hosts' names, OVN's members, leases, and the stores."""


def _look_around(cloud: CloudSettings, host: HostSettings) -> Future[Around]:
    """All at once, and beside what else is looked at: who does not answer is waited for once."""

    def look() -> Around:
        with ThreadPoolExecutor(LOOKS) as threads:
            stores = threads.submit(stores_words.look, cloud, host)
            ovn = threads.submit(ovn_members.look, cloud, host)
            leases = threads.submit(lease.look, cloud, host)
            others = choice.others_here(cloud, host)
            beside = list(threads.map(lambda each: processes(cloud, each), others))
            rows = dict(zip((each.name for each in others), beside, strict=True))
            return rows, ovn.result(), leases.result(), stores.result()

    threads = ThreadPoolExecutor(1)
    try:
        return threads.submit(look)
    finally:
        threads.shutdown(wait=False)


def processes(cloud: CloudSettings, host: HostSettings) -> list[ProcessRow]:
    """The supervisor first, then its units in the order of starting."""
    rows = [
        ProcessRow(
            name=process.name,
            kind="role",
            pid=process.pid,
            since=_iso(process.since),
            memory_kib=memory.pss_kib(process.pid),
            restarts=0,
            state="running",
            healthy=True,
            why="",
        )
        for process in running.found(host.state_dir)
        if process.name == running.SUPERVISOR
    ]
    status = keeper.of(cloud, host).read_status()
    if status is None:
        return rows
    return rows + [_unit_row(unit) for unit in status.units]


def _unit_row(unit: control.UnitStatus) -> ProcessRow:
    why = unit.why if unit.state != "running" else ""
    if unit.state == "running" and not answers(unit.listens, unit.namespace or None):
        why = f"does not answer at {unit.listens}"
    if unit.state == "starting" and not why:
        why = f"does not answer yet at {unit.listens}" if unit.listens else "started just now"
    return ProcessRow(
        name=unit.name,
        kind=unit.kind,
        pid=unit.pid,
        since=_iso(unit.since) if unit.pid else "",
        memory_kib=memory.pss_kib(unit.pid) if unit.pid else 0,
        restarts=unit.restarts,
        state=unit.state,
        healthy=unit.state == "running" and not why,
        why=why,
    )


def hosts_and_servers(
    cloud: CloudSettings, host: HostSettings, found: list[ProcessRow]
) -> tuple[list[dict[str, Any]], list[dict[str, Any]], str]:
    """Hosts and servers as the API shows them to an administrator, or why it does not. The hosts'
    releases and what they may promise are read from the store, since no API shows them.
    """
    if not any(row.name == "api" and row.healthy for row in found):
        return [], [], "the API does not answer"
    if Api.COMPUTE not in cloud.apis:
        return [], [], ""
    try:
        api = first_run.connect(admin_entry(cloud, host))
        hypervisors = list(api.compute.hypervisors(details=True))
        rows = _rows(cloud, host)
        hosts = [
            {"name": each.name, "state": each.state, "status": each.status, **rows[each.name]}
            for each in hypervisors
        ]
        servers = [
            {
                "id": server.id,
                "name": server.name,
                "status": server.status,
                "host": server.hypervisor_hostname or server.compute_host,
                "project_id": server.project_id,
            }
            for server in api.compute.servers(details=True, all_projects=True)
        ]
    except (SDKException, ClientException, KumoiError) as error:
        return [], [], f"the API refused: {error}"
    return hosts, servers, ""


def left_off(cloud: CloudSettings, host: HostSettings) -> dict[str, str]:
    """What the cloud, or this host of it, is without, and what there is of it all the same, in words."""
    off = list(components.off_of(cloud, host))
    if not off or Role.API not in host.roles:
        return {}
    try:
        with _shown(cloud, host) as connection:
            return kept.counts(connection, off)
    except KumoiError:  # The store is away, as other lines say.
        return dict.fromkeys(off, "")


def older_words(cloud: CloudSettings, host: HostSettings, found: list[ProcessRow]) -> list[str]:
    """Where processes here are older than what the cloud was finalized at: it was off meanwhile, and does not act."""
    if Role.API not in host.roles:
        return []
    try:
        with _shown(cloud, host) as connection:
            finalized = cluster_version.release(connection)
    except KumoiError:  # The store is away, as other lines say.
        return []
    ran = {releases.of_process(row.pid, host.release_dir) for row in found} - {""}
    late = sorted(each for each in ran if finalized and cluster_version.is_below(each, finalized))
    if not late:
        return []
    words = (
        f"the cloud was finalized at release {finalized}, and this host runs {', '.join(late)}: its agent and roles do "
        f"nothing before sudo ./kumoi up here, in a checkout of {finalized}"
    )
    return [words]


@contextlib.contextmanager
def _shown(cloud: CloudSettings, host: HostSettings) -> Iterator[Connection]:
    """The store, also while nobody can write to it."""
    with (
        cloud_store.opened(cloud, host) as database,
        database.following(),
        database.read() as connection,
    ):
        yield connection


def _off_words(item: tuple[str, str]) -> str:
    """`compute (still there: 3 servers)`."""
    name, there = item
    return f"{name} (still there: {there})" if there else name


def _rows(cloud: CloudSettings, host: HostSettings) -> dict[str, dict[str, Any]]:
    """Release and protocol of each host, also of those that are refused because of theirs; what of its
    memory and disk is promised to servers, and how much may be.
    """
    with _shown(cloud, host) as connection:
        rows = host_domain.every(connection)
    return {
        row.id: {
            "release": row.version,
            "protocol": row.protocol,
            "ram_promised_mib": row.ram_claimed_mib,
            "ram_promised_max_mib": row.ram_claimed_mib + row.ram_free_mib,
            "ram_allocation_ratio": row.allocation.get("ram_ratio", 0.0),
            "disk_promised_gib": row.disk_claimed_gib,
            "disk_promised_max_gib": row.disk_claimed_gib + row.disk_free_gib,
            "disk_gib": row.disk_gib,
            "address": row.address,
            "reason": row.disabled_reason,
            "seen_at": row.seen_at.isoformat(timespec="seconds"),
            "servers": row.servers_claimed,
        }
        for row in rows
    }


def hosts_words(hosts: Sequence[Mapping[str, Any]], near: Collection[str]) -> list[str]:
    """What an operator must know of hosts that are on other machines than these, and of their releases."""
    found = [
        f"{row['name']}, on another machine, was heard of last at {row['seen_at']}, of release {row['release']}: "
        "look there, sudo ./kumoi status"
        for row in hosts
        if row["state"] != "up" and row["name"] not in near
    ]
    releases: dict[str, list[str]] = {}
    for row in hosts:
        releases.setdefault(row["release"], []).append(row["name"])
    if len(releases) > 1:
        each = "; ".join(f"{release}: {', '.join(names)}" for release, names in releases.items())
        found.append(f"Hosts are of {len(releases)} releases ({each}): sudo ./kumoi upgrade plan")
    return found


def _unlisted_servers(host: HostSettings, servers: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Servers that the host has and the API does not list, as after a restore."""
    return [
        {
            "id": server.id,
            "name": server.name,
            "addresses": list(server.addresses),
            "since": _iso(server.since) if server.since else "",
        }
        for server in unlisted(host, {row["id"] for row in servers})
    ]


def admin_entry(cloud: CloudSettings, host: HostSettings) -> dict[str, Any]:
    entries = clouds_yaml.entries(
        cloud,
        host,
        admin_password=passwords.read(host, "admin"),
        demo_password=passwords.read(host, "demo"),
    )
    return entries[f"{cloud.name}-admin"]


def missing_walls(host: HostSettings) -> str:
    """What of the walls around our processes this kernel does not have; empty when it has all."""
    if landlock.version():
        return ""
    return NO_LANDLOCK_UNDER_SYSTEMD if keeper.is_systemd(host) else NO_LANDLOCK


def _show(
    found: list[ProcessRow],
    hosts: list[dict[str, Any]],
    servers: list[dict[str, Any]],
    unknown: list[dict[str, Any]],
    trouble: str,
    *,
    together: str,
    full: str,
    missing: str,
    lists_servers: bool,
) -> None:
    out = console()
    out.print(_process_table(found))
    ours = sum(row.memory_kib for row in found if row.kind == "role") >> 10
    total = sum(row.memory_kib for row in found) >> 10
    if missing:
        out.print(Text(missing, "red"))
    if together and not fence.has_apparmor():
        out.print(Text(NO_APPARMOR, "red"))
    out.print(f"Memory: {ours} MiB of our own, {total} MiB with the engines")
    if together:
        out.print(together)
    if full:
        out.print(Text(full, "red"))
    if trouble:
        out.print(Text(f"Hosts and servers are not known: {one_line(trouble)}", "red"))
        return
    if not lists_servers:
        return
    for title, rows in (("host", [_host_row(row) for row in hosts]), ("server", servers)):
        out.print(table(title, rows) if rows else f"No {title}s")
    if unknown:
        out.print(table(UNKNOWN, unknown))


def _host_row(host: dict[str, Any]) -> dict[str, Any]:
    """A line of the table, which says in one word what is promised of how much."""
    return {
        **{name: host[name] for name in ("name", "state", "status", "release", "protocol")},
        "memory promised": f"{host['ram_promised_mib']} of {host['ram_promised_max_mib']} MiB",
        "ratio": f"{host['ram_allocation_ratio']:g}",
        "disk promised": f"{host['disk_promised_gib']} of {host['disk_promised_max_gib']} GiB",
    }


def _together(host: HostSettings) -> str:
    """What the servers of this host take together, and may at most; empty while it has none."""
    limits = fence.in_force(host.name)
    if "memory_max_bytes" not in limits or "processes_max" not in limits:
        return ""
    return (
        f"Servers together: {limits['memory_bytes'] >> 20} of {limits['memory_max_bytes'] >> 20} MiB, "
        f"{limits['processes']} of {limits['processes_max']} processes"
    )


def disk(host: HostSettings) -> dict[str, int]:
    """What tenants' content may still take of this host's disk, and how many servers are held to their share of
    that.
    """
    if not host.agent_dir.exists():
        return {"left_bytes": 0, "servers_held": 0}
    drivers = registry.on_host(host.agent_dir, host.name).values()
    return {
        "left_bytes": max(0, files.beyond_reserve(os.statvfs(host.agent_dir))),
        "servers_held": sum(driver.held_disks() for driver in drivers),
    }


def nearly_full(found: dict[str, int]) -> str:
    """In words; empty while there is room for all that servers write."""
    if not found["servers_held"]:
        return ""
    return (
        f"Disk nearly full: servers share the last {found['left_bytes'] >> 20} MiB beyond the reserve of "
        'databases and logs, and then get "No space left on device". Make room, or delete servers'
    )


def _process_table(found: list[ProcessRow]) -> Table:
    shown = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("process", "kind"):
        shown.add_column(column)
    for column in ("pid", "for", "MiB"):
        shown.add_column(column, justify="right")
    shown.add_column("state")
    for row in found:
        colour = COLOURS.get(row.state, "red") if row.healthy or row.state != "running" else "red"
        notes = [row.why] if row.why else []
        if row.restarts >= RESTARTS_SHOWN_FROM:
            notes.append(f"restarted {row.restarts} times")
        said = f"{': ' if notes else ''}{', '.join(notes)}"
        shown.add_row(
            row.name,
            row.kind,
            str(row.pid or "-"),
            _age(row.since),
            f"{row.memory_kib / 1024:.1f}",
            Text.assemble((row.state, colour), said),
        )
    return shown


def _iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")


def _age(since: str) -> str:
    if not since:
        return "-"
    seconds = int(time.time() - datetime.fromisoformat(since).timestamp())
    for unit, length in (("d", 86_400), ("h", 3_600), ("m", 60)):
        if seconds >= length:
            return f"{seconds // length} {unit}"
    return f"{max(seconds, 0)} s"
