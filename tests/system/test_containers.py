"""Real containers through the real agent: what a server gets, what it cannot do, and what is left
after kills at any moment. Needs root; one host for the whole file.
"""

from __future__ import annotations

import base64
import contextlib
import ctypes
import hashlib
import os
import random
import shutil
import signal
import socket
import struct
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from tests.system import frames
from tests.system.container_host import (
    GATEWAY,
    BridgeSwitch,
    ContainerHost,
    image_of,
    until,
)
from tests.system.network_world import ALL_PACKETS, QUIET_S
from tests.system.servers import KEY, Servers, made_here, running_host

from kumoi.base.ids import new_id
from kumoi.base.process import run
from kumoi.cloud.drivers.instance import record
from kumoi.cloud.drivers.instance.lxc import cgroup, monitor
from kumoi.cloud.drivers.instance.wire import link_name
from kumoi.cloud.drivers.network import bpf
from kumoi.cloud.hostapi.messages import (
    Address,
    ImageContent,
    InjectedFile,
    InstanceSpec,
    InstanceState,
    Power,
    ServerPort,
    ServerRoute,
)

pytestmark = [pytest.mark.system, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]

INFO = 15


@pytest.fixture(scope="module")
def started() -> Iterator[tuple[ContainerHost, ImageContent]]:
    with running_host() as both:
        yield both


@pytest.fixture(scope="module")
def host(started: tuple[ContainerHost, ImageContent]) -> ContainerHost:
    return started[0]


@pytest.fixture
def servers(started: tuple[ContainerHost, ImageContent]) -> Iterator[Servers]:
    with made_here(*started) as made:
        yield made


def test_a_server_that_is_told_to_run_has_its_address_and_answers(
    host: ContainerHost, servers: Servers
) -> None:
    wanted = servers.wanted(number=5)
    host.control.want(wanted)
    host.control.await_report(wanted, InstanceState.RUNNING)
    address = host.attach(wanted, "ip", "-4", "-o", "address", "show", "dev", "eth0")
    route = host.attach(wanted, "ip", "route", "show", "default")
    until(lambda: host.banner("10.202.1.5").startswith("SSH-2.0"))
    assert host.pid(wanted) > 0
    assert "10.202.1.5/24" in address
    assert f"default via {GATEWAY}" in route


def test_a_server_finds_its_name_keys_and_name_servers(
    host: ContainerHost, servers: Servers
) -> None:
    server = servers.new()
    keys = "/home/debian/.ssh/authorized_keys"
    assert host.attach(server, "hostname").strip() == "web5"
    assert host.attach(server, "cat", keys).strip() == KEY
    assert host.attach(server, "stat", "-c", "%a %U", keys).strip() == "600 debian"
    assert host.attach(server, "stat", "-c", "%a %U", "/home/debian/.ssh").strip() == "700 debian"
    assert f"nameserver {GATEWAY}" in host.attach(server, "cat", "/etc/resolv.conf")
    assert host.attach(server, "cat", "/etc/machine-id").strip() == server.id.replace("-", "")


def test_a_server_has_its_owners_files_and_is_rescued_with_its_disk_mounted(
    host: ContainerHost, servers: Servers
) -> None:
    """The agent is killed on the way there and on the way back."""
    wanted = [("/etc/motd", "hello"), ("/bin/tool", "tool"), ("/srv/new/file", "new")]
    files = [
        InjectedFile(path=path, contents=base64.b64encode(text.encode()).decode())
        for path, text in wanted
    ]
    server = servers.new(files=files)
    for path, text in wanted:
        assert host.attach(server, "cat", path) == text
    assert host.attach(server, "readlink", "/bin").strip() == "usr/bin"
    host.attach(server, "sh", "-c", "echo broken > /etc/broken")

    def restarted(before: InstanceSpec, **changes: object) -> InstanceSpec:
        made = servers.change(before, boot=before.boot + 1, **changes)
        host.kill_agent()
        host.start_agent()
        host.control.await_report(made, InstanceState.RUNNING)
        return made

    rescued = restarted(server, rescue=servers.image)
    assert host.attach(rescued, "cat", "/mnt/etc/broken").strip() == "broken"
    host.attach(rescued, "sh", "-c", "echo mended > /mnt/etc/broken; echo lost > /etc/lost")
    assert "No such file" in host.attach(rescued, "sh", "-c", "cat /etc/broken 2>&1 || true")
    until(lambda: host.banner("10.202.1.5").startswith("SSH-2.0"))
    back = restarted(rescued, rescue=None)
    assert host.attach(back, "cat", "/etc/broken").strip() == "mended"
    assert "No such file" in host.attach(back, "sh", "-c", "cat /etc/lost 2>&1 || true")
    assert [path.name for path in host.paths.server(server.id).glob("rescue.*")] == []


