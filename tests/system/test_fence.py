"""What servers of one host can take of it together, when all of them try. Real servers, whose processes
are an attacker's.
"""

from __future__ import annotations

import os
import re
import resource
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.system.container_host import ContainerHost, until
from tests.system.servers import Servers, made_here, running_host

from kumoi.base.process import run
from kumoi.cloud.agent import inventory
from kumoi.cloud.drivers.instance import fence
from kumoi.cloud.drivers.instance.lxc.config import OOM_SCORE
from kumoi.cloud.hostapi.messages import ImageContent, InstanceSpec, InstanceState

pytestmark = [pytest.mark.system, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]

TOGETHER_MIB = 400
EACH_MIB = 256
BURN_S = 3.0
BURNERS = (
    3  # For each processor: of what else the machine does, tests among it, some is always there.
)
BURN = "import time\nend = time.monotonic() + {}\nwhile time.monotonic() < end: pass"
FILL = "dd if=/dev/zero of=/dev/shm/fill bs=1M count={} 2>&1; stat -c %s /dev/shm/fill"
FORK = "i=0; while [ $i -lt 2000 ]; do sleep 300 >/dev/null 2>&1 & i=$((i+1)); done 2>&1; :"

WANTED = (9_000, 65, 50)
"""More instances of inotify, and contexts of 1,024 calls of io_setup, than Linux allows root and a machine; and more
POSIX queues of messages than a user may have.
"""
CALLS = """
import ctypes, itertools, time
kernel = ctypes.CDLL(None)
names = (b"of-this-server-%d" % number for number in itertools.count())
calls = (
    lambda: kernel.inotify_init() >= 0,
    lambda: not kernel.syscall(206, 1024, ctypes.byref(ctypes.c_ulong())),
    lambda: kernel.syscall(240, next(names), 0o102, 0o600, None) >= 0,
)
def count(call, most):
    found = 0
    while found < most and call():
        found += 1
    return found
"""
TAKE = f"""{CALLS}
taken = " ".join(str(count(call, most)) for call, most in zip(calls, {WANTED}))
open("/run/taken", "w").write(taken)
time.sleep(600)
"""
ASK = CALLS + "print(*[call() for call in calls])"

NEIGHBOURS = 5_000
NAME_NEIGHBOURS = f"""
import subprocess
link = "dev eth0"
lines = [
    f"neigh replace 10.202.{{2 + n // 250}}.{{n % 250 + 2}} lladdr 02:00:00:00:00:01 {{link}} nud reachable\\n"
    for n in range({NEIGHBOURS})
]
subprocess.run(["ip", "-force", "-batch", "-"], input="".join(lines), text=True, check=True)
listed = subprocess.run(["ip", "neigh"], capture_output=True, text=True, check=True)
print(listed.stdout.count("02:00:00:00:00:01"))
"""
ASK_NEIGHBOUR = """
import socket
asks = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
asks.setsockopt(socket.IPPROTO_IP, 11, 1)  # IP_RECVERR: else UDP keeps ENOBUFS to itself
asks.sendto(b"?", ("10.202.1.77", 9))
print("asked")
"""

TALKER_MIB = 128
TELL = """
import subprocess
for first in range(0, {rows}, 5_000):
    lines = [{line} for n in range(first, first + 5_000)]
    subprocess.run([{command}, "-force", "-batch", "-"], input="\\n".join(lines), text=True)
"""
TELL_NEIGHBOURS = TELL.format(
    rows=60_000,
    command='"ip"',
    line='f"neigh add 10.{n >> 16}.{n >> 8 & 255}.{n & 255} lladdr 02:00:00:00:00:01 dev eth0 nud permanent"',
)
TELL_ROUTES = TELL.format(
    rows=35_000,
    command='"nsenter", "--net=/run/netns/elsewhere", "ip"',
    line='f"route add fd00::{n >> 16:x}:{n & 65535:x} dev lo"',
)
"""Of 310 bytes each that count for nobody, and of 580: more than an eighth of the server's memory."""

MAKE_RINGS = "; ".join(
    f"ip link add a{n} type veth peer name b{n}; "
    + "; ".join(
        f"ip link set {link}{n} txqueuelen 500000; tc qdisc add dev {link}{n} root pfifo_fast"
        for link in "ab"
    )
    for n in range(3)
)
"""Six of 12 MB: more than what others free meanwhile."""


@pytest.fixture(scope="module")
def started() -> Iterator[tuple[ContainerHost, ImageContent]]:
    """On a machine that has little for servers: the rest is reserved."""
    ram_mib = inventory.ram_mib(inventory.MEMINFO.read_text())
    with running_host(reserved_host_memory_mib=ram_mib - TOGETHER_MIB) as both:
        yield both


