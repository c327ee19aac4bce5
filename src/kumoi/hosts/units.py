"""The processes of a cloud, as a table: engines of others and roles of ours.

`engines` and `roles` are pure: settings in, units out; `table` adds the version of the code. The
supervisor starts what stands here, `up` and `status` read it. Nothing is started here.
"""

from __future__ import annotations

import enum
import hashlib
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from kumoi.config import Settings

CONTROLLER_LOST_WAIT_MS = 3_000  # Flows stay this long after ovn-controller came back: no gap.
ONE_HEAP = (
    "MALLOC_ARENA_MAX",
    "1",
)  # Python's threads take turns: a heap for each only costs room.
CONSOLE_LOG = ("-vconsole:info", "-vsyslog:off", "-vfile:off")  # The supervisor keeps the logs.


class Kind(enum.StrEnum):
    ENGINE = "engine"
    ROLE = "role"


@dataclass(frozen=True, slots=True)
class Unit:
    """One process that must run.

    `namespace` is a network namespace by name. `listens` is where it answers once it is ready:
    "unix:PATH", "tcp:ADDRESS:PORT", or empty when it answers nowhere. `then` are commands, each safe
    to repeat, that follow every start. `needs` are units that are waited for, for a while, before
    it is started first.
    """

    name: str
    kind: Kind
    argv: tuple[str, ...]
    env: tuple[tuple[str, str], ...] = ()
    namespace: str | None = None
    listens: str = ""
    then: tuple[tuple[str, ...], ...] = ()
    needs: tuple[str, ...] = ()
    version: str = ""

    @property
    def digest(self) -> str:
        """Changes when the unit must be started anew to be what is wanted."""
        told = (self.argv, self.env, self.namespace, self.then, self.version)
        return hashlib.sha256(repr(told).encode()).hexdigest()[:16]

    @property
    def command(self) -> tuple[str, ...]:
        """`argv` inside its namespace. nsenter and not `ip netns exec`, which would make a mount
        namespace as well, and what a host agent mounts must be seen by everybody.
        """
        if self.namespace is None:
            return self.argv
        return ("nsenter", f"--net={namespace_path(self.namespace)}", "--", *self.argv)


def namespace_path(name: str) -> Path:
    return Path("/run/netns") / name


def engines(settings: Settings) -> list[Unit]:
    """OVN's central part, and the virtual host's switch with its controller."""
    return [*_central(settings), *_switch(settings)]


def roles(settings: Settings, *, config: Path, version: str) -> list[Unit]:
    """Our own processes. `version` stands for what they read at their start: code, settings,
    certificates. Another version means another start.
    """
    public = f"tcp:{settings.public_address}"

    def role(
        name: str,
        *,
        listens: str = "",
        namespace: str | None = None,
        needs: tuple[str, ...] = ("ovn-northd", "ovn-controller"),
    ) -> Unit:
        return Unit(
            name=name,
            kind=Kind.ROLE,
            argv=(sys.executable, "-m", "kumoi.main", "role", name, "--config", str(config)),
            env=(ONE_HEAP,),
            namespace=namespace,
            listens=listens,
            needs=needs,
            version=version,
        )

    return [
        role("api", listens=f"{public}:{settings.api_port}"),
        role("worker"),
        role("agent", namespace=settings.host_name, needs=("api",)),
        role("pipeline", listens=f"{public}:{settings.pipeline_port}"),
    ]


def table(settings: Settings, *, config: Path, only_engines: bool) -> list[Unit]:
    """Everything that must run, in the order of starting."""
    if only_engines:
        return engines(settings)
    certificates = [path.stat().st_mtime_ns for path in sorted(settings.pki_dir.glob("*.crt"))]
    told = (code_version(), settings, certificates)
    version = hashlib.sha256(repr(told).encode()).hexdigest()[:16]
    return [*engines(settings), *roles(settings, config=config, version=version)]


def stop_order(wanted: Sequence[Unit]) -> list[frozenset[str]]:
    """Roles at once, then engines, each when nothing is left that needs it."""
    left = [unit for unit in wanted if unit.kind is Kind.ENGINE]
    groups = [frozenset(unit.name for unit in wanted if unit.kind is Kind.ROLE)]
    while left:
        needed = {name for unit in left for name in unit.needs}
        last = [unit for unit in left if unit.name not in needed]
        groups.append(frozenset(unit.name for unit in last))
        left = [unit for unit in left if unit not in last]
    return groups


def boot_file(settings: Settings) -> Path:
    """Names the virtual host's boot, which ends when its servers are stopped with it."""
    return settings.run_dir / "host-boot"


