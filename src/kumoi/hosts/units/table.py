"""The processes of a cloud, as a table: engines of others and roles of ours.

`engines` and `roles` are pure: settings in, units out; `all_units` adds the version of what they read. The
supervisor starts what stands here, `up` and `status` read it. Nothing is started here.
"""

from __future__ import annotations

import enum
import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from kumoi.config import CloudSettings, HostSettings, Role, southbound
from kumoi.hosts.units import ownership, users
from kumoi.hosts.units.confinement import Confinement
from kumoi.hosts.units.releases import Release

CONTROLLER_LOST_WAIT_MS = 3_000  # Flows stay this long after ovn-controller came back: no gap.
NORTHBOUND = "ovnnb-db"
ONE_HEAP = (
    "MALLOC_ARENA_MAX",
    "1",
)  # Python's threads take turns: a heap for each only costs room.
CONSOLE_LOG = ("-vconsole:info", "-vsyslog:off", "-vfile:off")  # The supervisor keeps the logs.


class UnitKind(enum.StrEnum):
    ENGINE = "engine"
    ROLE = "role"


@dataclass(frozen=True, slots=True)
class Unit:
    """One process that must run.

    `namespace` is a network namespace by name. `listens` is where it answers once it is ready:
    "unix:PATH", "tcp:ADDRESS:PORT", or empty when it answers nowhere. `then` are commands, each safe
    to repeat, that follow every start. `needs` are units that are waited for, for a while, before
    it is started first. `sockets` are addresses like `listens` on which the supervisor listens for
    it. `overlaps` is whether two of it may run at once, while one replaces the other; `notifies`,
    whether it says itself that it is ready. What is not `confined` is root.
    """

    name: str
    kind: UnitKind
    argv: tuple[str, ...]
    env: tuple[tuple[str, str], ...] = ()
    namespace: str | None = None
    listens: str = ""
    then: tuple[tuple[str, ...], ...] = ()
    needs: tuple[str, ...] = ()
    sockets: tuple[str, ...] = ()
    overlaps: bool = False
    notifies: bool = False
    version: str = ""
    confined: Confinement | None = None

    @property
    def digest(self) -> str:
        """Changes when the unit must be started anew to be what is wanted."""
        told = (self.argv, self.env, self.namespace, self.then, self.sockets, self.version)
        return hashlib.sha256(repr((*told, self.confined)).encode()).hexdigest()[:16]

    @property
    def command(self) -> tuple[str, ...]:
        """`argv` inside its namespace, or confined. nsenter and not `ip netns exec`, which would make
        a mount namespace as well, and what a host agent mounts must be seen by everybody.
        """
        if self.confined is not None:
            told = json.dumps(asdict(self.confined))
            return (self.argv[0], "-I", "-m", "kumoi.hosts.units.launch", told, *self.argv)
        if self.namespace is None:
            return self.argv
        return ("nsenter", f"--net={namespace_path(self.namespace)}", "--", *self.argv)


def namespace_path(name: str) -> Path:
    return Path("/run/netns") / name


def engines(cloud: CloudSettings, host: HostSettings) -> list[Unit]:
    """What the host's roles need: OVN's central part, and a switch with its controller."""
    central = _central(cloud, host) if Role.NETWORK in host.roles else []
    return _here([*central, *(_switch(cloud, host) if Role.AGENT in host.roles else [])])


def roles(
    cloud: CloudSettings, host: HostSettings, release: Release, *, version: str
) -> list[Unit]:
    """Our own processes. `version` stands for what they read at their start beside the release's
    code: settings, certificates. Another version means another start.
    """
    api, host_api, pipeline = (
        f"tcp:{cloud.public_address}:{cloud.api_port}",
        f"tcp:{cloud.control_address}:{cloud.host_api_port}",
        f"tcp:{cloud.public_address}:{cloud.pipeline_port}",
    )

    def role(
        name: Role,
        *,
        sockets: tuple[str, ...] = (),
        namespace: str | None = None,
        needs: tuple[str, ...] = ("ovn-northd", "ovn-controller"),
        overlaps: bool = True,
    ) -> Unit:
        confined = ownership.confinement(cloud, host, name) if name in users.CONFINED else None
        config = str(ownership.settings_dir(host, name)) if confined else host.state_dir
        return Unit(
            name=name.value,
            kind=UnitKind.ROLE,
            argv=(*release.argv, "role", name.value, "--config", config),
            env=(ONE_HEAP, *_homes(confined)),
            confined=confined,
            namespace=namespace,
            listens=sockets[0] if sockets else "",
            needs=needs,
            sockets=sockets,
            overlaps=overlaps,
            notifies=bool(sockets),
            version=version,
        )

    every = {
        Role.API: role(Role.API, sockets=(api, host_api)),
        Role.WORKER: role(Role.WORKER),
        # Two agents would tend the same servers.
        Role.AGENT: role(Role.AGENT, namespace=host.name, needs=("api",), overlaps=False),
        Role.PIPELINE: role(Role.PIPELINE, sockets=(pipeline,)),
    }
    return [unit for name, unit in every.items() if name in host.roles]