def test_memory_is_limited_to_the_flavor(host: ContainerHost, servers: Servers) -> None:
    server = servers.new()
    eater = "data = bytearray(400 << 20); print('ate it all')"
    assert "ate it all" not in host.attach(server, "python3", "-c", eater, check=False)
    assert "still here" in host.attach(server, "echo", "still here")


def test_processes_are_limited(host: ContainerHost, servers: Servers) -> None:
    server = servers.new(ram_mib=2048)
    forks = (
        "import os, time\n"
        "n = 0\n"
        "try:\n"
        "    while n < 6000:\n"
        "        if os.fork() == 0: time.sleep(30); os._exit(0)\n"
        "        n += 1\n"
        "except OSError: pass\n"
        "print('forks', n, flush=True)\n"
        "os.killpg(0, 9)\n"
    )
    answer = host.attach(server, "setsid", "--wait", "python3", "-c", forks, check=False)
    count = int(answer.partition("forks ")[2].split()[0]) if "forks" in answer else 0
    assert 4_000 < count < 4_096


def test_one_vcpu_is_one_cpu(host: ContainerHost, servers: Servers) -> None:
    server = servers.new()
    burn = (
        "import os, time\n"
        "os.fork()\n"
        "end = time.monotonic() + 1\n"
        "while time.monotonic() < end: pass\n"
        "os.write(1, f'{time.process_time():.2f}\\n'.encode())\n"
        "time.sleep(0.2)\n"
    )
    used_s = sum(float(line) for line in host.attach(server, "python3", "-c", burn).split())
    assert used_s < 1.3


def test_a_server_counts_its_own_processors_and_the_time_since_its_own_start(
    host: ContainerHost, servers: Servers
) -> None:
    before = time.monotonic()
    server = servers.new()
    assert host.attach(server, "grep", "-c", "^processor", "/proc/cpuinfo").strip() == "1"
    uptime_s = float(host.attach(server, "cut", "-d", " ", "-f1", "/proc/uptime"))
    assert uptime_s <= time.monotonic() - before + 1


def test_another_flavor_is_there_after_a_restart(host: ContainerHost, servers: Servers) -> None:
    server = servers.new(disk_gib=2)
    host.attach(server, "sh", "-c", "echo kept > /root/kept")
    server = servers.change(server, vcpus=2, ram_mib=512, disk_gib=5, boot=server.boot + 1)
    host.control.await_report(server, InstanceState.RUNNING)
    assert host.attach(server, "grep", "-c", "^processor", "/proc/cpuinfo").strip() == "2"
    size = host.attach(server, "df", "--output=size", "-BG", "/").splitlines()[1]
    assert size.strip() in {"4G", "5G"}
    assert host.attach(server, "cat", "/root/kept").strip() == "kept"
    assert not list(host.paths.server(server.id).glob("*.part"))


def test_a_full_disk_hurts_nobody_else(host: ContainerHost, servers: Servers) -> None:
    first, second = servers.new(number=5), servers.new(number=6)
    fill = host.attach(first, "dd", "if=/dev/zero", "of=/big", "bs=1M", "count=2048", check=False)
    assert "No space left on device" in fill
    assert host.attach(second, "sh", "-c", "echo fine > /fine; cat /fine").strip() == "fine"
    assert host.paths.disk(first.id, 0).stat().st_blocks * 512 <= 1 << 30
    assert "fine" in host.attach(first, "echo", "fine")


