"""Two hosts under one control plane: a cloud of one host is opened, and another joins with a token. It
has a name, a directory, a switch, a supervisor and an agent of its own, and reaches OVN with a
certificate.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.system.asking import Asking, asking
from tests.system.live import (
    LiveCloud,
    another_release,
    eventually,
    kept_by_us,
    live_cloud,
    pings,
    ssh_banner,
)
from tests.system.tenant import Tenant, tenant
from tests.system.test_balancer_proxied import KNOCK, MONITOR, HttpShop
from tests.system.test_load_balancer import PORT

import kumoi
from kumoi.base import namespace, process
from kumoi.base.process import run
from kumoi.cloud.drivers.load_balancer import station
from kumoi.cloud.drivers.network.ovs.apply import OvsSwitch
from kumoi.cloud.drivers.network.ovs.connections import SwitchConnections
from kumoi.cloud.hostapi.hello import PROTOCOL
from kumoi.config import CloudSettings, HostSettings, read, write
from kumoi.drill import tenant as drill_tenant
from kumoi.drill.load import Load
from kumoi.hosts.units import releases, running, switch, table
from kumoi.hosts.wires import links, virtual

pytestmark = [pytest.mark.system, pytest.mark.timeout(240)]

BOUND_S = 30.0
DEATHS = 8
"""Of proxies and of our processes, while a balancer is asked."""
PINGS_AT_ONCE, PINGS_FOR_LONG = 2_000, 600_000
# Of tens of thousands: a switch whose process waited for its turn, a quarter of a second once, has dropped one. A link that
# is plugged anew, or a switch that starts, costs hundreds.
STALLED_MOST = 3
LINKS_THAT_COME_AND_GO = 100 * "link add come type veth peer name go\nlink delete come\n"
UPGRADE_S = 500.0
SECOND_NAME = "rack7-blade3.example.org"  # Longer than a link's name may be.


@dataclass(frozen=True)
class Pair:
    """`first` runs everything, `second` only servers."""

    first: LiveCloud
    second: LiveCloud

    def of(self, host: str) -> LiveCloud:
        return self.second if host == SECOND_NAME else self.first


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveCloud]:
    """A cloud of one host, as `up` makes it. Purging it purges the other host as well."""
    home = tmp_path_factory.mktemp("home")
    with live_cloud("kpair", home) as first:
        yield first


@pytest.fixture(scope="module")
def user(alone: LiveCloud, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tenant]:
    with tenant(alone, "pair", tmp_path_factory.mktemp("user")) as user:
        user.wire("192.168.77.0/24")
        yield user


@pytest.fixture(scope="module")
def group(user: Tenant) -> str:
    """Of servers that are on different hosts."""
    made = user.cloud.compute.create_server_group(name="apart", policy="anti-affinity")
    return str(made.id)


@pytest.fixture(scope="module")
def one(user: Tenant, group: str) -> Any:
    """The server that is there before there is another host."""
    return user.settled(user.begin_server("one", scheduler_hints={"group": group}))


@dataclass(frozen=True)
class Opening:
    """What a server's pings at 1 ms lost while its cloud was opened to other hosts."""

    sent: int
    lost: int
    pid_before: int
    pid_after: int


@pytest.fixture(scope="module")
def opening(alone: LiveCloud, user: Tenant, one: Any) -> Opening:
    before = alone.init_pid(one.id)
    with ThreadPoolExecutor(1) as beside:
        done = threading.Event()
        counts = beside.submit(_ping_until, done, before, str(user.subnet.gateway_ip))
        try:
            alone.kumoi("cluster", "create", timeout_s=180)
        finally:
            done.set()
        sent, received = counts.result()
    return Opening(sent, sent - received, before, alone.init_pid(one.id))


def _ping_until(done: threading.Event, pid: int, address: str) -> tuple[int, int]:
    """How many pings were sent, and answered, until then."""
    sent = received = 0
    while not done.is_set():
        with pings(pid, address, PINGS_AT_ONCE) as pinging:
            text = pinging.communicate(timeout=60)[0]
        match = re.search(r"(\d+) packets transmitted, (\d+) received", text)
        if match is None:
            raise AssertionError(text)
        sent, received = sent + int(match[1]), received + int(match[2])
    return sent, received


