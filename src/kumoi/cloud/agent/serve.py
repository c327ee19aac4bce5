"""The agent of one host, put together: the real driver, the real switch, the real control plane.

Called by main.py. Must run in the host's network namespace and in the machine's mount namespace
(`nsenter --net=…`, not `ip netns exec`, which hides the control groups).
"""

from __future__ import annotations

import asyncio
import contextlib
import pwd
import ssl
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from kumoi import addresses, members
from kumoi.base import files, log, process
from kumoi.base.clock import Clock
from kumoi.base.errors import Permanent
from kumoi.base.files import Promise
from kumoi.base.ids import new_hex_id
from kumoi.cloud.agent import inventory
from kumoi.cloud.agent.agent import Agent
from kumoi.cloud.agent.arrivals import Arrivals
from kumoi.cloud.agent.connection_room import ConnectionRoom
from kumoi.cloud.agent.consoles import Consoles
from kumoi.cloud.agent.departures import Departures
from kumoi.cloud.agent.disk_room import DiskRoom
from kumoi.cloud.agent.fence import files_of
from kumoi.cloud.agent.fenced import Fenced, Fencing, NoFence
from kumoi.cloud.agent.files import WANTED_DIR, ThingFiles
from kumoi.cloud.agent.images import Images
from kumoi.cloud.agent.kernel_room import KernelRoom
from kumoi.cloud.agent.kinds.arrival import ArrivalKind
from kumoi.cloud.agent.kinds.interface import AnyKind
from kumoi.cloud.agent.kinds.load_balancer import LoadBalancerKind
from kumoi.cloud.agent.kinds.server import ServerKind
from kumoi.cloud.agent.probing import ProberProcess, Probing
from kumoi.cloud.agent.renewal import Renewal
from kumoi.cloud.agent.snapshots import Snapshots
from kumoi.cloud.agent.trust import TRUST_FILE, TrustFile
from kumoi.cloud.drivers.instance import fence, registry
from kumoi.cloud.drivers.instance.interface import InstanceDriver
from kumoi.cloud.drivers.instance.kernel import BOOT_ID
from kumoi.cloud.drivers.instance.switchboard import SharedSwitch
from kumoi.cloud.drivers.load_balancer.haproxy.apply import Proxies, ProxyLaunch
from kumoi.cloud.drivers.load_balancer.proxy_group import ProxyGroup
from kumoi.cloud.drivers.load_balancer.station import Stations
from kumoi.cloud.drivers.network.interface import Switch
from kumoi.cloud.drivers.network.ovn.southbound import OvnSouthbound
from kumoi.cloud.drivers.network.ovs.apply import OvsSwitch
from kumoi.cloud.drivers.network.ovs.connections import SwitchConnections
from kumoi.cloud.hostapi.client import HttpUpstream, tls_context
from kumoi.cloud.hostapi.hello import HostHello
from kumoi.config import CloudSettings, HostSettings
from kumoi.hosts.units import rights, table
from kumoi.hosts.units import switch as switch_unit
from kumoi.hosts.units.confinement import launched
from kumoi.hosts.wires import neighbours

RoomFor = Callable[[HttpUpstream], ConnectionRoom]


async def serve(cloud: CloudSettings, host: HostSettings, clock: Clock) -> None:
    """Until cancelled."""
    loop, changed = asyncio.get_running_loop(), asyncio.Event()
    remote, certificate = members.southbound(cloud, host)
    with (
        OvsSwitch(host.switch_remote, changed=lambda: _tell(loop, changed)) as switch,
        OvnSouthbound(remote, certificate=certificate) as southbound,
    ):

        def connection_room(upstream: HttpUpstream) -> ConnectionRoom:
            return ConnectionRoom(
                zones=switch.list_zones,
                routers=southbound.routers,
                connections=SwitchConnections(switch_unit.control(table.switch_dir(host))),
                upstream=upstream,
                changed=changed,
                clock=clock,
                together=switch_unit.CONNECTIONS_TOGETHER,
            )

        await serve_with(
            cloud,
            host,
            clock,
            switch=switch,
            host_boot=identify_boot(host),
            connection_room=connection_room,
        )