def test_servers_have_distinct_user_ids(host: ContainerHost, servers: Servers) -> None:
    pairs = [(item, host.pid(item)) for item in (servers.new(number=5),
                                                              servers.new(number=6))]  # fmt: skip
    bases = [int(Path(f"/proc/{pid}/uid_map").read_text().split()[1]) for _, pid in pairs]
    assert abs(bases[0] - bases[1]) >= 65_536
    assert min(bases) >= 1 << 29
    assert [Path(f"/proc/{pid}").stat().st_uid for _, pid in pairs] == bases


def test_root_inside_is_powerless_outside(host: ContainerHost, servers: Servers) -> None:
    server = servers.new()
    host_name = Path("/proc/sys/kernel/hostname").read_text()
    forbidden = [
        "mknod /root/disk b 254 0",
        "echo s > /proc/sysrq-trigger",
        "echo 1 > /proc/sys/kernel/panic",
        "echo /tmp/x > /proc/sys/kernel/core_pattern",
        "echo 10 > /sys/fs/cgroup/memory/memory.limit_in_bytes",
        "mount -t ext4 /dev/vda /mnt",
        "mount -o remount,dev /",
        "dmesg -C",
        "date -s 2000-01-01",
        "modprobe dummy",
        "echo -1000 > /proc/1/oom_score_adj",
    ]
    for command in forbidden:
        script = f"({command}) >/dev/null 2>&1 && echo allowed || echo refused"
        assert host.attach(server, "sh", "-c", script).strip() == "refused", command
    assert Path("/proc/sys/kernel/hostname").read_text() == host_name
    assert "nodev" in host.attach(server, "sh", "-c", "grep ' / ' /proc/mounts")


def test_nobody_inside_can_pass_for_a_server(host: ContainerHost, servers: Servers) -> None:
    server = servers.new()
    title = f"[lxc monitor] {host.paths.servers} {new_id()}"
    script = f"sleep 60 | exec -a '{title}' cat & echo begun; sleep 0.2"
    assert "begun" in host.attach(server, "bash", "-c", f"({script}) < /dev/null 2>&1 | head -1")
    assert title in _command_lines()
    assert set(monitor.find_all(host.paths)) == {server.id}


def _command_lines() -> set[str]:
    found = set()
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            found.add(path.read_text(errors="replace").rstrip("\0"))
    return found


def test_a_console_that_talks_without_end_does_not_fill_the_host(
    host: ContainerHost, servers: Servers
) -> None:
    server = servers.new()
    host.attach(server, "sh", "-c", "timeout 2 yes 0123456789abcdef > /dev/console", check=False)
    directory = host.paths.server(server.id)
    logs = sum(path.stat().st_size for path in directory.glob("console.log*"))
    assert 0 < logs <= 4 << 20


def test_an_agent_that_was_killed_finds_its_servers_again(
    host: ContainerHost, servers: Servers
) -> None:
    server = servers.new()
    pid = host.pid(server)
    host.kill_agent()
    host.control.reports.clear()
    host.start_agent()
    host.control.await_report(server, InstanceState.RUNNING)
    assert host.pid(server) == pid


def test_a_server_that_ends_by_itself_is_reported_stopped_and_stays_so(
    host: ContainerHost, servers: Servers
) -> None:
    server = servers.new()
    os.kill(host.pid(server), signal.SIGKILL)
    host.control.await_report(server, InstanceState.STOPPED, bound_s=3)
    until(lambda: not [name for name in host.leftovers() if name.startswith(("link", "group"))])
    again = servers.change(server)
    host.control.await_report(again, InstanceState.RUNNING)