@pytest.fixture(scope="module")
def pair(alone: LiveCloud, opening: Opening) -> Pair:
    """The second joins with a token, killed once on its way."""
    state = Path(f"{alone.here.state_dir}-2")
    state.mkdir()
    write(kept_by_us(HostSettings(state_dir=str(state))), state)
    token = alone.kumoi("cluster", "token", SECOND_NAME).out.strip()
    join = [sys.executable, "-m", "kumoi.main", "cluster", "join", token, "--state-dir", str(state)]
    with subprocess.Popen(join, env=alone.env, stdout=subprocess.DEVNULL) as killed:
        key = state / "pki" / f"{SECOND_NAME}.key"
        eventually(key.exists, within_s=60, what="it has made its key")
        killed.kill()
    run(join, env=alone.env, timeout_s=180)
    config, second = read(CloudSettings, state).settings, read(HostSettings, state).settings
    return Pair(
        LiveCloud(config, alone.here, alone.config_home),
        LiveCloud(config, second, alone.config_home),
    )


@pytest.fixture(scope="module")
def servers(pair: Pair, user: Tenant, one: Any, group: str) -> dict[str, Any]:
    """One on each host, by the host's name."""
    eventually(lambda: len(_hosts(pair)) == 2, within_s=BOUND_S, what="two hosts are up")
    two = user.settled(user.begin_server("two", scheduler_hints={"group": group}))
    with pair.first.connect(admin=True) as admin:
        return {admin.compute.get_server(item.id).compute_host: item for item in (one, two)}


def test_a_cloud_is_opened_to_other_hosts_with_no_packet_lost(opening: Opening) -> None:
    assert opening.sent >= PINGS_AT_ONCE
    assert opening.lost == 0
    assert opening.pid_after == opening.pid_before


def _hosts(pair: Pair) -> dict[str, str]:
    with pair.first.connect(admin=True) as admin:
        found = admin.compute.hypervisors(details=True)
        return {item.name: item.host_ip for item in found if item.state == "up"}


def _floating(user: Tenant, server: Any) -> str:
    """The floating address of a server, made if it has none."""
    inside = user.address(server)
    for floating_ip in user.cloud.network.ips(project_id=user.project_id):
        if floating_ip.fixed_ip_address == inside:
            return str(floating_ip.floating_ip_address)
    return user.floating(server)


def _tunnels(cloud: LiveCloud) -> str:
    control = cloud.here.run_dir / "ovs" / "ovs-vswitchd.ctl"
    return run(["ovs-appctl", "-t", control, "tnl/ports/show"]).out


def test_each_host_is_known_by_its_own_name_and_address(pair: Pair) -> None:
    wanted = {item.here.name: item.here.underlay_address for item in (pair.first, pair.second)}
    eventually(lambda: _hosts(pair) == wanted, within_s=BOUND_S, what="both hosts are up")
    shown = json.loads(pair.second.kumoi("status", "--json").out)
    names = {process["name"] for process in shown["processes"]}
    assert names == {"supervisor", "ovs-db", "ovs-vswitchd", "ovn-controller", "agent"}
    assert all(process["healthy"] for process in shown["processes"])
    whole = json.loads(pair.first.kumoi("status", "--json").out)
    others = whole["processes_of_others_here"]
    assert {row["name"] for row in others[SECOND_NAME]} == names
    hosts = whole["hosts"]
    said = {host["name"]: (host["release"], host["protocol"]) for host in hosts}
    assert said == dict.fromkeys(wanted, (kumoi.__version__, PROTOCOL))
    listed = json.loads(pair.first.kumoi("host", "list", "--json").out)
    roles = {host["name"]: host["roles"] for host in listed}
    assert roles == {item.here.name: list(item.here.roles) for item in (pair.first, pair.second)}


def test_servers_on_two_hosts_reach_each_other_through_a_tunnel(
    pair: Pair, user: Tenant, servers: dict[str, Any]
) -> None:
    assert set(servers) == {pair.first.here.name, SECOND_NAME}
    for host, server in servers.items():
        other = next(item for item in servers.values() if item.id != server.id)
        there = dataclasses.replace(user, live=pair.of(host))
        address = user.address(other)

        def pinged(there: Tenant = there, server: Any = server, address: str = address) -> bool:
            ping = ["ping", "-c", "1", "-W", "1", address]
            return there.inside(server, *ping, check=False).status == 0

        eventually(pinged, within_s=BOUND_S, what=f"{host} reaches {address}")
        assert "genev_sys_6081" in _tunnels(pair.of(host))


