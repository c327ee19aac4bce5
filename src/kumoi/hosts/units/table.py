"""The processes of a cloud, as a table: engines of others and roles of ours.

`engines` and `roles` are pure: settings in, units out; `all_units` adds the version of what they read. The
supervisor starts what stands here, `up` and `status` read it. Nothing is started here.
"""

from __future__ import annotations

import enum
import hashlib
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from kumoi import addresses, members
from kumoi.config import CloudSettings, HostSettings, Role
from kumoi.hosts.units import rights, switch, users
from kumoi.hosts.units.confinement import Confinement, launched
from kumoi.hosts.units.releases import Release
from kumoi.members import NORTHBOUND, OVN_DATABASES, SOUTHBOUND, OvnDatabase

HEAP = (
    ("MALLOC_ARENA_MAX", "1"),  # Python's threads take turns: a heap for each only costs room.
    # Both would grow with what is freed, and an API keep 50 MiB after its first images. With the 128 KiB
    # that they begin with, each answer by TLS would cost a mapping: a quarter of a read's time.
    ("MALLOC_MMAP_THRESHOLD_", f"{1 << 20}"),
    ("MALLOC_TRIM_THRESHOLD_", f"{1 << 20}"),
)
# The switch takes memory for each packet, and glibc's allocator keeps none of a packet's size at hand: 18 %
# of the switch's time under HTTP, of which 3 are left. One arena, since packets are one thread's.
ETCD_HEAP = (
    ("GOGC", "50"),
)  # Go's heap grows by half, and not by as much again, before it is searched.
ALLOCATOR = (("LD_PRELOAD", "libjemalloc.so.2"), ("MALLOC_CONF", "narenas:1"))
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
    whether it says itself that it is ready. `confined` is what it may, from rights.py; without, it is
    as whoever starts it. `launcher` is the Python that holds it to that.
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
    launcher: str = sys.executable

    @property
    def digest(self) -> str:
        """Changes when the unit must be started anew to be what is wanted."""
        parts = (self.argv, self.env, self.namespace, self.then, self.sockets, self.version)
        return hashlib.sha256(repr((*parts, self.confined)).encode()).hexdigest()[:16]

    @property
    def command(self) -> tuple[str, ...]:
        """`argv`, by the launcher where it is confined."""
        if self.confined is None:
            return self.argv
        return launched(
            self.confined,
            self.argv,
            python=self.launcher,
            variables=[key for key, _ in self.env],
            namespace=str(namespace_path(self.namespace)) if self.namespace else "",
        )


def namespace_path(name: str) -> Path:
    return Path("/run/netns") / name


def engines(
    cloud: CloudSettings, host: HostSettings, *, python: str = sys.executable
) -> list[Unit]:
    """What the host's roles need: OVN's central part, and a switch with its controller; and on a control
    host a member of the store.
    """
    store = _store(cloud, host, python) if cloud.control_host(host.name) else []
    central = _central(cloud, host) if Role.NETWORK in host.roles else []
    switch = _switch(cloud, host) if Role.AGENT in host.roles else []
    shared = [_keepalived(cloud, host)] if members.shares_address(cloud, host) else []
    return _here([*store, *central, *switch, *shared])


def roles(
    cloud: CloudSettings, host: HostSettings, release: Release, *, version: str
) -> list[Unit]:
    """Our own processes. `version` stands for what they read at their start beside the release's
    code: settings, certificates. Another version means another start.
    """
    apis = [f"tcp:{address}:{cloud.api_port}" for address in addresses.of_apis(cloud, host)]
    host_api = f"tcp:{addresses.own(cloud, host)}:{cloud.host_api_port}"
    pipelines = [
        f"tcp:{address}:{cloud.pipeline_port}" for address in addresses.of_pipelines(cloud, host)
    ]
    control = host.control_namespace

    def role(
        name: str,
        *,
        sockets: tuple[str, ...] = (),
        namespace: str | None = None,
        needs: tuple[str, ...] = (members.PATRONI, "ovn-northd", "ovn-controller"),
        overlaps: bool = True,
        notifies: bool = False,
    ) -> Unit:
        confined = rights.of_unit(cloud, host, name)
        is_told = name in users.CONFINED
        config = str(rights.settings_dir(host, name)) if is_told else host.state_dir
        return Unit(
            name=str(name),
            kind=UnitKind.ROLE,
            argv=(*release.argv, "role", str(name), "--config", config),
            env=(*HEAP, *_homes(confined)),
            launcher=str(release.python),
            confined=confined,
            namespace=namespace,
            listens=sockets[0] if sockets else "",
            needs=needs,
            sockets=sockets,
            overlaps=overlaps,
            notifies=notifies or bool(sockets),
            version=version,
        )

    every = {
        Role.API: role(Role.API, sockets=(*apis, host_api), namespace=control),
        # Who calls one of these waits for it, so each takes its own socket from the one before.
        users.INSPECTOR: role(users.INSPECTOR, needs=(), notifies=True),
        users.AUTHORITY: role(users.AUTHORITY, needs=(), notifies=True),
        Role.WORKER: role(Role.WORKER, namespace=control),
        # Two agents would tend the same servers.
        users.FENCE: role(users.FENCE, namespace=host.name, needs=(), overlaps=False),
        Role.AGENT: role(Role.AGENT, namespace=host.name, needs=("api",), overlaps=False),
        users.REPOSITORIES: role(users.REPOSITORIES, needs=(), notifies=True),
        Role.PIPELINE: role(Role.PIPELINE, sockets=tuple(pipelines), namespace=control),
        members.COPIES: role(
            members.COPIES, sockets=_of_copies(cloud, host), namespace=host.control_namespace
        ),
        members.HEALTH: role(members.HEALTH, namespace=control, needs=(), overlaps=False),
    }
    here = {*host.roles, *users.units_here(cloud, host)}
    return [unit for name, unit in every.items() if name in here]