@pytest.fixture(scope="module")
def host(started: tuple[ContainerHost, ImageContent]) -> ContainerHost:
    return started[0]


@pytest.fixture
def servers(started: tuple[ContainerHost, ImageContent]) -> Iterator[Servers]:
    with made_here(*started) as made:
        yield made


def usage(host: ContainerHost) -> dict[str, int]:
    return fence.in_force(host.here.name)


def test_servers_that_fill_their_memory_at_once_stay_within_what_is_theirs_together(
    host: ContainerHost, servers: Servers
) -> None:
    attackers = [servers.new(number=number, ram_mib=EACH_MIB) for number in (5, 6)]
    assert usage(host)["memory_max_bytes"] == TOGETHER_MIB << 20
    written = [fill(host, one) for one in attackers]
    assert max(written) > 100, "nobody tried"
    assert usage(host)["memory_bytes"] <= TOGETHER_MIB << 20
    assert min(written) < EACH_MIB - 20, "both have all that their flavors say, and the host paid"
    assert host.agent is not None
    assert host.agent.poll() is None


def fill(host: ContainerHost, server: InstanceSpec) -> int:
    """How many MiB of memory it takes before it is stopped."""
    said = host.attach(server, "sh", "-c", FILL.format(EACH_MIB - 20), check=False).split()
    return int(said[-1]) >> 20 if said and said[-1].isdigit() else 0


def test_a_fork_bomb_meets_its_servers_bound_and_the_host_forks_on(
    host: ContainerHost, servers: Servers
) -> None:
    server = servers.new(number=5, ram_mib=EACH_MIB)
    before = usage(host)["processes"]
    host.attach(server, "sh", "-c", FORK, check=False)
    reached = usage(host)["processes"] - before
    assert 100 < reached <= fence.pids(EACH_MIB)
    assert fence.pids(EACH_MIB) < usage(host)["processes_max"]
    most = min(int((fence.KERNEL / name).read_text()) for name in ("pid_max", "threads-max"))
    assert usage(host)["processes_max"] <= most - fence.PROCESSES_RESERVED
    assert run(["true"]).status == 0


def test_what_the_kernel_counts_for_all_servers_together_no_server_uses_up(
    host: ContainerHost, servers: Servers
) -> None:
    """Its neighbours' systemd could not start, nor their databases."""
    attacker, neighbour = (servers.new(number=number, ram_mib=EACH_MIB) for number in (5, 6))
    until(lambda: host.banner("10.202.1.5") and host.banner("10.202.1.6"))
    host.attach(
        attacker, "systemd-run", "--quiet", "-p", "LimitNOFILE=20000", "python3", "-c", TAKE
    )
    look = ("sh", "-c", "test ! -s /run/taken || cat /run/taken")
    until(lambda: host.attach(attacker, *look))
    taken = [int(word) for word in host.attach(attacker, *look).split()]
    assert taken[:2] == list(WANTED[:2]), "nobody tried, or somebody met a bound"
    assert 0 < taken[2] < WANTED[2], "of queues a user has its own"
    assert host.agent is not None
    limits = Path(f"/proc/{host.agent.pid}/limits").read_text()
    may_raise = bool(re.search(r"^Max msgqueue size +unlimited", limits, re.MULTILINE))
    answers = host.attach(neighbour, "python3", "-c", ASK).split()
    assert answers == ["True", "True", str(may_raise)]


def test_of_timers_that_wait_the_machines_root_keeps_half(
    host: ContainerHost, servers: Servers
) -> None:
    server = servers.new(number=5)
    until(lambda: host.banner("10.202.1.5"))
    _, machines = resource.getrlimit(resource.RLIMIT_SIGPENDING)
    asked = "import resource; print(resource.getrlimit(resource.RLIMIT_SIGPENDING)[1])"
    assert (
        int(host.attach(server, "systemd-run", "--quiet", "--pipe", "python3", "-c", asked))
        == machines // 2
    )


def test_a_server_that_names_thousands_of_neighbours_leaves_others_theirs(
    host: ContainerHost, servers: Servers
) -> None:
    """Linux has room for 1,024 of all servers and the machine, and evicts none for 5 s."""
    attacker, neighbour = servers.new(number=5), servers.new(number=6)
    until(lambda: host.banner("10.202.1.5"))
    until(lambda: host.banner("10.202.1.6"))
    named = int(host.attach(attacker, "python3", "-c", NAME_NEIGHBOURS))
    assert named == NEIGHBOURS
    assert host.attach(neighbour, "python3", "-c", ASK_NEIGHBOUR).strip() == "asked"


