"""What users are promised of a cloud, on one that is up: isolation, rules that hold at once, servers
that are theirs, and everything that can be asked of a server.
"""

from __future__ import annotations

import base64
import functools
import os
import random
import select
import signal
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from keystoneauth1.exceptions.connection import ConnectionError as NoAnswer
from openstack.exceptions import HttpException
from tests.system.live import LiveCloud, eventually, pings, ssh_banner
from tests.system.tenant import Tenant, connects, listens, pinged, reachable, tenant

from kumoi.base.process import run
from kumoi.hosts.wires import links

pytestmark = [pytest.mark.system, pytest.mark.timeout(600)]

CIDR = "10.71.0.0/24"
SOON_S = 1.0  # How long a changed rule may take.
SSH_S = 15.0
CLOUD_INIT_S = 40.0
USER_DATA = b"""#cloud-config
write_files:
  - path: /etc/from-user-data
    content: written
runcmd:
  - [sh, -c, "id -u > /ran-as"]
"""
BURN = """
import os, time
os.fork()
end = time.monotonic() + 1
while time.monotonic() < end: pass
os.write(1, f"{time.process_time():.2f}\\n".encode())
time.sleep(0.2)
"""
OPEN = """
import socket, sys
udp, *targets = sys.argv[1:]
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as deaf:
    for address in {target.split(":")[0] for target in targets}:
        deaf.sendto(b"hello", (address, int(udp)))
for target in targets:
    address, port = target.split(":")
    with socket.socket() as tried:
        tried.settimeout(3)
        if tried.connect_ex((address, int(port))) == 0:
            print(target)
"""
NOT_FOUND = 2  # Of getent.
UNDER_WAY = 6_000  # Pings, at one a millisecond.
ROLES = (
    "agent",
    "inspector",
    "api",
    "worker",
    "repositories",
    "pipeline",
    "ovn-controller",
    "ovn-northd",
    "ovnnb-db",
)


UNHURRIED_S = 60.0  # On a loaded machine.


@pytest.fixture(scope="module")
def user(live: LiveCloud, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tenant]:
    """A tenant with a network, whose servers the stories share."""
    name = f"cloud-{random.randrange(1 << 32):08x}"
    with tenant(live, name, tmp_path_factory.mktemp(name)) as made:
        made.wire(CIDR)
        yield made


@pytest.fixture(scope="module")
def first(user: Tenant) -> Any:
    encoded = base64.b64encode(USER_DATA).decode()
    return user.server("first", flavor_id=user.flavor("small"), user_data=encoded)


@pytest.fixture(scope="module")
def second(user: Tenant) -> Any:
    return user.server("second")


@pytest.fixture(scope="module")
def outside(user: Tenant, first: Any) -> str:
    """The first server's floating IP, on which SSH answers."""
    address = user.floating(first)
    eventually(lambda: ssh_banner(address), within_s=SSH_S, what="SSH answers")
    return address


# Networks.


def test_tenants_with_the_same_addresses_do_not_meet(
    live: LiveCloud, user: Tenant, first: Any, second: Any, tmp_path: Path
) -> None:
    with tenant(live, f"{user.name}-b", tmp_path) as other:
        other.wire(CIDR)
        mine, theirs = user.address(first), "10.71.0.200"
        same = other.server("same", networks=[_at(other, mine)])
        alone = other.server("alone", networks=[_at(other, theirs)])
        reachable(user, second, mine)
        reachable(other, alone, mine)  # The one of its own tenant.
        assert other.root(same, "hostname").out.strip() == "same"
        for server, owner, address in ((first, user, theirs), (alone, other, user.address(second))):
            assert not pinged(owner, server, address)
            assert not connects(live.init_pid(server.id), address, 22)


def _at(who: Tenant, address: str) -> dict[str, str]:
    return {"uuid": who.network.id, "fixed_ip": address}


