"""The table of units as systemd's unit files. Pure: settings and units in, texts out.

systemctl.py installs what this renders. A unit's service is an instance that is named for the unit's
digest, with a file of its own: while a release replaces another, both are there, and both inherit the
listening sockets, which belong to neither (design note 0015). What a unit is held to stands in the
table (confinement.py), in systemd's words here.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from kumoi.config import CloudSettings, HostSettings, Role, first_host
from kumoi.hosts.units import after_start, launch, running, sandbox, users
from kumoi.hosts.units.confinement import INET, INET6, NETLINK, PACKET, UNIX, Confinement
from kumoi.hosts.units.releases import Release
from kumoi.hosts.units.table import Unit, UnitKind, namespace_path

DIRECTORY = "/etc/systemd/system"
BACKLOG = 1_024
DRAIN_TIMEOUT_S = 75  # Longer than a role takes to answer those who are connected.
HALT_TIMEOUT_S = 60
CPU_WEIGHT = 500  # Other services of the machine have 100.
FAMILIES = {
    UNIX: "AF_UNIX",
    INET: "AF_INET",
    INET6: "AF_INET6",
    NETLINK: "AF_NETLINK",
    PACKET: "AF_PACKET",
}
PLAIN_WORD = re.compile(r"[A-Za-z0-9_@+=:,./-]+")
# What no unit of ours needs, whatever else it may.
HELD_BACK = (
    "NoNewPrivileges=yes",
    "ProtectSystem=strict",
    "ProtectHome=yes",
    "ProtectHostname=yes",
    "ProtectClock=yes",
    "ProtectKernelTunables=yes",
    "ProtectKernelModules=yes",
    "ProtectKernelLogs=yes",
    "ProtectControlGroups=yes",
    "ProtectProc=invisible",
    "PrivateTmp=yes",
    "PrivateMounts=yes",
    "RestrictNamespaces=yes",
    "RestrictRealtime=yes",
    "RestrictSUIDSGID=yes",
    "LockPersonality=yes",
    "MemoryDenyWriteExecute=yes",
    "RemoveIPC=yes",
    "KeyringMode=private",
    "LimitCORE=0",
    f"LimitNOFILE={sandbox.OPEN_FILES_MAX}",
    f"LimitNPROC={sandbox.PROCESSES_MAX}",
    "SystemCallArchitectures=native",
    "SystemCallErrorNumber=EPERM",
    "SystemCallFilter=@system-service",
    "SystemCallFilter=~@privileged @resources",
)
# What a unit of root's bears that makes namespaces and links, or ends servers, for the whole machine: whatever
# needs mounts of its own would keep the machine from seeing what it makes.
OF_ROOT = (
    "NoNewPrivileges=yes",
    "ProtectHostname=yes",
    "ProtectClock=yes",
    "RestrictRealtime=yes",
    "RestrictSUIDSGID=yes",
    "LockPersonality=yes",
    "MemoryDenyWriteExecute=yes",
    "KeyringMode=private",
    "LimitCORE=0",
    "UMask=0077",
    "IPAddressDeny=any",
    "DevicePolicy=closed",
    "SystemCallArchitectures=native",
    "SystemCallErrorNumber=EPERM",
    "SystemCallFilter=@system-service @mount @pkey",
    "SystemCallFilter=setns unshare",
    "SystemCallFilter=~@clock @cpu-emulation @keyring @module @obsolete @raw-io @reboot @swap",
)
BOOTING = (
    "CAP_CHOWN CAP_DAC_OVERRIDE CAP_DAC_READ_SEARCH CAP_FOWNER CAP_FSETID CAP_NET_ADMIN"
    " CAP_SYS_ADMIN CAP_SYS_PTRACE"
)
HALTING = "CAP_DAC_OVERRIDE CAP_DAC_READ_SEARCH CAP_KILL CAP_SYS_PTRACE"
_NOT_OF_HALTING = {
    "ProtectControlGroups=yes",
    "PrivateTmp=yes",
}  # It thaws; a cloud may be below /tmp.
# It ends what is in control groups, and comes before all that is not in the real-time class.
_NOT_OF_FENCE = {"ProtectControlGroups=yes", "RestrictRealtime=yes"}
# What waits for nothing to happen needs nothing.
OF_NOBODY = (
    "User=nobody",
    "Group=nogroup",
    "CapabilityBoundingSet=",
    "PrivateNetwork=yes",
    "PrivateDevices=yes",
    "RestrictAddressFamilies=none",
    "IPAddressDeny=any",
    "ProcSubset=pid",
    "UMask=0077",
)
# With which a role holds what it starts to less than itself. systemd 252 has no group of them.
HOLDING = ("landlock_create_ruleset", "landlock_add_rule", "landlock_restrict_self", "seccomp")


def prefix(cloud: CloudSettings, host: HostSettings) -> str:
    """Of another host than the first, with its name: several hosts of a cloud may be on one machine. No
    name begins with another one and a dash.
    """
    if host.name == first_host(cloud, host.state_dir).name:
        return f"kumoi-{cloud.name}"
    return f"kumoi-{cloud.name}.{host.name.replace('-', '_')}"


def target(cloud: CloudSettings, host: HostSettings) -> str:
    return f"{prefix(cloud, host)}.target"


def service(cloud: CloudSettings, host: HostSettings, unit: Unit) -> str:
    return f"{prefix(cloud, host)}-{unit.name}@{unit.digest}.service"


def every_instance(cloud: CloudSettings, host: HostSettings, name: str) -> str:
    """A pattern for the services that a unit has or had."""
    return f"{prefix(cloud, host)}-{name}@*.service"


def socket(cloud: CloudSettings, host: HostSettings, unit: Unit) -> str:
    return f"{prefix(cloud, host)}-{unit.name}.socket"


def wires(cloud: CloudSettings, host: HostSettings) -> str:
    """Reached when what a reboot takes away is there again. Sockets, engines and the other roles come after
    it, whatever the agent is that came before it.
    """
    return f"{prefix(cloud, host)}-wires.target"


def boot(cloud: CloudSettings, host: HostSettings) -> str:
    """Makes what a reboot takes away on a host that has no agent to do it."""
    return f"{prefix(cloud, host)}-boot.service"


def servers(cloud: CloudSettings, host: HostSettings) -> str:
    """Asks servers to halt when the machine does."""
    return f"{prefix(cloud, host)}-servers.service"


def holder(cloud: CloudSettings, host: HostSettings) -> str:
    """What sockets belong to: a service that does nothing and is never over, so that no traffic makes
    systemd start anything.
    """
    return f"{prefix(cloud, host)}-sockets.service"


def render(
    cloud: CloudSettings, host: HostSettings, release: Release, units: Sequence[Unit]
) -> dict[str, str]:
    """Every file by its name."""
    listening = [unit for unit in units if unit.sockets]
    found = {
        target(cloud, host): _target(cloud, host, listening),
        wires(cloud, host): _wires(cloud, host),
    }
    agent = next((unit for unit in units if unit.name == Role.AGENT), None)
    if agent is None:
        found[boot(cloud, host)] = _boot(cloud, host, release)
    else:
        found[servers(cloud, host)] = _servers(cloud, host, release, units)
    if listening:
        found[holder(cloud, host)] = _holder(cloud, host, listening)
    found |= {socket(cloud, host, unit): _socket(cloud, host, unit) for unit in listening}
    found |= {
        service(cloud, host, unit): _service(cloud, host, release, units, unit) for unit in units
    }
    return found


def _target(cloud: CloudSettings, host: HostSettings, listening: Sequence[Unit]) -> str:
    wants = [f"Wants={holder(cloud, host)}"] if listening else []
    return _text(
        ("Unit", [f"Description=The cloud {cloud.name} of Kumoi", *wants]),
        ("Install", ["WantedBy=multi-user.target"]),
    )


def _wires(cloud: CloudSettings, host: HostSettings) -> str:
    return _text(
        (
            "Unit",
            [
                f"Description=Kumoi {cloud.name}: namespaces, links and directories of this host",
                # By default a target comes after the one that it is a part of.
                "DefaultDependencies=no",
                "Conflicts=shutdown.target",
                "Before=shutdown.target",
                f"PartOf={target(cloud, host)}",
            ],
        ),
        ("Install", [f"WantedBy={target(cloud, host)}"]),
    )


def _before_wires(cloud: CloudSettings, host: HostSettings) -> list[str]:
    """Of the unit that makes them, which comes before all others."""
    # The edge keeps servers from each address of the machine's, where it leads outside at all.
    network = "network-online.target" if cloud.outbound else "network.target"
    return [
        f"RequiresMountsFor={_word(host.state_dir)}",
        f"Wants={network}",
        f"After={network}",
        f"Before={wires(cloud, host)}",
    ]


def _booting(host: HostSettings, release: Release) -> str:
    """Without the mark of the unit that it belongs to: it looks for units that run."""
    boots = [*release.argv, "boot", "--config", host.state_dir]
    return _words(["/usr/bin/env", f"--unset={running.MARK}", *boots])


def _boot(cloud: CloudSettings, host: HostSettings, release: Release) -> str:
    return _text(
        (
            "Unit",
            [
                f"Description=Kumoi {cloud.name}: makes namespaces, links and directories",
                f"PartOf={target(cloud, host)}",
                *_before_wires(cloud, host),
            ],
        ),
        (
            "Service",
            [
                "Type=oneshot",
                "RemainAfterExit=yes",
                f"ExecStart={_booting(host, release)}",
                f"CapabilityBoundingSet={BOOTING}",
                "RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK",
                "RestrictNamespaces=net mnt",
                *OF_ROOT,
            ],
        ),
        ("Install", [f"WantedBy={target(cloud, host)}"]),
    )


def _servers(
    cloud: CloudSettings, host: HostSettings, release: Release, units: Sequence[Unit]
) -> str:
    engines = [service(cloud, host, unit) for unit in units if unit.kind is UnitKind.ENGINE]
    return _text(
        (
            "Unit",
            [
                f"Description=Kumoi {cloud.name}: servers of this host, asked to halt with it",
                f"PartOf={target(cloud, host)}",
                f"After={' '.join([wires(cloud, host), *engines])}",
            ],
        ),
        (
            "Service",
            [
                "Type=oneshot",
                "RemainAfterExit=yes",
                f"ExecStop={_words([*release.argv, 'halt', '--config', host.state_dir])}",
                f"TimeoutStopSec={HALT_TIMEOUT_S}",
                f"CapabilityBoundingSet={HALTING}",
                f"ReadWritePaths={_word(str(host.run_dir))} {_word(str(host.agent_dir))}",
                "RestrictAddressFamilies=AF_UNIX",
                "PrivateNetwork=yes",
                "PrivateDevices=yes",
                "IPAddressDeny=any",
                "UMask=0077",
                *(line for line in HELD_BACK if line not in _NOT_OF_HALTING),
            ],
        ),
        ("Install", [f"WantedBy={target(cloud, host)}"]),
    )


def _holder(cloud: CloudSettings, host: HostSettings, listening: Sequence[Unit]) -> str:
    sockets = " ".join(socket(cloud, host, unit) for unit in listening)
    return _text(
        (
            "Unit",
            [
                f"Description=Kumoi {cloud.name}: holds the listening sockets of roles",
                f"PartOf={target(cloud, host)}",
                f"Wants={sockets}",
                f"After={sockets}",
            ],
        ),
        (
            "Service",
            [
                "Type=oneshot",
                "RemainAfterExit=yes",
                "ExecStart=/bin/true",
                *OF_NOBODY,
                *HELD_BACK,
            ],
        ),
    )


def _socket(cloud: CloudSettings, host: HostSettings, unit: Unit) -> str:
    return _text(
        (
            "Unit",
            [
                f"Description=Kumoi {cloud.name}: where {unit.name} listens",
                # By default it would be there before any service may run.
                "DefaultDependencies=no",
                "Conflicts=shutdown.target",
                f"Before=shutdown.target {holder(cloud, host)}",
                f"PartOf={target(cloud, host)}",
                f"After={wires(cloud, host)}",
            ],
        ),
        (
            "Socket",
            [
                *(f"ListenStream={address.partition(':')[2]}" for address in unit.sockets),
                *_inside(unit),
                "FreeBind=yes",  # Where links were late, nobody would open it again.
                f"Backlog={BACKLOG}",
                "SocketMode=0600",
                "TriggerLimitIntervalSec=0",
                f"Service={holder(cloud, host)}",
            ],
        ),
    )


def _service(
    cloud: CloudSettings,
    host: HostSettings,
    release: Release,
    units: Sequence[Unit],
    unit: Unit,
) -> str:
    by_name = {other.name: service(cloud, host, other) for other in units}
    is_agent = unit.name == Role.AGENT
    before = [wires(cloud, host), *(by_name[name] for name in unit.needs)]
    order = _before_wires(cloud, host) if is_agent else [f"After={' '.join(before)}"]
    return _text(
        (
            "Unit",
            [
                f"Description=Kumoi {cloud.name}: {unit.name}",
                f"PartOf={target(cloud, host)}",
                *order,
                "StartLimitIntervalSec=0",
            ],
        ),
        (
            "Service",
            [
                f"Type={'notify' if unit.notifies else 'exec'}",
                *_environment(host, unit),
                *([f"ExecStartPre={_booting(host, release)}"] if is_agent else []),
                # The agent's network may be made by the line above: it is entered afterwards.
                f"ExecStart={_words(unit.command if is_agent else unit.argv)}",
                *_after_start(release, unit),
                *_handed(cloud, host, unit),
                "Restart=always",
                "RestartSec=500ms",
                f"TimeoutStopSec={DRAIN_TIMEOUT_S if unit.overlaps else 10}",
                # An agent's servers and what it unpacks are no part of it.
                f"KillMode={'process' if is_agent else 'mixed'}",
                "OOMPolicy=continue",
                f"OOMScoreAdjust={launch.score_of(unit.confined)}",
                f"CPUWeight={CPU_WEIGHT}",
                *_held_to(host, unit),
            ],
        ),
        ("Install", [f"WantedBy={target(cloud, host)}"]),
        (
            "X-Kumoi",
            [
                f"Place={units.index(unit)}",
                f"Kind={unit.kind}",
                f"Listens={unit.listens}",
                f"Namespace={unit.namespace or ''}",
                f"Overlaps={unit.overlaps}",
                f"Notifies={unit.notifies}",
            ],
        ),
    )


def _handed(cloud: CloudSettings, host: HostSettings, unit: Unit) -> list[str]:
    """Whether a socket blocks is one fact for all who have it: systemd would have it block at each start,
    and whoever serves on it then waits for a connection instead of answering those that it has.
    """
    return [f"Sockets={socket(cloud, host, unit)}", "NonBlocking=yes"] if unit.sockets else []


def _environment(host: HostSettings, unit: Unit) -> Iterator[str]:
    marked = running.mark(host.state_dir, unit.name, unit.digest)
    for name, value in {**dict(unit.env), **marked}.items():
        yield f"Environment={_word(f'{name}={value}', always=True)}"


def _after_start(release: Release, unit: Unit) -> Iterator[str]:
    """By root, and outside of what the unit is held to: it answers, and then what follows a start."""
    if unit.then or (unit.listens and not unit.notifies):
        yield f"ExecStartPost=+{_words([str(release.python), *after_start.words(unit.listens, unit.then)])}"


def _held_to(host: HostSettings, unit: Unit) -> Iterator[str]:
    if unit.confined is None or not unit.confined.is_bounded:
        yield "PrivateMounts=no"  # What a host agent mounts must be seen by everybody.
        return
    yield from _inside(unit)
    yield from _identity(unit.confined)
    yield from _reach(host, unit.confined)
    yield from (line for line in HELD_BACK if unit.name != users.FENCE or line not in _NOT_OF_FENCE)
    if unit.name == users.FENCE:
        yield "LimitMEMLOCK=infinity"
        yield "SystemCallFilter=kill mlockall sched_setscheduler"
    if unit.confined.starts_programs or unit.name == users.INSPECTOR:
        yield f"SystemCallFilter={' '.join(HOLDING)}"
    if unit.kind is UnitKind.ROLE:
        yield "SystemCallFilter=@chown"  # What it keeps for itself it replaces whole, owner and all.


def _inside(unit: Unit) -> list[str]:
    """Of a service, and of the socket that systemd opens for it."""
    return [f"NetworkNamespacePath={namespace_path(unit.namespace)}"] if unit.namespace else []


def _identity(confined: Confinement) -> Iterator[str]:
    """No `PrivateUsers=`: by its users' namespace a process of ours is told from a tenant's (running.py)."""
    capabilities = " ".join(sorted(confined.capabilities))
    yield f"User={confined.user}"
    yield f"Group={confined.group}"
    if confined.groups:
        yield f"SupplementaryGroups={' '.join(confined.groups)}"
    yield f"UMask={confined.umask:04o}"
    yield f"CapabilityBoundingSet={capabilities}"
    yield f"AmbientCapabilities={capabilities}"


def _reach(host: HostSettings, confined: Confinement) -> Iterator[str]:
    """Of the state directory it sees what it may use, and nothing else is there. All the rest it may
    read that its user may, and drafts are in a /tmp of its own.
    """
    devices = [path for path in confined.writes if path.startswith("/dev/")]
    own = [path for path in confined.writes if Path(path).is_relative_to(host.state)]
    reads = [path for path in confined.reads if Path(path).is_relative_to(host.state)]
    yield f"TemporaryFileSystem={_word(host.state_dir)}:ro"
    # Whose sockets it may use in there, their owners say.
    yield from (
        f"BindReadOnlyPaths={_word(str(path))}" for path in (host.release_dir, host.run_dir)
    )
    yield from (f"BindReadOnlyPaths={_word(path)}" for path in reads if path not in own)
    yield from (f"BindPaths={_word(path)}" for path in (*own, *devices))
    yield "PrivateDevices=yes"
    yield from (f"DeviceAllow={path} rw" for path in devices)
    families = " ".join(FAMILIES[name] for name in confined.families)
    yield f"RestrictAddressFamilies={families}"


def _text(*sections: tuple[str, Iterable[str]]) -> str:
    return "\n".join(
        f"[{name}]\n" + "".join(f"{line}\n" for line in lines) for name, lines in sections
    )


def _words(words: Iterable[str]) -> str:
    """A command line, where a dollar begins a variable."""
    return " ".join(_word(word).replace("$", "$$") for word in words)


def _word(text: str, *, always: bool = False) -> str:
    """As systemd reads it: quoted where it must be, and nothing in it stands for something else."""
    if PLAIN_WORD.fullmatch(text) and not always:
        return text
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
    return f'"{escaped}"'