def all_units(
    cloud: CloudSettings, host: HostSettings, release: Release, *, only_engines: bool
) -> list[Unit]:
    """Everything that must run, in the order of starting."""
    if only_engines:
        return engines(cloud, host)
    certificates = [path.stat().st_mtime_ns for path in sorted(host.pki_dir.glob("*.crt"))]
    told = (release.id, cloud, host, certificates)
    version = hashlib.sha256(repr(told).encode()).hexdigest()[:16]
    below = [_offered(cloud, host, unit) for unit in engines(cloud, host)]
    return _here([*below, *roles(cloud, host, release, version=version)])


def _homes(confined: Confinement | None) -> tuple[tuple[str, str], ...]:
    """Where a role's libraries, and programs that it starts, look for their own and leave drafts."""
    return tuple((key, confined.writes[0]) for key in ("HOME", "TMPDIR")) if confined else ()


def _offered(cloud: CloudSettings, host: HostSettings, unit: Unit) -> Unit:
    """The worker, and no other role, writes into OVN's northbound database."""
    if unit.name != NORTHBOUND or Role.WORKER not in host.roles:
        return unit
    socket = host.northbound_remote.removeprefix("unix:")
    return replace(unit, then=(("chown", users.name_of(cloud, Role.WORKER), socket),))


def _here(wanted: list[Unit]) -> list[Unit]:
    """Nobody waits for what runs on another host."""
    names = {unit.name for unit in wanted}
    return [
        replace(unit, needs=tuple(name for name in unit.needs if name in names)) for unit in wanted
    ]


def stop_order(wanted: Sequence[Unit]) -> list[frozenset[str]]:
    """Roles at once, then engines, each when nothing is left that needs it."""
    left = [unit for unit in wanted if unit.kind is UnitKind.ENGINE]
    groups = [frozenset(unit.name for unit in wanted if unit.kind is UnitKind.ROLE)]
    while left:
        needed = {name for unit in left for name in unit.needs}
        last = [unit for unit in left if unit.name not in needed]
        groups.append(frozenset(unit.name for unit in last))
        left = [unit for unit in left if unit not in last]
    return groups


def boot_file(host: HostSettings) -> Path:
    """Names the virtual host's boot, which ends when its servers are stopped with it."""
    return host.run_dir / "host-boot"


def ovn_database(host: HostSettings, which: str) -> Path:
    """The file of a central database, "ovnnb" or "ovnsb"."""
    return host.state / "ovn" / f"{which}_db.db"


def switch_database(host: HostSettings) -> Path:
    return host.state / "ovs" / "conf.db"


def switch_dir(host: HostSettings) -> Path:
    """Sockets of the virtual host's switch."""
    return host.run_dir / "ovs"


def _central(cloud: CloudSettings, host: HostSettings) -> list[Unit]:
    env = (("OVN_RUNDIR", str(host.run_dir)), ("OVS_RUNDIR", str(host.run_dir)))
    databases = [
        Unit(
            name=f"{which}-db",
            kind=UnitKind.ENGINE,
            argv=(
                "/usr/sbin/ovsdb-server",
                str(ovn_database(host, which)),
                f"--remote=p{remote}",
                f"--unixctl={host.run_dir / f'{which}_db.ctl'}",
                *others,
                *CONSOLE_LOG,
            ),
            env=env,
            listens=remote,
        )
        for which, remote, others in (
            ("ovnnb", host.northbound_remote, ()),
            ("ovnsb", host.southbound_remote, _for_other_hosts(cloud, host)),
        )
    ]
    control = host.run_dir / "ovn-northd.ctl"
    northd = Unit(
        name="ovn-northd",
        kind=UnitKind.ENGINE,
        argv=(
            "/usr/bin/ovn-northd",
            f"--ovnnb-db={host.northbound_remote}",
            f"--ovnsb-db={host.southbound_remote}",
            f"--unixctl={control}",
            *CONSOLE_LOG,
        ),
        env=env,
        listens=f"unix:{control}",
        needs=("ovnnb-db", "ovnsb-db"),
    )
    return [*databases, northd]