def test_opening_and_closing_a_port_takes_effect_within_a_second(
    user: Tenant, first: Any, outside: str
) -> None:
    user.root(first, "sh", "-c", "cd /tmp && setsid python3 -m http.server 8080 >/dev/null 2>&1 &")
    pid = user.live.init_pid(first.id)
    eventually(lambda: connects(pid, "127.0.0.1", 8080), within_s=10, what="it listens inside")
    assert not listens(outside, 8080)
    rule = user.allow(protocol="tcp", port_range_min=8080, port_range_max=8080)
    eventually(lambda: listens(outside, 8080), within_s=SOON_S, what="the port is open")
    user.cloud.network.delete_security_group_rule(rule)
    eventually(lambda: not listens(outside, 8080), within_s=SOON_S, what="the port is closed")


def test_servers_open_the_api_and_the_pipeline_of_the_machine_and_nothing_else(
    live: LiveCloud, user: Tenant, first: Any, second: Any, outside: str
) -> None:
    """The first has a floating IP, the second has none and goes by its router."""
    cloud = live.config
    with (
        socket.create_server(("0.0.0.0", 0)) as foreign,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as deaf,
    ):
        deaf.bind(("0.0.0.0", 0))
        tcp, udp = foreign.getsockname()[1], deaf.getsockname()[1]
        addresses = sorted(set(links.addresses()) - {"127.0.0.1"})
        targets = [f"{address}:{tcp}" for address in addresses]
        targets += [f"{cloud.control_address}:{cloud.host_api_port}"]
        wanted = [
            f"{cloud.public_address}:{port}" for port in (cloud.api_port, cloud.pipeline_port)
        ]
        for server in (first, second):
            found = user.root(server, "python3", "-c", OPEN, str(udp), *targets, *wanted).out
            assert found.split() == wanted
            assert pinged(user, server, cloud.public_address)
        assert not select.select([deaf], [], [], 0)[0]
        assert all(listens(address, tcp) for address in addresses)


def test_no_ping_to_a_floating_ip_is_lost_while_up_is_repeated(
    live: LiveCloud, user: Tenant, outside: str
) -> None:
    with pings(os.getpid(), outside, UNDER_WAY) as pinging:
        live.kumoi("up")
        assert pinging.poll() is None
        out, _ = pinging.communicate(timeout=60)
    assert f"{UNDER_WAY} packets transmitted, {UNDER_WAY} received" in out, out
    assert user.ssh(outside, "hostname").out.strip() == "first"


def test_up_mends_what_a_router_wrongly_remembers_of_the_machine(
    live: LiveCloud, user: Tenant, second: Any
) -> None:
    machine = live.config.public_address
    database = ["ovn-sbctl", f"--db={live.here.southbound_remote}", "--timeout=10"]
    assert pinged(user, second, machine)
    rows = run([*database, "--bare", "--columns=_uuid", "find", "MAC_Binding", f"ip={machine}"])
    for row in rows.out.split():
        run([*database, "set", "MAC_Binding", row, 'mac="0a:00:00:00:00:99"'])
    eventually(lambda: not pinged(user, second, machine), within_s=10, what="the wrong address")
    live.kumoi("up")
    eventually(lambda: pinged(user, second, machine), within_s=10, what="the right address")


def test_spoofed_addresses_are_dropped(user: Tenant, first: Any, second: Any) -> None:
    """Also from a root who owns the server."""
    there = user.address(second)
    assert pinged(user, first, there)
    user.root(first, "ip", "address", "add", "10.71.0.99/32", "dev", "eth0")
    route = ("ip", "route", "replace", f"{there}/32", "dev", "eth0", "src", "10.71.0.99")
    user.root(first, *route)
    assert not pinged(user, first, there)
    user.root(first, "ip", "route", "delete", f"{there}/32")
    user.root(first, "ip", "address", "delete", "10.71.0.99/32", "dev", "eth0")
    assert pinged(user, first, there)
    mac = user.root(first, "cat", "/sys/class/net/eth0/address").out.strip()
    user.root(first, "ip", "link", "set", "eth0", "address", "02:00:00:00:00:99")
    assert not pinged(user, first, there)
    user.root(first, "ip", "link", "set", "eth0", "address", mac)
    assert pinged(user, first, there)