def _of_copies(cloud: CloudSettings, host: HostSettings) -> tuple[str, ...]:
    """Where other control hosts find this one's."""
    me = cloud.control_host(host.name)
    return (f"tcp:{me.address}:{members.COPIES_PORT}",) if me else ()


def all_units(
    cloud: CloudSettings, host: HostSettings, release: Release, *, only_engines: bool
) -> list[Unit]:
    """Everything that must run, in the order of starting."""
    launcher = str(release.python)
    below = [replace(unit, launcher=launcher) for unit in engines(cloud, host, python=launcher)]
    if only_engines:
        return below
    certificates = [path.stat().st_mtime_ns for path in sorted(host.pki_dir.glob("*.crt"))]
    parts = (release.id, cloud, host, certificates)
    version = hashlib.sha256(repr(parts).encode()).hexdigest()[:16]
    below = [_offered(cloud, host, unit) for unit in below]
    return _here([*below, *roles(cloud, host, release, version=version)])


def _homes(confined: Confinement) -> tuple[tuple[str, str], ...]:
    """Where a unit's libraries, and programs that it starts, look for their own and leave drafts."""
    return tuple((key, confined.state) for key in ("HOME", "TMPDIR"))


def _offered(cloud: CloudSettings, host: HostSettings, unit: Unit) -> Unit:
    """The worker, and no other role, writes into OVN's northbound database; into a member, by its certificate."""
    is_offered = unit.name == NORTHBOUND.unit and Role.WORKER in host.roles
    if not is_offered or members.has_ovn_member(cloud, host):
        return unit
    socket = host.northbound_remote.removeprefix("unix:")
    return replace(unit, then=(("chown", users.name_of(cloud, host, Role.WORKER), socket),))


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
    return rights.run_dir(host, "ovs-vswitchd")


def _engine(
    cloud: CloudSettings,
    host: HostSettings,
    name: str,
    *,
    argv: tuple[str, ...],
    listens: str,
    env: tuple[tuple[str, str], ...] = (),
    namespace: str | None = None,
    needs: tuple[str, ...] = (),
    then: tuple[tuple[str, ...], ...] = (),
) -> Unit:
    own = str(rights.run_dir(host, name))
    confined = rights.of_unit(cloud, host, name)
    places = (("OVS_RUNDIR", own), ("OVN_RUNDIR", own), ("OVS_DBDIR", own))
    return Unit(
        name=name,
        kind=UnitKind.ENGINE,
        argv=(*argv, *CONSOLE_LOG),
        env=tuple({**dict(places), **dict(env), **dict(_homes(confined))}.items()),
        namespace=namespace,
        listens=listens,
        needs=needs,
        then=then,
        confined=confined,
    )


def _store(cloud: CloudSettings, host: HostSettings, python: str) -> list[Unit]:
    """What says who leads, and the database. Patroni is Python, of the release."""
    address = members.own(cloud, host).address
    etcd, patroni = (rights.of_unit(cloud, host, name) for name in users.MEMBERS)
    settings = str(rights.settings_dir(host, members.PATRONI))
    return [
        Unit(
            name=members.ETCD,
            kind=UnitKind.ENGINE,
            argv=members.etcd_command(cloud, host),
            env=(*ETCD_HEAP, *_homes(etcd)),
            namespace=host.control_namespace,
            listens=f"tcp:{address}:{members.ETCD_PORT}",
            confined=etcd,
        ),
        Unit(
            name=members.PATRONI,
            kind=UnitKind.ENGINE,
            argv=(python, "-I", "-m", "kumoi.main", members.PATRONI, "--config", settings),
            env=(*HEAP, *_homes(patroni)),
            namespace=host.control_namespace,
            listens=f"tcp:{address}:{members.PATRONI_PORT}",
            needs=(members.ETCD,),
            confined=patroni,
        ),
    ]