def test_a_reboot_from_inside_keeps_the_server_and_its_address(
    host: ContainerHost, servers: Servers
) -> None:
    server = servers.new()
    _reboot_from_inside(host, server, "10.202.1.5")
    until(lambda: host.banner("10.202.1.5").startswith("SSH-2.0"))
    assert host.control.reports[server.id].state is InstanceState.RUNNING


ROUTE = ServerRoute(destination="10.203.0.0/16", nexthop=GATEWAY)


def test_a_host_route_is_there_from_the_start_and_after_a_reboot_from_inside(
    host: ContainerHost, servers: Servers
) -> None:
    wanted = servers.wanted(number=5)
    (port,) = wanted.ports
    address = msgspec.structs.replace(port.addresses[0], routes=[ROUTE])
    wanted = msgspec.structs.replace(
        wanted, ports=[msgspec.structs.replace(port, addresses=[address])]
    )
    servers.made[-1] = wanted
    host.control.want(wanted)
    host.control.await_report(wanted, InstanceState.RUNNING)
    assert f"via {GATEWAY}" in host.attach(wanted, "ip", "route", "show", ROUTE.destination)
    _reboot_from_inside(host, wanted, "10.202.1.5")
    assert f"via {GATEWAY}" in host.attach(wanted, "ip", "route", "show", ROUTE.destination)


def _reboot_from_inside(host: ContainerHost, server: InstanceSpec, address: str) -> None:
    until(lambda: host.banner(address))
    before = monitor.find(host.paths, server.id)
    assert before
    answer = host.attach(server, "systemctl", "reboot", check=False)

    def restarted() -> bool:
        now = monitor.find(host.paths, server.id)
        return bool(now and now.pid and now.pid != before.pid)

    until(restarted, why=lambda: answer)
    until(lambda: host.banner(address).startswith("SSH-2.0"))


def test_a_port_gets_another_address_while_its_server_runs_and_keeps_it(
    host: ContainerHost, servers: Servers
) -> None:
    server = servers.new(number=5)
    pid = host.pid(server)
    host.attach(server, "ip", "address", "add", "10.202.9.9/32", "dev", "eth0")
    (port,) = server.ports
    moved = msgspec.structs.replace(port.addresses[0], address="10.202.1.77", routes=[ROUTE])
    changed = msgspec.structs.replace(
        server, ports=[msgspec.structs.replace(port, addresses=[moved])]
    )
    servers.made[-1] = changed
    host.control.want(changed)
    until(lambda: host.banner("10.202.1.77").startswith("SSH-2.0"))

    def shown() -> set[str]:
        listed = host.attach(changed, "ip", "-4", "-o", "address", "show", "dev", "eth0")
        return {line.split()[3] for line in listed.splitlines()}

    assert shown() == {"10.202.1.77/24", "10.202.9.9/32"}
    assert f"default via {GATEWAY}" in host.attach(changed, "ip", "route")
    assert f"{ROUTE.destination} via {GATEWAY}" in host.attach(changed, "ip", "route")
    assert host.pid(server) == pid

    _reboot_from_inside(host, changed, "10.202.1.77")
    assert shown() == {"10.202.1.77/24"}


def test_stop_start_reboot_pause_and_rebuild(host: ContainerHost, servers: Servers) -> None:
    server = servers.new()
    host.attach(server, "touch", "/kept")
    server = servers.change(server, power=Power.STOPPED)
    host.control.await_report(server, InstanceState.STOPPED)
    server = servers.change(server, power=Power.RUNNING)
    host.control.await_report(server, InstanceState.RUNNING)
    server = servers.change(server, boot=1)
    assert host.control.await_report(server, InstanceState.RUNNING).boot == 1
    server = servers.change(server, hard_boot=1)
    assert host.control.await_report(server, InstanceState.RUNNING).hard_boot == 1
    server = servers.change(server, power=Power.PAUSED)
    host.control.await_report(server, InstanceState.PAUSED)
    server = servers.change(server, power=Power.RUNNING)
    host.control.await_report(server, InstanceState.RUNNING)
    host.attach(server, "test", "-e", "/kept")
    server = servers.change(server, build=1)
    assert host.control.await_report(server, InstanceState.RUNNING).build == 1
    assert "No such file" in host.attach(server, "ls", "/kept", check=False)