def test_a_guest_that_asks_by_dhcp_gets_its_own_address_also_after_a_restart(
    live: LiveCloud, user: Tenant, second: Any, tmp_path: Path
) -> None:
    assert _lease(user, second, tmp_path) == [user.address(second), "255.255.255.0", "10.71.0.1"]
    _kill_and_wait(live, "ovn-controller")
    assert _lease(user, second, tmp_path) == [user.address(second), "255.255.255.0", "10.71.0.1"]


def _lease(user: Tenant, server: Any, directory: Path) -> list[str]:
    """What a DHCP client is told in the network of a server: address, mask, router."""
    file = directory / "told"
    script = directory / "script"
    script.write_text(f'#!/bin/sh\n[ "$1" = bound ] && echo $ip $subnet $router > {file}\nexit 0\n')
    script.chmod(0o755)
    client = ("udhcpc", "-i", "eth0", "-f", "-q", "-n", "-t", "5", "-T", "1", "-s", str(script))
    user.inside(server, *client)
    return file.read_text().split()


def _kill_and_wait(live: LiveCloud, unit: str) -> None:
    before = live.pid(unit)
    os.kill(before, signal.SIGKILL)
    eventually(lambda: live.pid(unit) not in (0, before), within_s=20, what=f"{unit} is back")


# What a server is.


def test_a_server_has_its_name_key_and_sudo_and_no_password(
    user: Tenant, first: Any, outside: str
) -> None:
    words = user.ssh(outside, "hostname; whoami; sudo -n id -u").out.split()
    assert words == ["first", "debian", "0"]
    for name in ("root", "debian"):
        assert user.root(first, "getent", "shadow", name).out.split(":")[1][:1] in ("!", "*")


def test_a_server_renamed_from_within_knows_its_name_without_a_name_server(
    user: Tenant, second: Any
) -> None:
    """`sudo` looks up the name of the machine, and waits for it."""
    ask = "hostname other && timeout 3 getent hosts other; hostname second"
    assert "other" in user.root(second, "sh", "-c", ask).out
    at_dns = ("timeout", "3", "getent", "ahostsv4", "kumoi.invalid")
    assert user.root(second, *at_dns, check=False).status == NOT_FOUND  # Not 124, of a timeout.


def test_user_data_is_honoured(user: Tenant, first: Any) -> None:
    def ran() -> bool:
        return user.root(first, "cat", "/ran-as", check=False).out.strip() == "0"

    eventually(ran, within_s=CLOUD_INIT_S, what="cloud-init ran its commands")
    assert user.root(first, "cat", "/etc/from-user-data").out.strip() == "written"


def test_a_server_sees_and_has_its_flavors_processors_and_no_more_memory(
    user: Tenant, first: Any, outside: str
) -> None:
    assert user.ssh(outside, "grep -c ^processor /proc/cpuinfo").out.strip() == "1"
    used_s = sum(float(line) for line in user.root(first, "python3", "-c", BURN).out.split())
    assert used_s < 1.3
    eater = "data = bytearray(700 << 20)"
    assert user.root(first, "python3", "-c", eater, check=False).status != 0
    assert user.ssh(outside, "hostname").out.strip() == "first"


def test_the_console_shows_the_boot(user: Tenant, second: Any) -> None:
    def shown() -> bool:
        console = user.cloud.compute.get_server_console_output(second, length=200)
        return "login:" in console["output"] or "Reached target" in console["output"]

    eventually(shown, within_s=20, what="the console shows the boot")


# What can be asked of it.


def test_an_image_of_a_server_starts_as_another(user: Tenant, first: Any) -> None:
    user.root(first, "touch", "/home/debian/kept")
    compute, image = user.cloud.compute, user.cloud.image
    made = compute.create_server_image(first, "snapshot")
    eventually(
        lambda: image.get_image(made.id).status == "active", within_s=60, what="the image is there"
    )
    again = user.server("again", image_id=made.id, flavor_id=user.flavor("small"))
    reachable(user, first, user.address(again))
    assert user.root(again, "ls", "/home/debian/kept").status == 0
    assert user.root(again, "hostname").out.strip() == "again"
    keys = "/etc/ssh/ssh_host_ed25519_key.pub"
    assert user.root(again, "cat", keys).out != user.root(first, "cat", keys).out
    compute.delete_server(again)
    compute.wait_for_delete(again, interval=0.1, wait=30)
    image.delete_image(made.id)


