"""Is anything left over? Asked of a live cloud whose users have deleted all they had.

Each question looks at one place where something can stay behind, and asks the kernel, the engines
and the store themselves, never our own notes. `there` answers with a line per thing that is there;
what is left is what a picture of the fresh cloud did not show.
"""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from kumoi.base.process import run
from kumoi.cloud.drivers.instance import fence
from kumoi.cloud.drivers.instance.lxc.config import PIVOT
from kumoi.config import CloudSettings, HostSettings
from kumoi.engine import sqlite

CONTROL_GROUPS = Path("/sys/fs/cgroup")
SERVER_LINK = re.compile(r"[kp][0-9a-f]{12}(@.*)?")
NORTHBOUND = (
    "ACL", "Address_Set", "DHCP_Options", "DNS", "Gateway_Chassis", "HA_Chassis",
    "HA_Chassis_Group", "Load_Balancer", "Logical_Router", "Logical_Router_Policy",
    "Logical_Router_Port", "Logical_Router_Static_Route", "Logical_Switch",
    "Logical_Switch_Port", "NAT", "Port_Group", "QoS",
)  # fmt: skip
SOUTHBOUND = ("Datapath_Binding", "Port_Binding", "MAC_Binding", "Port_Group", "Address_Set")
CHANGING_MARKS = ("kumoi:generation", "logical-switch", "logical-router")
CLOUD_ROWS = {
    "port": "id || ' of ' || device_owner || ' ' || device_id",
    "fixed_ip": "address || ' of port ' || port_id",
    "floating_ip": "floating_ip_address",
    "network": "id || ' ' || name",
    "subnet": "id || ' ' || cidr",
    "router": "id || ' ' || name",
    "security_group": "id || ' ' || name",
    "keypair": "user_id || ' ' || name",
    "image": "id || ' ' || status || ' ' || name",
    "server_group": "id || ' ' || name",
    "server_snapshot": "image_id",
    "server_console": "server_id",
}

Question = Callable[[CloudSettings, HostSettings], Iterator[str]]


def there(cloud: CloudSettings, host: HostSettings) -> frozenset[str]:
    """Everything that is there, a line for each."""
    return frozenset(
        f"{question.__name__.strip('_')}: {line}"
        for question in QUESTIONS
        for line in question(cloud, host)
    )


def _directories(_cloud: CloudSettings, host: HostSettings) -> Iterator[str]:
    """Of servers, and what the agent remembers of them."""
    for pattern in ("lxc/servers/*", "wanted/*/*", "downloads/*", "snapshots/*"):
        yield from (str(path) for path in host.agent_dir.glob(pattern))


def _half_made_files(_cloud: CloudSettings, host: HostSettings) -> Iterator[str]:
    """Not below unpacked images: what is in there is the image's."""
    for path in host.state.glob("*"):
        if path.name not in ("host", "run", "log"):
            yield from (str(draft) for draft in path.rglob("*.part"))
    for place in ("", "lxc/images", "lxc/templates"):
        yield from (str(draft) for draft in (host.agent_dir / place).glob("*.part"))
    yield from (str(path) for path in host.image_dir.glob(".draft-*"))


def _image_files(_cloud: CloudSettings, host: HostSettings) -> Iterator[str]:
    """That no image's row names: as they came, and as the host unpacked them."""
    named = {sha256 for (sha256,) in _rows(host, "SELECT sha256 FROM image")}
    for directory in (host.image_dir, host.agent_dir / "lxc/images"):
        for path in directory.glob("*"):
            if path.name != ".lock" and path.name.partition(".")[0] not in named:
                yield str(path)


def _loop_devices(_cloud: CloudSettings, host: HostSettings) -> Iterator[str]:
    for backing in Path("/sys/block").glob("loop*/loop/backing_file"):
        with contextlib.suppress(OSError):
            file = backing.read_text().strip()
            if file.startswith(f"{host.state}/"):
                yield f"{backing.parts[3]} has {file}"


def _mounts(_cloud: CloudSettings, host: HostSettings) -> Iterator[str]:
    """Of this process, of the agent, and of every other one with mounts of its own."""
    seen: set[str] = set()
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            namespace = str((entry / "ns/mnt").readlink())
            if namespace in seen:
                continue
            seen.add(namespace)
            for line in (entry / "mountinfo").read_text().splitlines():
                if f"{host.state}/" in line:
                    command = (entry / "cmdline").read_bytes().replace(b"\0", b" ")
                    yield f"{line} in {command.decode(errors='replace')}"


def _links(_cloud: CloudSettings, host: HostSettings) -> Iterator[str]:
    """Ends of servers' links, in the virtual host and in the machine itself."""
    for where in (["-n", host.name], []):
        for row in json.loads(run(["ip", "-j", *where, "link"]).out):
            if SERVER_LINK.fullmatch(row["ifname"]):
                yield f"{row['ifname']} in {where[-1] if where else 'the machine'}"