def test_a_port_can_be_added_to_and_taken_from_a_running_server(
    host: ContainerHost, servers: Servers
) -> None:
    server = servers.new()
    added = ServerPort(
        id=new_id(),
        mac="02:00:00:00:02:01",
        mtu=1400,
        name="eth1",
        addresses=[Address(address="10.202.1.99", prefix=24)],
    )
    server = servers.change(server, ports=[*server.ports, added])
    host.control.await_report(server, InstanceState.RUNNING)
    assert "10.202.1.99/24" in host.attach(server, "ip", "-4", "address", "show", "dev", "eth1")
    server = servers.change(server, ports=server.ports[:1])
    host.control.await_report(server, InstanceState.RUNNING)
    assert "eth1" not in host.attach(server, "ip", "link")


def advertised_by(host: ContainerHost, server: InstanceSpec) -> int:
    """How many of ten advertisements of a router that the server sends get to the switch."""
    frame = frames.advertisement(server.ports[0].mac)

    def listen() -> socket.socket:
        listener = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ALL_PACKETS))
        listener.bind((link_name(server.ports[0].id), ALL_PACKETS))
        listener.settimeout(QUIET_S)
        return listener

    send = (
        "import socket; s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW); s.bind(('eth0', 0)); "
        f"[s.send(bytes.fromhex('{frame.hex()}')) for _ in range(10)]"
    )
    with host.inside(listen) as listener:
        host.attach(server, "python3", "-c", send)
        seen = 0
        with contextlib.suppress(TimeoutError):
            while True:
                seen += listener.recv(2_048) == frame
    return seen


def test_a_server_advertises_a_router_only_where_its_port_may(
    host: ContainerHost, servers: Servers
) -> None:
    server = servers.new()
    assert advertised_by(host, server) == 0
    server = servers.change(server, advertisers=[server.ports[0].id])
    host.control.await_report(server, InstanceState.RUNNING)
    assert advertised_by(host, server) == 10
    server = servers.change(server, advertisers=[])
    host.control.await_report(server, InstanceState.RUNNING)
    assert advertised_by(host, server) == 0


def table_of_macs(host: ContainerHost, server: InstanceSpec) -> int:
    """The kernel's number of the one that its link has."""
    name = link_name(server.ports[0].id)
    (table,) = host.inside(lambda: bpf.tables([name])).values()
    said = ctypes.create_string_buffer(8)
    head = struct.pack("=IIQ", table, len(said), ctypes.addressof(said))
    assert bpf.call(INFO, head.ljust(144, b"\0")) == 0
    os.close(table)
    number: int = struct.unpack("=II", said.raw)[1]
    return number


def test_a_server_that_starts_again_sends_from_no_other_macs_than_before(
    host: ContainerHost, servers: Servers
) -> None:
    """Each start gave a port without port security 256 others."""
    server = servers.new()
    server = servers.change(server, advertisers=[server.ports[0].id])
    host.control.await_report(server, InstanceState.RUNNING)
    table = table_of_macs(host, server)
    server = servers.change(server, power=Power.STOPPED)
    host.control.await_report(server, InstanceState.STOPPED)
    server = servers.change(server, power=Power.RUNNING)
    host.control.await_report(server, InstanceState.RUNNING)
    assert table_of_macs(host, server) == table
    host.kill_agent()
    host.start_agent()
    server = servers.change(server, hard_boot=1)
    assert host.control.await_report(server, InstanceState.RUNNING).hard_boot == 1
    assert table_of_macs(host, server) == table


def test_a_server_that_an_agent_without_the_guard_started_has_it_from_the_next_one(
    host: ContainerHost, servers: Servers
) -> None:
    server = servers.new()
    host.stop_agent()
    path = host.paths.record(server.id)
    known = record.read(path)
    assert known.guarded
    record.write(path, known.replace(guarded=[]))
    run(
        [
            "ip",
            "-n",
            host.here.name,
            "link",
            "set",
            "dev",
            link_name(server.ports[0].id),
            "xdpdrv",
            "off",
        ]
    )
    assert advertised_by(host, server) == 10
    host.start_agent()
    until(lambda: advertised_by(host, server) == 0)