def test_an_interface_is_attached_and_detached_while_the_server_runs(
    user: Tenant, second: Any
) -> None:
    compute, net = user.cloud.compute, user.cloud.network
    network = net.create_network(name=f"{user.name}-more")
    net.create_subnet(network_id=network.id, cidr="10.72.0.0/24", ip_version=4)
    made = compute.create_server_interface(second, net_id=network.id)
    address = made.fixed_ips[0]["ip_address"]

    def has_it() -> bool:
        return address in user.root(second, "ip", "-4", "address", "show").out

    eventually(has_it, within_s=5, what="the server has the address")
    eventually(lambda: net.get_port(made.port_id).status == "ACTIVE", within_s=5, what="it is up")
    compute.delete_server_interface(made, server=second)
    eventually(lambda: not has_it(), within_s=5, what="the address is gone")
    eventually(lambda: net.find_port(made.port_id) is None, within_s=5, what="the port is gone")
    assert pinged(user, second, "10.71.0.1")


def test_a_server_follows_its_ports_and_subnets_without_a_restart(user: Tenant, first: Any) -> None:
    net, moved = user.cloud.network, user.server("moved")
    pid = user.live.init_pid(moved.id)
    reachable(user, first, user.address(moved))
    port = next(iter(net.ports(device_id=moved.id)))
    net.update_port(port, fixed_ips=[{"subnet_id": user.subnet.id, "ip_address": "10.71.0.200"}])
    reachable(user, first, "10.71.0.200")
    route = {"destination": "10.72.0.0/16", "nexthop": "10.71.0.201"}
    net.update_subnet(user.subnet, host_routes=[route])
    try:
        eventually(
            lambda: "via 10.71.0.201" in user.inside(moved, "ip", "route").out,
            within_s=SSH_S,
            what="the route is there",
        )
    finally:
        net.update_subnet(user.subnet, host_routes=[])
    eventually(
        lambda: "10.72.0.0" not in user.inside(moved, "ip", "route").out,
        within_s=SSH_S,
        what="the route is gone",
    )
    shown = user.inside(moved, "ip", "-4", "-o", "address", "show", "dev", "eth0").out
    assert [line.split()[3] for line in shown.splitlines()] == ["10.71.0.200/24"]
    assert user.live.init_pid(moved.id) == pid
    user.cloud.compute.delete_server(moved)


def test_servers_that_must_be_apart_find_no_second_host(user: Tenant) -> None:
    compute = user.cloud.compute
    group = compute.create_server_group(name="apart", policy="anti-affinity")
    hints = {"group": group.id}
    one = user.server("one-apart", scheduler_hints=hints)
    other = user.settled(user.begin_server("other-apart", scheduler_hints=hints), "ERROR")
    assert other.fault["message"].startswith("No valid host was found.")
    for server in (one, other):
        compute.delete_server(server)
        compute.wait_for_delete(server, interval=0.1, wait=30)
    compute.delete_server_group(group)


@pytest.mark.parametrize("verb", ["pause", "suspend"])
def test_pausing_freezes_a_server_and_resuming_goes_on(
    user: Tenant, second: Any, verb: str
) -> None:
    compute, address = user.cloud.compute, user.address(second)
    freeze, thaw, status = {
        "pause": (compute.pause_server, compute.unpause_server, "PAUSED"),
        "suspend": (compute.suspend_server, compute.resume_server, "SUSPENDED"),
    }[verb]
    user.root(second, "touch", "/run/still-the-same-boot")
    pid = user.live.init_pid(second.id)
    reachable(user, second, address)
    freeze(second)
    user.settled(second, status)
    assert not listens_banner(pid, address)
    thaw(second)
    user.settled(second)
    reachable(user, second, address, within_s=5)
    assert user.root(second, "ls", "/run/still-the-same-boot").status == 0