@pytest.mark.timeout(300)
def test_what_a_server_tells_the_kernel_of_networks_has_a_bound(
    host: ContainerHost, servers: Servers
) -> None:
    """200,000 neighbours took 100 MiB of the machine that counted for nobody."""
    server = servers.new(number=5, ram_mib=TALKER_MIB)
    until(lambda: host.banner("10.202.1.5"))
    in_background = ("systemd-run", "--quiet", "python3", "-c")
    host.attach(server, *in_background, TELL_NEIGHBOURS)
    held = "server.network_tables_too_large"
    log = host.here.state / "agent.log"
    until(lambda: held in log.read_text(), bound_s=120)
    assert host.pid(server), "it goes on without its neighbours"
    host.attach(server, "ip", "netns", "add", "elsewhere")
    host.attach(server, "nsenter", "--net=/run/netns/elsewhere", "ip", "link", "set", "lo", "up")
    host.attach(server, *in_background, TELL_ROUTES)  # Nobody is there when it is done.
    host.control.await_report(server, InstanceState.STOPPED, bound_s=120)
    assert log.read_text().count(held) > 1


@pytest.mark.timeout(300)
def test_what_a_servers_queues_keep_has_the_same_bound(
    host: ContainerHost, servers: Servers
) -> None:
    """A few commands took all memory of the machine: it is none of the kernel's small things, and counted for nobody."""
    server = servers.new(number=5, ram_mib=TALKER_MIB)
    until(lambda: host.banner("10.202.1.5"))
    host.attach(server, "sh", "-ec", MAKE_RINGS)
    host.control.await_report(server, InstanceState.STOPPED, bound_s=120)


def test_the_machine_out_of_memory_ends_servers_before_what_is_its_own(
    host: ContainerHost, servers: Servers
) -> None:
    server = servers.new(number=5)
    until(lambda: host.banner("10.202.1.5"))
    ours = int(Path("/proc/self/oom_score_adj").read_text())
    assert int(Path(f"/proc/{host.pid(server)}/oom_score_adj").read_text()) == OOM_SCORE > ours
    lowered = "echo -500 > /proc/self/oom_score_adj; cat /proc/self/oom_score_adj"
    said = host.attach(server, "systemd-run", "--quiet", "--pipe", "sh", "-c", lowered, check=False)
    assert said.split()[0] == str(OOM_SCORE)


def test_servers_that_spin_leave_the_processors_to_the_machine(
    host: ContainerHost, servers: Servers
) -> None:
    cores = os.cpu_count() or 1
    spinning = servers.new(number=5, vcpus=cores * 2)
    until(lambda: host.banner("10.202.1.5"))
    loop = "while :; do :; done"
    for _ in range(cores * 2):
        host.attach(spinning, "systemd-run", "--quiet", "sh", "-c", loop)
    before = spent_by_servers(host)
    until(lambda: spent_by_servers(host) > before + 0.2)
    own, theirs = resource.getrusage(resource.RUSAGE_CHILDREN), spent_by_servers(host)
    burning = [
        subprocess.Popen([sys.executable, "-c", BURN.format(BURN_S)], start_new_session=True)
        for _ in range(cores)
    ]
    for one in burning:
        one.wait()
    end = resource.getrusage(resource.RUSAGE_CHILDREN)
    machine_s = end.ru_utime - own.ru_utime
    servers_s = spent_by_servers(host) - theirs
    assert servers_s < 0.4 * machine_s, (servers_s, machine_s)


def spent_by_servers(host: ContainerHost) -> float:
    """Seconds of processor time of all of them."""
    group = fence.of_servers(host.here.name)
    for tree in ("cpuacct", "cpu,cpuacct"):
        file = fence.ROOT / tree / group / "cpuacct.usage"
        if file.exists():
            return int(file.read_text()) / 1e9
    stat = dict(line.split() for line in (fence.ROOT / group / "cpu.stat").read_text().splitlines())
    return int(stat["usage_usec"]) / 1e6


def test_a_server_that_fills_its_disk_meets_its_end_and_goes_on_when_it_made_room(
    host: ContainerHost, servers: Servers
) -> None:
    server = servers.new(number=5, disk_gib=1)
    said = host.attach(server, "sh", "-c", "dd if=/dev/zero of=/fill bs=1M 2>&1", check=False)
    assert "No space left on device" in said
    written = int(host.attach(server, "stat", "-c", "%s", "/fill"))
    assert 0.85 * (1 << 30) < written < 1 << 30
    taken = host.paths.disk(server.id, 0).stat().st_blocks * 512
    assert taken <= 1 << 30
    host.attach(server, "sh", "-c", "rm /fill; sync; echo on > /kept")
    assert host.attach(server, "cat", "/kept").strip() == "on"