def _keepalived(cloud: CloudSettings, host: HostSettings) -> Unit:
    """By the file of wires/keepalived.py, which follows from what `version` stands for."""
    confined = rights.of_unit(cloud, host, members.KEEPALIVED)
    own = rights.run_dir(host, members.KEEPALIVED)
    follows_from = (cloud.shared_address, cloud.control_hosts)
    return Unit(
        name=members.KEEPALIVED,
        kind=UnitKind.ENGINE,
        argv=(
            "/usr/sbin/keepalived",
            "--dont-fork",
            "--log-console",
            "--vrrp",
            f"--use-file={rights.keepalived_file(host)}",
            f"--pid={own / 'keepalived.pid'}",
            f"--vrrp_pid={own / 'vrrp.pid'}",
        ),
        env=_homes(confined),
        namespace=host.control_namespace,
        version=hashlib.sha256(repr(follows_from).encode()).hexdigest()[:16],
        confined=confined,
    )


def _central(cloud: CloudSettings, host: HostSettings) -> list[Unit]:
    inside = host.control_namespace
    databases = [
        _engine(
            cloud,
            host,
            database.unit,
            argv=(
                "/usr/sbin/ovsdb-server",
                str(ovn_database(host, database.name)),
                f"--remote=p{remote}",
                f"--unixctl={rights.ovn_control(host, database)}",
                *_for_other_hosts(cloud, host, database),
            ),
            listens=remote,
            namespace=inside,
        )
        for database, remote in zip(OVN_DATABASES, _sockets(host), strict=True)
    ]
    control = rights.run_dir(host, members.NORTHD) / "control.ctl"
    remotes = _sockets(host)
    certificate: tuple[str, ...] = ()
    if members.has_ovn_member(cloud, host):  # Of several, one works: OVN has a lock for that.
        remotes = [members.ovn_remotes(cloud, database) for database in OVN_DATABASES]
        certificate = _certificate(members.ovn_certificate(host, members.NORTHD))
    northd = _engine(
        cloud,
        host,
        members.NORTHD,
        argv=(
            "/usr/bin/ovn-northd",
            f"--ovnnb-db={remotes[0]}",
            f"--ovnsb-db={remotes[1]}",
            f"--unixctl={control}",
            *certificate,
        ),
        listens=f"unix:{control}",
        namespace=inside,
        needs=(NORTHBOUND.unit, SOUTHBOUND.unit),
    )
    return [*databases, northd]


def _sockets(host: HostSettings) -> list[str]:
    return [host.northbound_remote, host.southbound_remote]


def _for_other_hosts(
    cloud: CloudSettings, host: HostSettings, database: OvnDatabase
) -> tuple[str, ...]:
    """Where a member's clients reach it, or other hosts' controllers a southbound database that is alone."""
    if members.has_ovn_member(cloud, host):
        told = members.certificate if database is NORTHBOUND else members.ovn_certificate
        address = members.own(cloud, host).address
        return (
            f"--remote=pssl:{database.port}:{address}",
            *_certificate(told(host, database.unit)),
        )
    if database is NORTHBOUND or not cloud.southbound_url:
        return ()
    kind, address, port = cloud.southbound_url.split(":")
    own = rights.certificate(host, SOUTHBOUND.unit)
    return (f"--remote=p{kind}:{port}:{address}", *_certificate(own))


def _certificate(files: tuple[Path, Path, Path]) -> tuple[str, ...]:
    key, certificate, authority = files
    return (f"--private-key={key}", f"--certificate={certificate}", f"--ca-cert={authority}")


def _switch(cloud: CloudSettings, host: HostSettings) -> list[Unit]:
    run, remote, inside = switch_dir(host), host.switch_remote, host.name
    database = _engine(
        cloud,
        host,
        "ovs-db",
        argv=(
            "/usr/sbin/ovsdb-server",
            str(switch_database(host)),
            f"--remote=p{remote}",
            f"--unixctl={rights.run_dir(host, 'ovs-db') / 'control.ctl'}",
        ),
        listens=remote,
        namespace=inside,
    )
    datapath = _engine(
        cloud,
        host,
        "ovs-vswitchd",
        argv=("/usr/sbin/ovs-vswitchd", remote, f"--unixctl={switch.control(run)}"),
        listens=f"unix:{switch.control(run)}",
        env=ALLOCATOR,
        namespace=inside,
        needs=("ovs-db",),
        then=(
            *switch.settings(cloud, host),
            *switch.connection_limits(switch.control(run)),
            *switch.no_empty_translation(remote),
            *switch.kept_tunnels(cloud, host, switch.control(run)),
        ),
    )
    is_near = Role.NETWORK in host.roles and not members.has_ovn_member(cloud, host)
    own = () if is_near else _certificate(rights.certificate(host, host.name))
    controller = _engine(
        cloud,
        host,
        "ovn-controller",
        argv=("/usr/bin/ovn-controller", remote, *own),
        env=(("OVS_RUNDIR", str(run)),),  # Where the switch's sockets are that it speaks to.
        # Its control socket is named for its pid; that it made its bridge shows that it works.
        listens=f"unix:{run / 'br-int.mgmt'}",
        namespace=inside,
        needs=("ovs-vswitchd", SOUTHBOUND.unit),
        then=switch.southbound_members(cloud, host),
    )
    return [database, datapath, controller]