def _for_other_hosts(cloud: CloudSettings, host: HostSettings) -> tuple[str, ...]:
    """Where their controllers reach the southbound database, with a certificate of ours."""
    if not cloud.southbound_url:
        return ()
    kind, address, port = cloud.southbound_url.split(":")
    return (f"--remote=p{kind}:{port}:{address}", *_certificate(host, "api"))


def _certificate(host: HostSettings, name: str) -> tuple[str, ...]:
    return (
        f"--private-key={host.pki_dir / name}.key",
        f"--certificate={host.pki_dir / name}.crt",
        f"--ca-cert={host.pki_dir / 'ca.crt'}",
    )


def _switch(cloud: CloudSettings, host: HostSettings) -> list[Unit]:
    run = switch_dir(host)

    def engine(
        *,
        name: str,
        program: str,
        arguments: tuple[str, ...],
        listens: str,
        needs: tuple[str, ...] = (),
        then: tuple[tuple[str, ...], ...] = (),
    ) -> Unit:
        return Unit(
            name=name,
            kind=UnitKind.ENGINE,
            argv=(program, *arguments, *CONSOLE_LOG),
            env=tuple((key, str(run)) for key in ("OVS_RUNDIR", "OVN_RUNDIR", "OVS_DBDIR")),
            namespace=host.name,
            listens=listens,
            needs=needs,
            then=then,
        )

    remote = host.switch_remote
    return [
        engine(
            name="ovs-db",
            program="/usr/sbin/ovsdb-server",
            arguments=(
                str(switch_database(host)),
                f"--remote=p{remote}",
                f"--unixctl={run / 'ovs-db.ctl'}",
            ),
            listens=remote,
        ),
        engine(
            name="ovs-vswitchd",
            program="/usr/sbin/ovs-vswitchd",
            arguments=(remote, f"--unixctl={run / 'ovs-vswitchd.ctl'}"),
            listens=f"unix:{run / 'ovs-vswitchd.ctl'}",
            needs=("ovs-db",),
            then=_switch_settings(cloud, host),
        ),
        engine(
            name="ovn-controller",
            program="/usr/bin/ovn-controller",
            arguments=(
                remote,
                *(() if Role.NETWORK in host.roles else _certificate(host, host.name)),
            ),
            # Its control socket is named for its pid; that it made its bridge shows that it works.
            listens=f"unix:{run / 'br-int.mgmt'}",
            needs=("ovs-vswitchd", "ovnsb-db"),
        ),
    ]


def _switch_settings(cloud: CloudSettings, host: HostSettings) -> tuple[tuple[str, ...], ...]:
    """The virtual host's bridges, and its tunnel address: a user-space switch takes its bridges'
    links along when it dies, so the address is given again at every start.
    """
    prefix = cloud.underlay_cidr.partition("/")[2]
    external_ids = {
        "system-id": host.name,
        "hostname": host.name,
        "ovn-remote": f'"{southbound(cloud, host)}"',
        "ovn-encap-type": "geneve",
        "ovn-encap-ip": host.underlay_address,
        "ovn-bridge-datapath-type": "netdev",
        "ovn-bridge-mappings": "physnet1:br-ex",
        "ovn-ofctrl-wait-before-clear": str(CONTROLLER_LOST_WAIT_MS),
    }
    configure = ["ovs-vsctl", f"--db={host.switch_remote}", "--timeout=10"]
    configure += ["--", "set", "open", "."]
    configure += [f"external-ids:{key}={value}" for key, value in external_ids.items()]
    for bridge, port in (("br-phy", "eth0"), ("br-ex", "eth1")):
        configure += ["--", "--may-exist", "add-br", bridge]
        configure += ["--", "set", "bridge", bridge, "datapath_type=netdev"]
        configure += ["--", "--may-exist", "add-port", bridge, port]
    address = f"{host.underlay_address}/{prefix}"
    return (
        ("ovs-vsctl", f"--db={host.switch_remote}", "--no-wait", "--timeout=10", "init"),
        tuple(configure),
        ("ip", "-n", host.name, "address", "replace", address, "dev", "br-phy"),
        ("ip", "-n", host.name, "link", "set", "dev", "br-phy", "up"),
    )