def test_each_host_holds_a_project_to_its_share_of_its_switchs_connections(
    pair: Pair, user: Tenant, servers: dict[str, Any]
) -> None:
    """With the project's router, which a host without OVN's databases knows by TLS."""
    for host, server in servers.items():
        here = pair.of(host).here
        (port,) = user.cloud.network.ports(device_id=server.id)
        connections = SwitchConnections(switch.control(table.switch_dir(here)))
        with OvsSwitch(here.switch_remote) as plugged:
            zone = plugged.list_zones()[port.id]

        def is_held(connections: SwitchConnections = connections, zone: int = zone) -> bool:
            return connections.uses([zone])[zone].limit <= switch.CONNECTIONS_PER_ZONE // 3

        eventually(is_held, within_s=BOUND_S, what=f"{host} divides the project's connections")


def test_links_that_come_and_go_cost_a_tunnel_no_packet(
    pair: Pair, user: Tenant, servers: dict[str, Any]
) -> None:
    """None of them reaches the kernel, which would say that nothing of its own listens there."""
    both = (pair.first.here.name, pair.second.here.name)
    here, there = servers[both[0]], servers[SECOND_NAME]
    before = [_received_at_no_port(host) for host in both]
    with pings(pair.first.init_pid(here.id), user.address(there), PINGS_FOR_LONG) as pinging:
        for host in both:
            run(["ip", "-n", host, "-batch", "-"], stdin=LINKS_THAT_COME_AND_GO)
        pinging.send_signal(signal.SIGINT)
        out, _ = pinging.communicate(timeout=30)
    assert int(re.findall(r"(\d+) received", out)[0]) > 0, out
    assert [_received_at_no_port(host) for host in both] == before


def _received_at_no_port(host: str) -> int:
    """How many UDP packets the kernel of a virtual host had and no socket."""
    names, values = run(["grep", "^Udp:", "/proc/net/snmp"], namespace=host).out.splitlines()
    return int(dict(zip(names.split(), values.split(), strict=True))["NoPorts"])


def test_either_host_leads_outside(pair: Pair, user: Tenant, servers: dict[str, Any]) -> None:
    northbound = f"--db={pair.first.here.northbound_remote}"
    ask = ["ovn-nbctl", northbound, "--bare", "--columns=chassis_name", "list", "Gateway_Chassis"]
    assert set(run(ask).out.split()) == set(servers)
    for host, server in servers.items():
        address = _floating(user, server)
        what = f"{host}'s server answers at {address}"
        eventually(lambda address=address: ssh_banner(address), within_s=BOUND_S, what=what)  # type: ignore[misc]


def _kill(pid: Callable[[], int], what: str) -> None:
    """And wait for the next one."""
    before = pid()
    os.kill(before, signal.SIGKILL)
    eventually(lambda: pid() not in (0, before), within_s=BOUND_S, what=f"another {what}")


def _go_on(load: Asking) -> None:
    """For this death's share of the time."""
    until = time.monotonic() + float(os.environ.get("KUMOI_LOAD_S", "0")) / DEATHS
    load.go_on()
    while time.monotonic() < until:
        load.go_on()


def _proxy(host: str, balancer: Any) -> int:
    """The process that serves a balancer's listeners on a host; 0 for none."""
    path = namespace.NAMESPACES / f"{station.prefix(host)}{balancer.id}"
    return next(iter(namespace.processes(path)), 0)


def test_a_balancer_by_http_goes_on_while_its_hosts_proxies_and_our_processes_die(
    pair: Pair, user: Tenant, servers: dict[str, Any]
) -> None:
    """Each once. What a proxy had accepted is asked once more; nothing else is lost. The requests last for
    KUMOI_LOAD_S seconds at least, and their numbers are printed.
    """
    user.allow(protocol="tcp", port_range_min=PORT, port_range_max=PORT)
    for host, server in servers.items():
        there = dataclasses.replace(user, live=pair.of(host))
        HttpShop(there, (server, server), server).serve(server)
    ends = [{"address": user.address(server), "protocol_port": PORT} for server in servers.values()]
    made = user.cloud.load_balancer.create_load_balancer(
        vip_subnet_id=user.subnet.id,
        listeners=[
            {
                "protocol": "HTTP",
                "protocol_port": 80,
                "default_pool": {
                    "protocol": "HTTP",
                    "lb_algorithm": "ROUND_ROBIN",
                    "members": ends,
                    "healthmonitor": MONITOR,
                },
            }
        ],
    )
    client = pair.first.init_pid(servers[pair.first.here.name].id)
    for host in servers:
        eventually(lambda host=host: _proxy(host, made), within_s=BOUND_S, what="a proxy")  # type: ignore[misc]
    knock = ["nsenter", "-t", str(client), "-n", sys.executable, "-c", KNOCK, made.vip_address]
    run(knock, timeout_s=60)
    began = time.monotonic()
    with asking(client, made.vip_address) as load:
        for host in servers:
            _kill(functools.partial(_proxy, host, made), "proxy")
            _go_on(load)
        only_first = [(pair.first, unit) for unit in ("api", "worker")]
        both = [
            (one, unit) for unit in ("agent", "ovn-controller") for one in (pair.first, pair.second)
        ]
        for live, unit in (*both, *only_first):
            _kill(functools.partial(live.pid, unit), unit)
            _go_on(load)
    took_s = time.monotonic() - began
    user.cloud.load_balancer.delete_load_balancer(made.id, cascade=True)
    sys.stdout.write(
        f"{took_s:.1f} s, {load.answered} answered, {len(load.lost)} asked once more, "
        f"{len(load.failures)} failed\n"
    )
    assert load.failures == []
    assert load.lost  # Of each client that kept its connection, when that proxy died.


