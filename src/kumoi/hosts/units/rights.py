"""What each unit may, a row a unit: its user and groups, what it reads and writes, its capabilities
and kinds of sockets.

Pure, as units/table.py is, which asks here. Our own launcher and systemd hold a unit to its row;
ownership.py gives the directories that stand here to their users; docs/guide/operate.md shows the
table to people, and a test holds it to this one.
"""

from __future__ import annotations

from pathlib import Path

from kumoi import members
from kumoi.config import CloudSettings, HostSettings, Role
from kumoi.hosts.units import users
from kumoi.hosts.units.confinement import (
    INET,
    INET6,
    NETLINK,
    PACKET,
    ROOT,
    UNIX,
    Confinement,
)
from kumoi.members import OvnDatabase

NETWORKED = (UNIX, INET, INET6)
TUN = Path("/dev/net/tun")
CONTROL_GROUPS = Path("/sys/fs/cgroup")
DRAFTS = Path("/tmp")  # noqa: S108 - ovsdb-server asks libc's tmpfile(), which knows no other place
LINKS = (Path("/sys/class/net"), Path("/sys/devices"))  # Of its network namespace.


def of_unit(cloud: CloudSettings, host: HostSettings, unit: str) -> Confinement:
    """The row of one unit."""
    rows = {
        members.ETCD: _etcd,
        members.PATRONI: _patroni,
        users.INSPECTOR: _inspector,
        users.AUTHORITY: _authority,
        "api": _api,
        "worker": _worker,
        users.REPOSITORIES: _repositories,
        members.COPIES: _copies,
        members.HEALTH: _health,
        members.KEEPALIVED: _keepalived,
        "pipeline": _pipeline,
        "agent": _agent,
        "ovnnb-db": _northbound,
        "ovnsb-db": _southbound,
        "ovn-northd": _northd,
        "ovs-db": _switch_database,
        "ovs-vswitchd": _switch,
        "ovn-controller": _controller,
        users.FENCE: _fence,
        "prober": _prober,
        "proxy": _proxy,
    }
    return rows[unit](cloud, host)


def settings_dir(host: HostSettings, role: str) -> Path:
    """What a role is told of the settings."""
    return host.state / "settings" / role


def run_dir(host: HostSettings, unit: str) -> Path:
    """Where an engine's sockets are: its own, and others pass through. The switch's has the name that
    the release before asks for.
    """
    return host.run_dir / ("ovs" if unit == "ovs-vswitchd" else unit)


def keepalived_file(host: HostSettings) -> Path:
    """What keepalived is to do."""
    return settings_dir(host, members.KEEPALIVED) / "keepalived.conf"


def health_file(host: HostSettings) -> Path:
    """What the unit `health` tells keepalived: a number."""
    return run_dir(host, members.HEALTH) / "health"


def ovn_control(host: HostSettings, database: OvnDatabase) -> Path:
    """Where the server of one of OVN's databases is asked about its members."""
    return run_dir(host, database.unit) / "control.ctl"


def of_pipeline(host: HostSettings) -> tuple[Path, ...]:
    """The pipeline's own, all of it."""
    return (
        host.pipeline_dir,
        host.state / "git-spool",
        host.run_dir / "pipeline",
        host.wake_dir / "pipeline",
    )


def of_repositories(host: HostSettings) -> tuple[Path, ...]:
    """What was pushed, with the hooks of it."""
    return host.state / "git", host.state / "git-hooks", host.run_dir / "repositories"


def of_copies(host: HostSettings) -> tuple[Path, ...]:
    """What is on its way from one control host to another."""
    return (host.state / "copies",)


def certificate(host: HostSettings, name: str) -> tuple[Path, Path, Path]:
    """Key, certificate and authority."""
    return host.pki_dir / f"{name}.key", host.pki_dir / f"{name}.crt", host.pki_dir / "ca.crt"


# Roles.