def test_a_link_that_vanished_from_the_switch_is_plugged_again(
    host: ContainerHost, servers: Servers
) -> None:
    server = servers.new()
    until(lambda: host.banner("10.202.1.5"))
    name = "k" + server.ports[0].id.replace("-", "")[:12]
    switch = BridgeSwitch(host.here)
    host.inside(lambda: switch.delete_ports([name]))
    until(lambda: name in switch.list_ports(), bound_s=15)
    until(lambda: host.banner("10.202.1.5"))


def test_a_server_whose_files_somebody_removed_is_ended_when_it_must_go(
    host: ContainerHost, servers: Servers
) -> None:
    server = servers.new()
    shutil.rmtree(host.paths.server(server.id))
    gone = servers.change(server, power=Power.ABSENT)
    host.control.await_report(gone, InstanceState.ABSENT)
    until(lambda: host.leftovers() == [], bound_s=15)


def test_an_image_of_a_running_server_starts_as_another(
    host: ContainerHost, servers: Servers, tmp_path: Path
) -> None:
    server = servers.new(number=5)
    host.attach(server, "sh", "-c", "echo mine > /kept; chown debian /kept; rm /etc/issue")
    servers.change(server, snapshots=["snapshot-1"])
    until(lambda: "snapshot-1" in host.control.snapshots, bound_s=60)
    file = tmp_path / "snapshot.tar.zst"
    file.write_bytes(host.control.snapshots["snapshot-1"])
    made = image_of(hashlib.sha256(file.read_bytes()).hexdigest(), file)
    host.control.image_files[made.id] = file
    other = servers.wanted(number=6, image=made)
    host.control.want(other)
    host.control.await_report(other, InstanceState.RUNNING, bound_s=60)
    assert host.attach(other, "stat", "-c", "%U", "/kept").strip() == "debian"
    assert host.attach(other, "hostname").strip() == "web6"
    assert "No such file" in host.attach(other, "ls", "/etc/issue", check=False)
    until(lambda: host.banner("10.202.1.6").startswith("SSH-2.0"))


COUNTED = ("/etc/count", "/home/count", "/opt/count", "/srv/count", "/usr/count", "/var/count")
COUNT = "n=0; while :; do n=$((n+1)); for f in {}; do echo $n >$f; done; done"


def test_an_image_of_a_running_server_is_of_one_moment(
    host: ContainerHost, servers: Servers, tmp_path: Path
) -> None:
    server = servers.new(number=5)
    until(lambda: host.banner("10.202.1.5"))
    counting = ["systemd-run", "--quiet", "sh", "-c", COUNT.format(" ".join(COUNTED))]
    host.attach(server, *counting)
    until(lambda: host.attach(server, "cat", COUNTED[-1], check=False).strip().isdigit())
    host.control.reports.clear()
    servers.change(server, snapshots=["moment"])
    until(lambda: "moment" in host.control.snapshots, bound_s=60)
    file = tmp_path / "snapshot.tar.zst"
    file.write_bytes(host.control.snapshots["moment"])
    names = [f".{name}" for name in COUNTED]
    run(["tar", "--extract", "--zstd", f"--file={file}", f"--directory={tmp_path}", *names])
    counts = [int((tmp_path / name).read_text() or 0) for name in names]
    assert max(counts) - min(filter(None, counts)) <= 1, counts
    before = int(host.attach(server, "cat", COUNTED[0]).strip() or 0)
    until(lambda: int(host.attach(server, "cat", COUNTED[0]).strip() or 0) > before)
    assert {report.state for report in host.control.reports.values()} == {InstanceState.RUNNING}
    assert not list((host.here.agent_dir / "snapshots").iterdir())