def _gateway_host(pair: Pair, user: Tenant) -> str:
    """The host whose chassis has the way outside of the tenant's router now."""
    outside = user.cloud.network.find_network("public")
    with pair.first.connect(admin=True) as admin:
        ports = admin.network.ports(device_id=user.router.id, network_id=outside.id)
        (gateway,) = [port.id for port in ports]
    southbound = ["ovn-sbctl", f"--db={pair.first.here.southbound_remote}", "--bare"]
    look = ["--columns=chassis", "find", "Port_Binding", f"logical_port=cr-lrp-{gateway}"]
    chassis = run([*southbound, *look]).out.strip()
    if not chassis:
        return ""
    return run([*southbound, "--columns=name", "list", "Chassis", chassis]).out.strip()


@contextlib.contextmanager
def _cut_off(pair: Pair, host: str) -> Iterator[None]:
    """A host without its wires: to the others it is as one that lost its power."""
    cloud = pair.of(host)
    wires = virtual.veths(cloud.config, cloud.here)

    def switch(state: str) -> None:
        for veth in wires:
            run(["ip", "link", "set", "dev", veth.name, state], namespace=veth.namespace)

    switch("down")
    try:
        yield
    finally:
        switch("up")


def _silence_s(answers: Callable[[], bool], *, for_s: float) -> float:
    """The longest time in which nobody answered, asked all the time for so long."""
    began = last = time.monotonic()
    longest = 0.0
    while (now := time.monotonic()) - began < for_s:
        if answers():
            longest, last = max(longest, now - last), now
    return max(longest, time.monotonic() - last)


def _on_another_host(pair: Pair, user: Tenant, servers: dict[str, Any]) -> tuple[str, str, Any]:
    """The host that is the gateway, another one, and the server there."""
    gateway = eventually(lambda: _gateway_host(pair, user), within_s=BOUND_S, what="a gateway")
    other = next(host for host in servers if host != gateway)
    return gateway, other, servers[other]


def test_a_floating_ip_is_answered_by_its_servers_host_when_the_gateway_is_lost(
    pair: Pair, user: Tenant, servers: dict[str, Any]
) -> None:
    gateway, other, server = _on_another_host(pair, user, servers)
    address = _floating(user, server)
    eventually(lambda: ssh_banner(address), within_s=BOUND_S, what=f"{address} answers")
    with _cut_off(pair, gateway):
        silent_s = _silence_s(lambda: ssh_banner(address), for_s=10)
        assert _gateway_host(pair, user) != other  # It was asked before anybody took over.
    sys.stdout.write(f"its floating IP was silent for {silent_s:.2f} s\n")
    assert silent_s < 1


def test_another_host_is_the_gateway_when_one_is_lost(
    pair: Pair, user: Tenant, servers: dict[str, Any]
) -> None:
    gateway, other, server = _on_another_host(pair, user, servers)
    there = dataclasses.replace(user, live=pair.of(other))
    for floating in user.cloud.network.ips(project_id=user.project_id):
        user.cloud.network.delete_ip(floating)

    def leaves() -> bool:
        ping = ["ping", "-c", "1", "-W", "1", pair.first.config.public_address]
        return there.inside(server, *ping, check=False).status == 0

    eventually(leaves, within_s=BOUND_S, what="a server without a floating IP gets outside")
    with _cut_off(pair, gateway):
        began = time.monotonic()
        eventually(lambda: _gateway_host(pair, user) == other, within_s=90, what="another gateway")
        taken_s = time.monotonic() - began
        eventually(leaves, within_s=BOUND_S, what="it gets outside again")
        outside_s = time.monotonic() - began
        sys.stdout.write(f"taken after {taken_s:.1f} s, outside again after {outside_s:.1f} s\n")
    eventually(lambda: len(_hosts(pair)) == 2, within_s=BOUND_S, what="it is back")
    eventually(lambda: _gateway_host(pair, user) == gateway, within_s=90, what="the gateway again")
    eventually(leaves, within_s=BOUND_S, what="it gets outside as before")