def _api(cloud: CloudSettings, host: HostSettings) -> Confinement:
    asked = (users.INSPECTOR, users.AUTHORITY)
    return _row(
        cloud,
        host,
        Role.API,
        groups=_groups(
            cloud, host, *(unit for unit in asked if users.is_needed(cloud, host, unit))
        ),
        state=host.store_dir,
        writes=(host.image_dir, members.token_keys_dir(host), host.wake_dir),
        reads=(
            settings_dir(host, Role.API),
            *certificate(host, "api"),
            *_of_store(cloud, host, members.CLOUD),
            *_of_leases(cloud, host),
        ),
        families=NETWORKED,
    )


def _inspector(cloud: CloudSettings, host: HostSettings) -> Confinement:
    """It has what it is handed."""
    return _row(
        cloud,
        host,
        users.INSPECTOR,
        state=run_dir(host, users.INSPECTOR),
        reads=(settings_dir(host, users.INSPECTOR),),
        forks_readers=True,
    )


def _authority(cloud: CloudSettings, host: HostSettings) -> Confinement:
    """The only unit that reads the authority's key. It has no network and no store."""
    key, public, _ = certificate(host, "ca")
    return _row(
        cloud,
        host,
        users.AUTHORITY,
        state=run_dir(host, users.AUTHORITY),
        reads=(settings_dir(host, users.AUTHORITY), key, public),
    )


def _worker(cloud: CloudSettings, host: HostSettings) -> Confinement:
    return _row(
        cloud,
        host,
        Role.WORKER,
        state=host.store_dir,
        writes=(host.image_dir, host.wake_dir),
        reads=(
            settings_dir(host, Role.WORKER),
            *_of_store(cloud, host, members.CLOUD),
            *(members.northbound(cloud, host)[1] or ()),
            *_of_leases(cloud, host),
        ),
        families=NETWORKED,
    )


def _pipeline(cloud: CloudSettings, host: HostSettings) -> Confinement:
    state, *others = of_pipeline(host)
    return _row(
        cloud,
        host,
        Role.PIPELINE,
        groups=_groups(cloud, host, users.REPOSITORIES),  # Each connects to the other's socket.
        state=state,
        writes=tuple(others),
        reads=(
            settings_dir(host, Role.PIPELINE),
            *certificate(host, "pipeline"),
            *_of_store(cloud, host, members.PIPELINE),
        ),
        families=(*NETWORKED, NETLINK),  # openstacksdk asks for the machine's addresses.
    )


def _repositories(cloud: CloudSettings, host: HostSettings) -> Confinement:
    """It reads what tenants push: no network, no key, no store."""
    state, *others = of_repositories(host)
    return _row(
        cloud,
        host,
        users.REPOSITORIES,
        state=state,
        writes=tuple(others),
        reads=(settings_dir(host, users.REPOSITORIES), host.state / "git-hooks"),
        starts_programs=True,
        forks_readers=True,
    )


def _copies(cloud: CloudSettings, host: HostSettings) -> Confinement:
    """It shares the images with API and worker, and asks for repositories as the pipeline does."""
    state, *others = of_copies(host)
    return _row(
        cloud,
        host,
        members.COPIES,
        groups=_groups(cloud, host, users.REPOSITORIES),
        state=state,
        writes=(host.image_dir, *others),
        reads=(
            settings_dir(host, members.COPIES),
            *members.certificate(host, members.COPIES),
        ),
        families=NETWORKED,
    )


def _health(cloud: CloudSettings, host: HostSettings) -> Confinement:
    """It asks as any client does, ends connections whose address has left, or has come from a host that is lost, and
    OVN's databases that gave up.
    """
    databases = ("ovnnb-db", "ovnsb-db") if members.has_ovn_member(cloud, host) else ()
    return _row(
        cloud,
        host,
        members.HEALTH,
        groups=_groups(cloud, host, *databases),
        state=run_dir(host, members.HEALTH),
        reads=(settings_dir(host, members.HEALTH), host.pki_dir / "ca.crt"),
        capabilities=("CAP_NET_ADMIN", "CAP_NET_RAW"),
        families=(*NETWORKED, NETLINK),
        starts_programs=True,
    )


