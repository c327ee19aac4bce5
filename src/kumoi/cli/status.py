"""`kumoi status`: every process of the cloud, its hosts and servers, and how they are."""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
import time
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from keystoneauth1.exceptions import ClientException
from openstack.exceptions import SDKException
from rich.console import Console
from rich.table import Table

from kumoi import config
from kumoi.base.errors import KumoiError
from kumoi.cli import choice
from kumoi.cloud.agent.unlisted import unlisted
from kumoi.cloud.domain.host import host as host_domain
from kumoi.config import CloudSettings, HostSettings
from kumoi.engine.db import Database
from kumoi.hosts.first_use import clouds_yaml, first_run, passwords
from kumoi.hosts.units import control, memory, running, supervisor

RESTARTS_SHOWN_FROM = 1
UNKNOWN = "on the host, unknown to the store (docs/guide/operate.md, Restore)"
WIDTH_ELSEWHERE = 200  # In a pipe a row stays on its line.
COLOURS = {"running": "green", "starting": "yellow", "waiting": "red"}


@dataclass(frozen=True, slots=True)
class ProcessRow:
    """One row. `since` is in ISO 8601; `why` says what is wrong, or is empty."""

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
    found = processes(host)
    hosts, servers, trouble = _ask(cloud, host, found)
    unknown = [] if trouble else _unknown(host, servers)
    if args.json:
        document = {
            "name": cloud.name,
            "api_url": cloud.api_url,
            "processes": [asdict(one) for one in found],
            "hosts": hosts,
            "servers": servers,
            "unknown": unknown,
            "api_trouble": trouble,
        }
        print(json.dumps(document, indent=2))
    elif found:
        _show(found, hosts, servers, unknown, trouble)
    else:
        start = f"sudo ./kumoi up{choice.words(cloud, host)}"
        print(f"The cloud {cloud.name} is down. Start it: {start}")
    return 0 if found and all(one.healthy for one in found) else 1


def processes(host: HostSettings) -> list[ProcessRow]:
    """The supervisor first, then its units in the order of starting."""
    marked = [one for one in running.found(host.state_dir) if one.name == running.SUPERVISOR]
    rows = [_supervisor_row(one) for one in marked]
    status = control.read_status(host)
    if status is None:
        return rows
    return rows + [_row(unit) for unit in status.units]


def _supervisor_row(one: running.Running) -> ProcessRow:
    return ProcessRow(
        name=one.name,
        kind="role",
        pid=one.pid,
        since=_iso(one.since),
        memory_kib=memory.pss_kib(one.pid),
        restarts=0,
        state="running",
        healthy=True,
        why="",
    )


def _row(unit: control.UnitStatus) -> ProcessRow:
    why = unit.why if unit.state != "running" else ""
    if unit.state == "running" and not supervisor.answers(unit.listens):
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


def _ask(
    cloud: CloudSettings, host: HostSettings, found: list[ProcessRow]
) -> tuple[list[dict[str, Any]], list[dict[str, Any]], str]:
    """Hosts and servers as the API tells them to an administrator, or why it does not. What hosts
    last said of their release is in the store only.
    """
    if not any(one.name == "api" and one.healthy for one in found):
        return [], [], "the API does not answer"
    try:
        api = first_run.connect(admin_entry(cloud, host))
        shown = list(api.compute.hypervisors(details=True))
        said = _releases(cloud, host)
        hosts = [
            {"name": one.name, "state": one.state, "status": one.status, **said[one.name]}
            for one in shown
        ]
        servers = [
            {
                "id": one.id,
                "name": one.name,
                "status": one.status,
                "host": one.hypervisor_hostname or one.compute_host,
                "project_id": one.project_id,
            }
            for one in api.compute.servers(details=True, all_projects=True)
        ]
    except (SDKException, ClientException, KumoiError) as error:
        return [], [], f"the API refused: {error}"
    return hosts, servers, ""


def _releases(cloud: CloudSettings, host: HostSettings) -> dict[str, dict[str, Any]]:
    """By host. Hosts that are refused are among them: their release is why."""
    database = Database(config.cloud_database(cloud, host), wake_dir=host.wake_dir)
    with contextlib.closing(database), database.read() as connection:
        rows = host_domain.every(connection)
    return {row.id: {"release": row.version, "protocol": row.protocol} for row in rows}


def _unknown(host: HostSettings, servers: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What the host keeps of servers that no API lists, as after a restore."""
    return [
        {
            "id": one.id,
            "name": one.name,
            "addresses": list(one.addresses),
            "since": _iso(one.since) if one.since else "",
        }
        for one in unlisted(host, {row["id"] for row in servers})
    ]


def admin_entry(cloud: CloudSettings, host: HostSettings) -> dict[str, Any]:
    wanted = clouds_yaml.entries(
        cloud,
        host,
        admin_password=passwords.read(host, "admin"),
        demo_password=passwords.read(host, "demo"),
    )
    return wanted[f"{cloud.name}-admin"]


def _show(
    found: list[ProcessRow],
    hosts: list[dict[str, Any]],
    servers: list[dict[str, Any]],
    unknown: list[dict[str, Any]],
    trouble: str,
) -> None:
    console = Console() if sys.stdout.isatty() else Console(width=WIDTH_ELSEWHERE)
    console.print(_process_table(found))
    ours = sum(one.memory_kib for one in found if one.kind == "role") >> 10
    total = sum(one.memory_kib for one in found) >> 10
    console.print(f"Memory: {ours} MiB of our own, {total} MiB with the engines")
    if trouble:
        console.print(f"[red]Hosts and servers are not known: {trouble}[/]")
        return
    for title, rows in (("host", hosts), ("server", servers)):
        console.print(_plain_table(title, rows) if rows else f"No {title}s")
    if unknown:
        console.print(_plain_table(UNKNOWN, unknown))


def _process_table(found: list[ProcessRow]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("process", "kind"):
        table.add_column(column)
    for column in ("pid", "for", "MiB"):
        table.add_column(column, justify="right")
    table.add_column("state")
    for one in found:
        colour = COLOURS.get(one.state, "red") if one.healthy or one.state != "running" else "red"
        notes = [one.why] if one.why else []
        if one.restarts >= RESTARTS_SHOWN_FROM:
            notes.append(f"restarted {one.restarts} times")
        state = f"[{colour}]{one.state}[/]{': ' if notes else ''}{', '.join(notes)}"
        table.add_row(
            one.name,
            one.kind,
            str(one.pid or "-"),
            _age(one.since),
            f"{one.memory_kib / 1024:.1f}",
            state,
        )
    return table


def _plain_table(title: str, rows: list[dict[str, Any]]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold", title=title, title_justify="left")
    for column in rows[0]:
        table.add_column(column)
    for row in rows:
        table.add_row(*(str(value) for value in row.values()))
    return table


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