def _tell(loop: asyncio.AbstractEventLoop, event: asyncio.Event) -> None:
    """From another thread."""
    with contextlib.suppress(RuntimeError):  # The loop has ended.
        loop.call_soon_threadsafe(event.set)


async def serve_with(
    cloud: CloudSettings,
    host: HostSettings,
    clock: Clock,
    *,
    switch: Switch,
    host_boot: str,
    connection_room: RoomFor | None = None,
) -> None:
    """The same with a switch and an identity of the host's boot that the caller names."""
    _require_control_groups()
    bound_servers(host)
    host_dir = host.agent_dir
    host_dir.mkdir(parents=True, exist_ok=True)
    host_dir.chmod(0o711)  # Processes of servers reach their files below it.
    shared = SharedSwitch(switch)
    with contextlib.ExitStack() as stack:
        drivers = {
            name: stack.enter_context(driver.opened(switch=shared, host_boot=host_boot))
            for name, driver in registry.on_host(host_dir, host.name).items()
        }
        await serve_drivers(
            cloud,
            host,
            clock,
            drivers=drivers,
            switch=shared,
            host_boot=host_boot,
            connection_room=connection_room,
        )


async def serve_drivers(
    cloud: CloudSettings,
    host: HostSettings,
    clock: Clock,
    *,
    drivers: Mapping[str, InstanceDriver],
    host_boot: str,
    switch: Switch | None = None,
    connection_room: RoomFor | None = None,
) -> None:
    """The same with drivers that the caller has opened. Without a switch the host has servers only."""
    host_dir = host.agent_dir

    tls = tls_context(host.pki_dir, host.name)
    fenced = Fenced(files_of(host), host.name, cloud.ha_policy) if cloud.is_replicated else None
    async with _upstream(cloud, host, tls) as upstream:
        images = Images(
            drivers=drivers, upstream=upstream, directory=host_dir / "downloads", clock=clock
        )
        servers = _servers(
            host,
            drivers,
            images,
            upstream,
            host_boot,
            fenced=fenced or NoFence(),
            departures=_departures(host, drivers) if cloud.is_cluster else None,
        )
        arrivals = Arrivals(drivers=drivers, pki_dir=host.pki_dir, host_name=host.name, clock=clock)
        kinds: list[AnyKind] = [
            servers,
            ArrivalKind(drivers=drivers, images=images, arrivals=arrivals),
        ]
        if switch is not None:
            kinds.append(_balancers(cloud, host, switch, clock))
        agent = Agent(
            kinds=kinds,
            upstream=upstream,
            files=ThingFiles(host_dir / WANTED_DIR),
            trust=TrustFile(host_dir / TRUST_FILE),
            images=images,
            hello=_hello(host, drivers),
            clock=clock,
            fenced=fenced,
            switch_remote=host.switch_remote if switch is not None else "",
        )
        log.event("agent.started", host=host.name)
        async with asyncio.TaskGroup() as tasks:
            if cloud.is_cluster:
                tasks.create_task(Renewal(host, upstream, tls, clock).run())
            tasks.create_task(DiskRoom(host_dir, drivers.values()).run())
            tasks.create_task(KernelRoom(drivers.values()).run())
            if connection_room is not None:
                tasks.create_task(connection_room(upstream).run())
            await agent.run()


def _hello(
    host: HostSettings, drivers: Mapping[str, InstanceDriver]
) -> Callable[[str, frozenset[str]], HostHello]:
    """What the host has, each time that it is asked."""

    def hello(epoch: str, ready_images: frozenset[str]) -> HostHello:
        return inventory.take(
            epoch=epoch,
            hostname=host.name,
            address=host.underlay_address,
            host_dir=host.agent_dir,
            offers={name: driver.offer for name, driver in drivers.items()},
            allocation=inventory.allocation(
                host, servers_bytes=sum(driver.disk_bytes() for driver in drivers.values())
            ),
            ready_images=ready_images,
            leads_outside=host.has_edge,
        )

    return hello