def _agent(_cloud: CloudSettings, host: HostSettings) -> Confinement:
    """Root: it makes mounts, links, cgroups and maps of users, for every server. What is held back
    from it would be held back from servers too, which come of it.
    """
    return Confinement(
        user=ROOT,
        group=ROOT,
        state=str(host.agent_dir),
        starts_programs=True,
        umask=0o022,
        is_bounded=False,
    )


def _prober(cloud: CloudSettings, host: HostSettings) -> Confinement:
    """The agent starts it. It reads what members of balancers answer, and has the sockets that it is
    given.
    """
    return _row(cloud, host, "prober", state=run_dir(host, "prober"))


def _proxy(cloud: CloudSettings, host: HostSettings) -> Confinement:
    """The agent starts one for each balancer, in a network of the balancer's own and a directory of
    its own below this one.
    """
    return _row(cloud, host, "proxy", state=run_dir(host, "proxy"), families=NETWORKED)


def _fence(cloud: CloudSettings, host: HostSettings) -> Confinement:
    """It ends servers, which are anybody's processes, by their control groups, which are root's."""
    return _row(
        cloud,
        host,
        users.FENCE,
        state=run_dir(host, users.FENCE),
        writes=(CONTROL_GROUPS,),
        reads=(settings_dir(host, users.FENCE), *certificate(host, host.name)),
        capabilities=("CAP_DAC_OVERRIDE", "CAP_IPC_LOCK", "CAP_KILL", "CAP_SYS_NICE"),
        families=NETWORKED,
        is_followed=True,
    )


def _of_store(cloud: CloudSettings, host: HostSettings, store: str) -> tuple[Path, ...]:
    """By which a role is known to PostgreSQL, where that is the store."""
    if not cloud.is_replicated:
        return ()
    return members.certificate(host, members.store_certificate(store))


def _of_leases(cloud: CloudSettings, host: HostSettings) -> tuple[Path, ...]:
    """By which API and worker are known to etcd."""
    return members.certificate(host, members.LEASES) if cloud.is_replicated else ()


# Engines.


def _etcd(cloud: CloudSettings, host: HostSettings) -> Confinement:
    return _row(
        cloud,
        host,
        members.ETCD,
        state=members.etcd_dir(host),
        reads=members.certificate(host, members.ETCD),
        families=NETWORKED,
    )


def _patroni(cloud: CloudSettings, host: HostSettings) -> Confinement:
    """With PostgreSQL, which it starts and which goes on without it."""
    return _row(
        cloud,
        host,
        members.PATRONI,
        state=members.postgres_dir(host),
        writes=(run_dir(host, members.PATRONI),),
        reads=(
            settings_dir(host, members.PATRONI),
            *members.certificate(host, members.PATRONI),
        ),
        families=NETWORKED,
        starts_programs=True,
        is_followed=True,
    )


def _keepalived(cloud: CloudSettings, host: HostSettings) -> Confinement:
    """It gives a link an address, says so by ARP, and speaks VRRP, a protocol beside TCP and UDP."""
    return _row(
        cloud,
        host,
        members.KEEPALIVED,
        groups=_groups(cloud, host, members.HEALTH),
        state=run_dir(host, members.KEEPALIVED),
        reads=(settings_dir(host, members.KEEPALIVED), run_dir(host, members.HEALTH)),
        capabilities=("CAP_NET_ADMIN", "CAP_NET_RAW"),
        families=(*NETWORKED, NETLINK, PACKET),
    )