def listens_banner(pid: int, address: str) -> bool:
    """Whether SSH says who it is: a frozen one's kernel still takes connections."""
    ask = f"exec 3<>/dev/tcp/{address}/22; read -r -t 1 -u 3 line; [[ $line == SSH-* ]]"
    command = ["nsenter", "-t", str(pid), "-n", "timeout", "2", "bash", "-c", ask]
    return run(command, check=False).status == 0


def test_a_shelved_server_is_on_no_host_and_comes_back_with_its_files(
    user: Tenant, second: Any
) -> None:
    compute, address = user.cloud.compute, user.address(second)
    where = user.live.here.agent_dir / "lxc/servers" / second.id
    user.root(second, "sh", "-c", "echo kept > /home/debian/shelved && sync")
    compute.shelve_server(second)
    compute.wait_for_server(
        compute.get_server(second.id), "SHELVED_OFFLOADED", interval=0.1, wait=UNHURRIED_S
    )
    eventually(lambda: not where.exists(), within_s=UNHURRIED_S, what="its host has forgotten it")
    compute.unshelve_server(second)
    user.settled(second)
    assert user.root(second, "cat", "/home/debian/shelved").out.strip() == "kept"
    assert user.address(second) == address
    assert list(user.cloud.image.images(owner=user.project_id)) == []


def test_of_backups_as_many_stay_as_were_asked_for(user: Tenant, second: Any) -> None:
    compute, image = user.cloud.compute, user.cloud.image

    def backups() -> list[str]:
        found = image.images(owner=user.project_id, image_type="backup")
        return sorted(each.name for each in found if each.status == "active")

    def is_there(name: str) -> bool:
        return name in backups()

    for name in ("one", "two", "three"):
        compute.backup_server(second, name, "daily", 2)
        there = functools.partial(is_there, name)
        eventually(there, within_s=UNHURRIED_S, what=f"backup {name} is there")
    eventually(
        lambda: backups() == ["three", "two"], within_s=UNHURRIED_S, what="the oldest is gone"
    )
    for each in image.images(owner=user.project_id):
        image.delete_image(each)


@pytest.mark.parametrize("kind", ["SOFT", "HARD"])
def test_a_reboot_keeps_the_disk_and_the_address(user: Tenant, second: Any, kind: str) -> None:
    before, address = user.live.init_pid(second.id), user.address(second)
    user.root(second, "sh", "-c", f"echo {kind} > /kept && sync")
    user.cloud.compute.reboot_server(second, kind)
    user.settled(second)
    assert user.live.init_pid(second.id) != before
    assert user.root(second, "cat", "/kept").out.strip() == kind
    reachable(user, second, address)


def test_a_rebuild_empties_the_disk_and_keeps_the_address(user: Tenant, second: Any) -> None:
    address = user.address(second)
    user.root(second, "touch", "/gone-soon")
    user.cloud.compute.rebuild_server(second, user.image("debian-12"))
    user.settled(second)
    reachable(user, second, address)
    assert user.root(second, "ls", "/gone-soon", check=False).status != 0
    assert user.address(second) == address
    assert user.root(second, "hostname").out.strip() == "second"


def test_servers_do_not_notice_that_each_role_is_killed(
    live: LiveCloud, user: Tenant, first: Any, second: Any, outside: str
) -> None:
    before = {server.id: live.init_pid(server.id) for server in (first, second)}
    there = user.address(second)
    for role in ROLES:
        _kill_and_wait(live, role)
    assert user.ssh(outside, "hostname").out.strip() == "first"
    assert pinged(user, first, there)
    assert {key: live.init_pid(key) for key in before} == before

    def says_so() -> bool:
        try:
            servers = user.cloud.compute.servers()
            return {server.status for server in servers} == {"ACTIVE"}
        except (HttpException, NoAnswer):
            return False

    eventually(says_so, within_s=20, what="the API says that they run")