def test_a_server_goes_on_when_the_agent_is_killed_while_it_makes_an_image_of_it(
    host: ContainerHost, servers: Servers
) -> None:
    server = servers.new(number=5)
    host.attach(server, "dd", "if=/dev/urandom", "of=/filling", "bs=1M", "count=400")
    group = cgroup.of_server(host.here.name, server.id)
    servers.change(server, snapshots=["killed"])
    until(lambda: cgroup.is_frozen(group))
    host.kill_agent()
    assert cgroup.is_frozen(group)
    host.start_agent()
    until(lambda: not cgroup.is_frozen(group))
    assert host.attach(server, "echo", "on").strip() == "on"
    until(lambda: "killed" in host.control.snapshots, bound_s=60)


def test_the_console_is_told(host: ContainerHost, servers: Servers) -> None:
    server = servers.new()
    until(lambda: "OpenBSD Secure Shell" in host.control.consoles.get(server.id, ""))


@pytest.mark.timeout(300)
def test_kills_in_the_middle_of_creating_and_deleting_leave_nothing(
    host: ContainerHost, servers: Servers
) -> None:
    chance = random.Random(7)
    servers.new(number=9)
    for number in range(10, 18):
        server = servers.wanted(number=number)
        host.control.want(server)
        time.sleep(chance.uniform(0, 0.2))  # The moment of the kill, not a wait for anything.
        host.kill_agent()
        host.start_agent()
        host.control.await_report(server, InstanceState.RUNNING)
        until(lambda: host.banner(f"10.202.1.{number}"))  # noqa: B023 - called at once
        gone = servers.change(server, power=Power.ABSENT)
        time.sleep(chance.uniform(0, 0.15))
        host.kill_agent()
        host.start_agent()
        host.control.await_report(gone, InstanceState.ABSENT)
        until(lambda: not [leftover for leftover in host.leftovers() if server.id in leftover])  # noqa: B023


def test_a_host_that_rebooted_starts_what_is_wanted_with_no_control_plane(
    host: ContainerHost, servers: Servers
) -> None:
    running, stopped = servers.new(number=5), servers.new(number=6)
    stopped = servers.change(stopped, power=Power.STOPPED)
    host.control.await_report(stopped, InstanceState.STOPPED)
    host.kill_agent()
    for server in monitor.find_all(host.paths).values():
        os.kill(server.pid, signal.SIGKILL)
    until(lambda: not monitor.find_all(host.paths))
    (host.here.run_dir / "host-boot").unlink()
    host.control.reachable = False
    host.start_agent()
    until(lambda: host.banner("10.202.1.5").startswith("SSH-2.0"))
    assert set(monitor.find_all(host.paths)) == {running.id}


def test_down_keeps_disks_and_up_brings_servers_back(host: ContainerHost, servers: Servers) -> None:
    server = servers.new()
    host.attach(server, "touch", "/kept")
    host.reboot()
    assert not monitor.find_all(host.paths)
    assert not [name for name in host.leftovers() if name.startswith(("link", "mount", "loop"))]
    host.control.reports.clear()
    host.start_agent()
    host.control.await_report(server, InstanceState.RUNNING)
    host.attach(server, "test", "-e", "/kept")


def test_an_image_that_is_none_fails_with_its_reason_and_leaves_nothing(
    host: ContainerHost, servers: Servers, tmp_path: Path
) -> None:
    garbage = tmp_path / "garbage"
    garbage.write_bytes(b"this is no archive" * 100)
    wrong = image_of(hashlib.sha256(garbage.read_bytes()).hexdigest(), garbage)
    host.control.image_files[wrong.id] = garbage
    server = servers.wanted(image=wrong)
    host.control.want(server)
    report = host.control.await_report(server, InstanceState.FAILED)
    assert report.fault == "the image is not a tar archive of a root file system"
    assert [leftover for leftover in host.leftovers() if not leftover.startswith("wanted")] == []
    assert not list(host.paths.images.glob(f"{wrong.sha256}*"))