def code_version() -> str:
    """Changes whenever a file of ours does, so that `up` starts the new code."""
    package = Path(__file__).parents[1]
    stats = ((path, path.stat()) for path in sorted(package.rglob("*.py")))
    told = [(str(path), stat.st_size, stat.st_mtime_ns) for path, stat in stats]
    return hashlib.sha256(repr(told).encode()).hexdigest()[:16]


def ovn_database(settings: Settings, which: str) -> Path:
    """The file of a central database, "ovnnb" or "ovnsb"."""
    return settings.state / "ovn" / f"{which}_db.db"


def switch_database(settings: Settings) -> Path:
    return settings.state / "ovs" / "conf.db"


def switch_dir(settings: Settings) -> Path:
    """Sockets of the virtual host's switch."""
    return settings.run_dir / "ovs"


def _central(settings: Settings) -> list[Unit]:
    env = (("OVN_RUNDIR", str(settings.run_dir)), ("OVS_RUNDIR", str(settings.run_dir)))
    databases = [
        Unit(
            name=f"{which}-db",
            kind=Kind.ENGINE,
            argv=(
                "/usr/sbin/ovsdb-server",
                str(ovn_database(settings, which)),
                f"--remote=p{remote}",
                f"--unixctl={settings.run_dir / f'{which}_db.ctl'}",
                *CONSOLE_LOG,
            ),
            env=env,
            listens=remote,
        )
        for which, remote in (
            ("ovnnb", settings.northbound_remote),
            ("ovnsb", settings.southbound_remote),
        )
    ]
    control = settings.run_dir / "ovn-northd.ctl"
    northd = Unit(
        name="ovn-northd",
        kind=Kind.ENGINE,
        argv=(
            "/usr/bin/ovn-northd",
            f"--ovnnb-db={settings.northbound_remote}",
            f"--ovnsb-db={settings.southbound_remote}",
            f"--unixctl={control}",
            *CONSOLE_LOG,
        ),
        env=env,
        listens=f"unix:{control}",
        needs=("ovnnb-db", "ovnsb-db"),
    )
    return [*databases, northd]


def _switch(settings: Settings) -> list[Unit]:
    run = switch_dir(settings)

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
            kind=Kind.ENGINE,
            argv=(program, *arguments, *CONSOLE_LOG),
            env=tuple((key, str(run)) for key in ("OVS_RUNDIR", "OVN_RUNDIR", "OVS_DBDIR")),
            namespace=settings.host_name,
            listens=listens,
            needs=needs,
            then=then,
        )

    remote = settings.switch_remote
    return [
        engine(
            name="ovs-db",
            program="/usr/sbin/ovsdb-server",
            arguments=(
                str(switch_database(settings)),
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
            then=_switch_settings(settings),
        ),
        engine(
            name="ovn-controller",
            program="/usr/bin/ovn-controller",
            arguments=(remote,),
            # Its control socket is named for its pid; that it made its bridge shows that it works.
            listens=f"unix:{run / 'br-int.mgmt'}",
            needs=("ovs-vswitchd", "ovnsb-db"),
        ),
    ]


def _switch_settings(settings: Settings) -> tuple[tuple[str, ...], ...]:
    """The virtual host's bridges, and its tunnel address: a user-space switch takes its bridges'
    links along when it dies, so the address is given again at every start.
    """
    host = settings.host_name
    prefix = settings.underlay_cidr.partition("/")[2]
    external_ids = {
        "system-id": host,
        "hostname": host,
        "ovn-remote": f'"{settings.southbound_remote}"',
        "ovn-encap-type": "geneve",
        "ovn-encap-ip": settings.host_underlay_address,
        "ovn-bridge-datapath-type": "netdev",
        "ovn-bridge-mappings": "physnet1:br-ex",
        "ovn-ofctrl-wait-before-clear": str(CONTROLLER_LOST_WAIT_MS),
    }
    configure = ["ovs-vsctl", f"--db={settings.switch_remote}", "--timeout=10"]
    configure += ["--", "set", "open", "."]
    configure += [f"external-ids:{key}={value}" for key, value in external_ids.items()]
    for bridge, port in (("br-phy", "eth0"), ("br-ex", "eth1")):
        configure += ["--", "--may-exist", "add-br", bridge]
        configure += ["--", "set", "bridge", bridge, "datapath_type=netdev"]
        configure += ["--", "--may-exist", "add-port", bridge, port]
    address = f"{settings.host_underlay_address}/{prefix}"
    return (
        ("ovs-vsctl", f"--db={settings.switch_remote}", "--no-wait", "--timeout=10", "init"),
        tuple(configure),
        ("ip", "-n", host, "address", "replace", address, "dev", "br-phy"),
        ("ip", "-n", host, "link", "set", "dev", "br-phy", "up"),
    )