@contextlib.contextmanager
def _calls(live: LiveCloud) -> Iterator[Load]:
    """Clients that read, log in and write, with openstacksdk's own retries."""
    entry = live.clouds_yaml["clouds"][live.config.name]
    load = Load(functools.partial(drill_tenant.connect, entry))
    load.start()
    try:
        yield load
    finally:
        load.stop()
        cloud = drill_tenant.connect(entry)
        for name in load.journal.made:
            cloud.network.delete_network(cloud.network.find_network(name))


@pytest.mark.timeout(1_100)
def test_an_upgrade_takes_one_host_after_the_other_and_all_of_it_back(
    pair: Pair, servers: dict[str, Any], user: Tenant, tmp_path: Path
) -> None:
    """And servers on both go on reaching each other, and no client's call fails."""
    both, before = (pair.first, pair.second), pair.first.release()
    other = another_release(tmp_path / "src")
    plan = json.loads(pair.first.kumoi("upgrade", "plan", "--json", source=other).out)
    assert [(host["name"], host["to_do"]) for host in plan["hosts"]] == [
        (pair.first.here.name, True),
        (SECOND_NAME, True),
    ]
    here, there = servers[pair.first.here.name], servers[SECOND_NAME]
    with (
        _calls(pair.first) as load,
        pings(pair.first.init_pid(here.id), user.address(there), PINGS_FOR_LONG) as pinging,
    ):
        pair.first.kumoi("upgrade", "run", "--watch", "1", source=other, timeout_s=UPGRADE_S)
        assert {_agent_release(one) for one in both} == {plan["target"]}
        pair.first.kumoi("upgrade", "rollback", timeout_s=UPGRADE_S)
        assert {_agent_release(one) for one in both} == {before}
        pinging.send_signal(signal.SIGINT)
        out, _ = pinging.communicate(timeout=30)
    sent, received = map(int, re.findall(r"(\d+) packets transmitted, (\d+) received", out)[0])
    assert sent - received <= STALLED_MOST, out
    assert load.calls
    assert [each for each in load.calls if each.trouble] == []
    pair.first.kumoi("upgrade", "finalize")
    shown = json.loads(pair.first.kumoi("upgrade", "plan", "--json").out)
    assert (shown["finalized"], shown["doubts"]) == (kumoi.__version__, [])


def _agent_release(live: LiveCloud) -> str:
    return releases.of_process(live.pid("agent"), live.here.release_dir)


def test_taking_one_host_down_leaves_the_other_as_it_is(
    pair: Pair, user: Tenant, servers: dict[str, Any]
) -> None:
    stays = servers[pair.first.here.name]
    before = {unit.name: unit.pid for unit in running.found(pair.first.here.state_dir)}
    pair.second.kumoi("down")
    assert running.found(pair.second.here.state_dir) == []
    assert not Path("/run/netns", SECOND_NAME).exists()
    after = {unit.name: unit.pid for unit in running.found(pair.first.here.state_dir)}
    assert after == before
    router = user.subnet.gateway_ip
    ping = ["ping", "-c", "1", "-W", "1", router]
    assert user.inside(stays, *ping, check=False).status == 0
    pair.second.kumoi("up", timeout_s=120)
    assert len(links.ports_of(f"{pair.first.config.name}-ul")) == 2


def test_a_host_that_has_servers_stays_and_one_that_has_none_leaves(
    pair: Pair, user: Tenant, servers: dict[str, Any]
) -> None:
    with pytest.raises(process.ProcessFailed) as refused:
        pair.second.kumoi("cluster", "leave", timeout_s=120)
    assert refused.value.completed is not None
    assert "has 1 servers: delete them first" in refused.value.completed.err
    eventually(lambda: len(_hosts(pair)) == 2, within_s=BOUND_S, what="it is back")
    user.cloud.compute.delete_server(servers[SECOND_NAME])
    user.cloud.compute.wait_for_delete(servers[SECOND_NAME], wait=60)
    pair.second.kumoi("cluster", "leave", timeout_s=120)
    assert not pair.second.here.state.exists()
    assert set(_hosts(pair)) == {pair.first.here.name}