def _servers(
    host: HostSettings,
    drivers: Mapping[str, InstanceDriver],
    images: Images,
    upstream: HttpUpstream,
    host_boot: str,
    *,
    fenced: Fencing,
    departures: Departures | None,
) -> ServerKind:
    return ServerKind(
        drivers=drivers,
        images=images,
        snapshots=Snapshots(
            drivers=drivers, upstream=upstream, directory=host.agent_dir / "snapshots"
        ),
        consoles=Consoles(drivers=drivers, upstream=upstream),
        host_boot=host_boot,
        departures=departures,
        fenced=fenced,
    )


def _departures(host: HostSettings, drivers: Mapping[str, InstanceDriver]) -> Departures:
    """Where there is no other host nobody listens."""
    return Departures(
        drivers=drivers, address=host.underlay_address, pki_dir=host.pki_dir, host_name=host.name
    )


def _upstream(cloud: CloudSettings, host: HostSettings, tls: ssl.SSLContext) -> HttpUpstream:
    urls = addresses.host_api_urls(cloud, host.name)
    return HttpUpstream(urls, tls=tls, known=host.known_control_hosts)


def _balancers(
    cloud: CloudSettings, host: HostSettings, switch: Switch, clock: Clock
) -> LoadBalancerKind:
    directory = host.agent_dir / "load-balancers"
    stations = Stations(host_name=host.name, directory=directory, switch=switch)

    def start_prober(end: int) -> None:
        """With that end of a pair of sockets, by which it is told what to probe."""
        argv = (sys.executable, "-I", "-m", "kumoi.cloud.agent.prober", str(end))
        confined = launched(rights.of_unit(cloud, host, "prober"), argv)
        process.start(confined, log=host.log_dir / "prober.log", descriptors=[end])

    def start_proxy(wanted: ProxyLaunch) -> subprocess.Popen[bytes]:
        """As the user of proxies, in the network and the directory of its own."""
        own = replace(proxy, state=str(wanted.state), writes=(str(wanted.state),))
        confined = replace(own, reads=(str(wanted.config),))
        argv = launched(confined, wanted.argv, namespace=str(wanted.namespace))
        return process.start(argv, log=host.log_dir / "proxy.log", descriptors=wanted.descriptors)

    proxy = rights.of_unit(cloud, host, "proxy")
    user = pwd.getpwnam(proxy.user)
    group = ProxyGroup(host.name, inventory.ram_mib(inventory.MEMINFO.read_text()))
    group.ensure()
    owner = (user.pw_uid, user.pw_gid)
    proxies = Proxies(stations, Path(proxy.state), owner, start_proxy, group)
    prober = ProberProcess(start_prober, stations.opened)
    return LoadBalancerKind(stations=stations, proxies=proxies, probing=Probing(prober, clock))


def identify_boot(host: HostSettings, *, boot_id: Path = BOOT_ID) -> str:
    """The identity of this boot of the host: of the machine's boot, and of the virtual host's, which
    begins with `kumoi up` and ends with `kumoi down`. Servers that ran in an earlier boot are started
    again; a server that ended in this one ended by itself.
    """
    path = table.boot_file(host)
    path.parent.mkdir(parents=True, exist_ok=True)
    machine = boot_id.read_text().strip()
    if not path.exists() or not path.read_text().startswith(machine):
        files.replace(path, f"{machine} {new_hex_id()}", promise=Promise.KILL)
    return path.read_text()


def bound_servers(host: HostSettings) -> None:
    """What all servers may take together, before any driver starts one."""
    fence.raise_pid_max()
    fence.raise_counts()
    fence.halve_waiting_signals()
    fence.free_message_queues()
    neighbours.raise_most()
    ram_mib = inventory.ram_mib(inventory.MEMINFO.read_text())
    most = fence.bounds(ram_mib=ram_mib, reserved_mib=host.reserved_host_memory_mib)
    fence.ensure(host.name, most)


def _require_control_groups() -> None:
    root = Path("/sys/fs/cgroup")
    if not any(root.glob("*/cgroup.procs")) and not (root / "cgroup.procs").exists():
        raise Permanent("control groups cannot be seen: start the agent with nsenter --net")