def _northbound(cloud: CloudSettings, host: HostSettings) -> Confinement:
    is_member = members.has_ovn_member(cloud, host)
    return _row(
        cloud,
        host,
        "ovnnb-db",
        groups=(users.databases_group(cloud, host),),
        state=host.state / "ovn",
        writes=(run_dir(host, "ovnnb-db"), DRAFTS),
        reads=members.certificate(host, "ovnnb-db") if is_member else (),
        families=NETWORKED if is_member else (UNIX,),
    )


def _southbound(cloud: CloudSettings, host: HostSettings) -> Confinement:
    """Where there are other hosts, their controllers come with certificates."""
    is_member = members.has_ovn_member(cloud, host)
    far = is_member or cloud.is_cluster
    told = members.ovn_certificate if is_member else certificate
    return _row(
        cloud,
        host,
        "ovnsb-db",
        groups=(users.databases_group(cloud, host),),
        state=host.state / "ovn",
        writes=(run_dir(host, "ovnsb-db"), DRAFTS),
        reads=told(host, "ovnsb-db") if far else (),
        families=NETWORKED if far else (UNIX,),
    )


def _northd(cloud: CloudSettings, host: HostSettings) -> Confinement:
    is_member = members.has_ovn_member(cloud, host)
    return _row(
        cloud,
        host,
        "ovn-northd",
        groups=_groups(cloud, host, "ovnnb-db", "ovnsb-db"),
        state=run_dir(host, "ovn-northd"),
        reads=members.ovn_certificate(host, members.NORTHD) if is_member else (),
        families=NETWORKED if is_member else (UNIX,),
    )


def _switch_database(cloud: CloudSettings, host: HostSettings) -> Confinement:
    return _row(
        cloud, host, "ovs-db", state=host.state / "ovs", writes=(run_dir(host, "ovs-db"), DRAFTS)
    )


def _switch(cloud: CloudSettings, host: HostSettings) -> Confinement:
    """It makes links and takes packets from them, in its host's network namespace."""
    return _row(
        cloud,
        host,
        "ovs-vswitchd",
        groups=_groups(cloud, host, "ovs-db"),
        state=run_dir(host, "ovs-vswitchd"),
        reads=LINKS,
        writes=(TUN,),
        capabilities=("CAP_NET_ADMIN", "CAP_NET_RAW"),
        families=(*NETWORKED, NETLINK, PACKET),
    )


def _controller(cloud: CloudSettings, host: HostSettings) -> Confinement:
    """It reaches the central database by a socket, or by TLS with its host's certificate."""
    near = Role.NETWORK in host.roles and not members.has_ovn_member(cloud, host)
    return _row(
        cloud,
        host,
        "ovn-controller",
        groups=_groups(cloud, host, "ovs-db", "ovs-vswitchd", *(("ovnsb-db",) if near else ())),
        state=run_dir(host, "ovn-controller"),
        reads=() if near else certificate(host, host.name),
        families=(*((UNIX,) if near else NETWORKED), NETLINK),
    )


def _groups(cloud: CloudSettings, host: HostSettings, *units: str) -> tuple[str, ...]:
    """Of those whose sockets it connects to."""
    return tuple(users.group_of(cloud, host, unit) for unit in units)


def _row(
    cloud: CloudSettings,
    host: HostSettings,
    unit: str,
    *,
    state: Path,
    groups: tuple[str, ...] = (),
    writes: tuple[Path, ...] = (),
    reads: tuple[Path, ...] = (),
    capabilities: tuple[str, ...] = (),
    families: tuple[str, ...] = (UNIX,),
    starts_programs: bool = False,
    forks_readers: bool = False,
    is_followed: bool = False,
) -> Confinement:
    return Confinement(
        user=users.name_of(cloud, host, unit),
        group=users.group_of(cloud, host, unit),
        groups=groups,
        state=str(state),
        reads=tuple(map(str, reads)),
        writes=tuple(map(str, (state, *writes))),
        capabilities=capabilities,
        families=families,
        starts_programs=starts_programs,
        forks_readers=forks_readers,
        is_followed=is_followed,
    )