def _switch_ports(_cloud: CloudSettings, host: HostSettings) -> Iterator[str]:
    """Those that only OVN makes, patches and tunnels, belong to no server."""
    listed = run(["ovs-vsctl", f"--db={host.switch_remote}", "list-ports", "br-int"])
    yield from (name for name in listed.out.split() if not name.startswith("patch-"))


def _northbound_rows(_cloud: CloudSettings, host: HostSettings) -> Iterator[str]:
    yield from _engine_rows(host.northbound_remote, "OVN_Northbound", NORTHBOUND)


def _southbound_rows(_cloud: CloudSettings, host: HostSettings) -> Iterator[str]:
    yield from _engine_rows(host.southbound_remote, "OVN_Southbound", SOUTHBOUND)


def _control_groups(cloud: CloudSettings, host: HostSettings) -> Iterator[str]:
    for top in (CONTROL_GROUPS, *CONTROL_GROUPS.glob("*/")):
        for path in (top / fence.of_servers(host.name)).glob("*/"):
            if path.name != PIVOT:
                yield str(path)
        for path in top.glob("lxc.*"):
            if any(command.startswith(str(host.state)) for command in _commands(path)):
                yield str(path)


def _processes(cloud: CloudSettings, host: HostSettings) -> Iterator[str]:
    """LXC's monitors, starts that go on, and whatever of a server runs."""
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            if f"{host.agent_dir}/" in command and command.startswith(("[lxc", "lxc-", "tar ")):
                yield f"{entry.name} {command}"
            elif f"/{fence.of_servers(host.name)}/" in (entry / "cgroup").read_text():
                yield f"{entry.name} {command} in a server's control group"


def _rows_of_users(_cloud: CloudSettings, host: HostSettings) -> Iterator[str]:
    for table, shown in CLOUD_ROWS.items():
        for (text,) in _rows(host, f"SELECT {shown} FROM {table}"):
            yield f"{table} {text}"
    for (key,) in _rows(host, "SELECT id FROM server WHERE NOT deleted"):
        yield f"server {key}"
    for key, action in _rows(
        host, "SELECT server_id, action FROM server_action WHERE finish_at IS NULL"
    ):
        yield f"action {action} of server {key} has no end"


def _claims(_cloud: CloudSettings, host: HostSettings) -> Iterator[str]:
    """On hosts, and what hosts are still told."""
    claimed = "vcpus_claimed, ram_claimed_mib, disk_claimed_gib, servers_claimed"
    for name, *claims in _rows(host, f"SELECT id, {claimed} FROM host"):
        if any(claims):
            yield f"host {name} has claims {claims}"
    query = "SELECT topic, key FROM feed WHERE topic LIKE 'host:%'"
    for topic, key in _rows(host, query):
        yield f"{topic} is told of {key}"


def _pipeline_rows(_cloud: CloudSettings, host: HostSettings) -> Iterator[str]:
    flows = "SELECT id FROM flow WHERE status NOT IN ('done', 'failed', 'undone', 'cancelled')"
    for (key,) in _rows(host, flows, file="pipeline/pipeline.db"):
        yield f"flow {key}"


QUESTIONS: tuple[Question, ...] = (
    _directories,
    _half_made_files,
    _image_files,
    _loop_devices,
    _mounts,
    _links,
    _switch_ports,
    _northbound_rows,
    _southbound_rows,
    _control_groups,
    _processes,
    _rows_of_users,
    _claims,
    _pipeline_rows,
)


def _commands(group: Path) -> Iterator[str]:
    with contextlib.suppress(OSError):
        for pid in (group / "cgroup.procs").read_text().split():
            yield Path(f"/proc/{pid}/cmdline").read_text(errors="replace")


def _engine_rows(remote: str, database: str, tables: tuple[str, ...]) -> Iterator[str]:
    """What each row is, without what changes when it is made again."""
    asked = [{"op": "select", "table": table, "where": []} for table in tables]
    answers = run(["ovsdb-client", "transact", remote, json.dumps([database, *asked])]).out
    for table, answer in zip(tables, json.loads(answers), strict=True):
        for row in answer.get("rows", ()):
            yield f"{table} {_identity(row)}"


def _identity(row: dict[str, Any]) -> str:
    marks = dict(row.get("external_ids", ["map", []])[1])
    marks = {key: value for key, value in marks.items() if key not in CHANGING_MARKS}
    name = row.get("name") or row.get("logical_port") or row.get("match", "")
    return f"{name if isinstance(name, str) else ''} {json.dumps(marks, sort_keys=True)}"


def _rows(host: HostSettings, query: str, *, file: str = "cloud/cloud.db") -> list[tuple[Any, ...]]:
    with contextlib.closing(
        sqlite.driver().connect(f"file:{host.state / file}?mode=ro", uri=True, timeout=10)
    ) as store:
        rows: list[tuple[Any, ...]] = store.execute(query).fetchall()
        return rows
