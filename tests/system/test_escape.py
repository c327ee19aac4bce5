"""What root of a server meets that tries the known ways out of a container. The probe runs inside, as a
service of the server's own systemd; its answers are a golden table, which KUMOI_GOLDEN=write renews.
"""

from __future__ import annotations

import ctypes
import os
import re
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.i386 import program
from tests.system import frames
from tests.system.container_host import BRIDGE, ContainerHost, until
from tests.system.servers import Servers, made_here, running_host

from kumoi.base.process import run
from kumoi.cloud.drivers.instance import fence
from kumoi.cloud.drivers.instance.lxc import confinement
from kumoi.cloud.hostapi.messages import ImageContent, InstanceSpec, InstanceState, Power
from kumoi.hosts.units import syscalls

pytestmark = [pytest.mark.system, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]

LABEL = 40
GOLDEN = Path(__file__).parent / "golden/escape.txt"
CALLS = (
    "mount", "umount2", "mknod", "unshare", "setns", "ptrace", "reboot", "bpf", "perf_event_open", "userfaultfd",
    "io_uring_setup", "keyctl", "add_key", "request_key", "open_by_handle_at", "finit_module",
    "init_module", "kexec_load", "swapon", "acct", "syslog", "settimeofday", "clock_settime",
    "iopl", "quotactl", "fanotify_init", "kcmp", "pidfd_getfd", "memfd_secret", "process_vm_readv",
    "pivot_root", "chroot", "sethostname", "socket", "socketpair", "setsockopt", "sched_setscheduler", "ioprio_set",
    "setpriority", "prlimit64", "mq_open",
)  # fmt: skip
CALLS_OF_32_BITS: dict[str, tuple[int | tuple[int, ...], ...]] = {
    "getpid": (20,), "socket unix": (359, 1, 1, 0), "socket alg": (359, 38, 5, 0), "socket vsock": (359, 40, 1, 0),
    "socket xdp": (359, 44, 3, 0), "socketpair vsock": (360, 40, 1, 0, (0, 0)),
    "socketcall socket vsock": (102, 1, (40, 1, 0)), "socketcall socketpair": (102, 8, (40, 1, 0, 0)),
    "socketcall setsockopt": (102, 14, (-1, 1, 33, 0, 4)), "keyctl": (288, 0, -3, 0), "bpf": (357, 0, 0, 0),
    "perf_event_open": (336, 0, 0, -1, -1), "io_uring_setup": (425, 1, 0), "userfaultfd": (374, 0),
    "open_by_handle_at": (342, 0, 0), "fanotify_init": (338, 0, 0), "memfd_secret": (447, 0), "syslog": (103, 3, 0, 0),
    "stime": (25, 0), "clock_settime64": (404, 0, 0), "clock_adjtime64": (405, 0, 0), "init_module": (128, 0, 0, 0),
    "modify_ldt": (123, 0, 0, 0), "vm86": (166, 0, 0), "ioperm": (101, 0, 1, 1), "quotactl": (131, 0, 0, 0),
}  # fmt: skip
"""By the numbers of 32-bit x86, whose programs run on machines of 64 bits."""
GROUP_LEVELS = 1_200
HIDE = f"""
import os, subprocess
tree = "/sys/fs/cgroup/pids" if os.path.isdir("/sys/fs/cgroup/pids") else "/sys/fs/cgroup"
os.chdir(tree)
levels = 0
try:
    while levels < {GROUP_LEVELS}:
        os.mkdir("deeper-and-deeper")
        os.chdir("deeper-and-deeper")
        levels += 1
except OSError:
    pass  # Version 2 bounds them.
none = subprocess.DEVNULL
sleeper = subprocess.Popen(["sleep", "1000"], stdin=none, stdout=none, stderr=none)
open("cgroup.procs", "w").write(str(sleeper.pid))
freezer = "/sys/fs/cgroup/freezer/frozen"
if os.path.isdir(os.path.dirname(freezer)):
    os.mkdir(freezer)
    open(freezer + "/cgroup.procs", "w").write(str(sleeper.pid))
    open(freezer + "/freezer.state", "w").write("FROZEN")
print(levels)
"""
PROBE = r"""
use Errno; use Fcntl;
sub said { my ($ok) = @_; return "works" if $ok; for (keys %!) { return $_ if $!{$_} } "?" }
sub call { my $name = shift; $! = 0; my @given = @_; my $r = syscall($N{$name}, @given); said($r >= 0) }
sub call_ { $! = 0; my @given = @_; my $r = syscall(shift @given, @given); said($r >= 0) }
sub writes { my ($file, $text) = @_; $! = 0; sysopen(my $f, $file, O_WRONLY) or return said(0); said(defined syswrite($f, $text)) }
sub reads { my ($file) = @_; $! = 0; sysopen(my $f, $file, O_RDONLY|O_NONBLOCK) or return said(0);
    my $n = sysread($f, my $buffer, 4096); defined $n or return said(0); $n ? "content" : "empty" }
sub lists { my ($dir) = @_; $! = 0; opendir(my $d, $dir) or return said(0); my @e = grep { !/^\.\.?$/ } readdir $d; @e ? "entries" : "empty" }
sub tell_ { printf "%-40s %s\n", @_ }
sub zero { "\0" x 128 }
mkdir "/probe"; mkdir "/probe/$_" for qw(proc sys cgroup ext4 bpf debugfs fuse overlay tmpfs l u w);
my $z = zero(); my $s = sub { my $x = $_[0]; "$x\0" };
# What the kernel says of the process.
open my $st, "/proc/self/status"; my %st = map { /^(\w+):\s+(.*)/ ? ($1, $2) : () } <$st>;
tell_("capabilities", $st{CapBnd}); tell_("seccomp", $st{Seccomp}); tell_("ids", join " ", (split " ", `cat /proc/self/uid_map`)[0, 2]);
# Mounts.
my @m = (["proc","proc"],["sysfs","sys"],["cgroup2","cgroup"],["ext4","ext4"],["bpf","bpf"],["debugfs","debugfs"],["fuse","fuse"],["tmpfs","tmpfs"]);
for (@m) { my ($k, $d) = @$_; tell_("mount $k", call("mount", "none\0", "/probe/$d\0", "$k\0", 0, "\0")) }
tell_("mount cgroup with release_agent", do { call("mount", "none\0", "/probe/cgroup\0", "cgroup\0", 0, "memory,release_agent=/x\0") });
tell_("remount / with devices", call("mount", "none\0", "/\0", "none\0", 32 | 1024, "\0"));
# Devices.
for (["mem",1,1],["sda",8,0],["loop0",7,0],["kvm",10,232],["fuse",10,229],["tun",10,200]) { my ($n,$a,$b) = @$_;
    tell_("mknod $n", call("mknod", "/probe/$n\0", ($n =~ /sda|loop/ ? 0060000 : 0020000) | 0600, $a * 256 + $b)) }
# Calls.
tell_("bpf", call("bpf", 0, $z, 120)); tell_("perf_event_open", call("perf_event_open", $z, 0, -1, -1, 0));
tell_("userfaultfd", call("userfaultfd", 0)); tell_("io_uring_setup", call("io_uring_setup", 1, $z));
tell_("keyctl", call("keyctl", 0, -3, 0)); tell_("add_key", call("add_key", "user\0", "k\0", "v\0", 1, -3)); tell_("request_key", call("request_key", "user\0", "k\0", 0, 0));
tell_("open_by_handle_at", call("open_by_handle_at", -100, $z, 0)); tell_("finit_module", call("finit_module", 0, "\0", 0)); tell_("init_module", call("init_module", $z, 1, "\0"));
tell_("kexec_load", call("kexec_load", 0, 0, 0, 0)); tell_("swapon", call("swapon", "/probe/x\0", 0)); tell_("acct", call("acct", "/probe/x\0")); tell_("syslog", call("syslog", 3, $z, 100));
tell_("settimeofday", call("settimeofday", $z, 0)); tell_("clock_settime", call("clock_settime", 0, $z)); tell_("iopl", call("iopl", 3)); tell_("quotactl", call("quotactl", 0, "\0", 0, $z));
tell_("fanotify_init", call("fanotify_init", 0, 0)); tell_("kcmp", call("kcmp", $$, $$, 0, 0, 0)); tell_("pidfd_getfd", call("pidfd_getfd", 0, 0, 0)); tell_("memfd_secret", call("memfd_secret", 0));
tell_("umount2 by force", call("umount2", "/probe/tmpfs\0", 1));
# Sockets.
for (["can",29],["tipc",30],["alg",38],["vsock",40],["xdp",44],["xdp in a wide register",44+2**32],["key",15],["packet",17]) { my ($n,$f) = @$_; tell_("socket $n", call("socket", $f, $n =~ /alg|vsock/ ? 5 : 3, 0)) }
tell_("socket of IPsec's policies", call("socket", 16, 3, 6)); tell_("socket of links", call("socket", 16, 3, 0));
my $pk = syscall($N{socket}, 17, 3, 0); my $ring = pack("IIII", 4096, 1, 2048, 2);
tell_("ring of packets", call("setsockopt", $pk, 263, 5, $ring, 16)); tell_("ring to send packets", call("setsockopt", $pk, 263, 13, $ring, 16)); tell_("buffer by force", call("setsockopt", $pk, 1, 33, pack("i", 1 << 30), 4)); tell_("ring in a wide register", call("setsockopt", $pk, 263+2**32, 5+2**32, $ring, 16));
for (["vsock",40],["alg",38]) { my ($n,$f) = @$_; tell_("pair of sockets $n", call("socketpair", $f, 1, 0, $z)) }
# By the numbers of other architectures; what works otherwise is refused by the kernel alone.
for my $n (sort keys %OTHER) { open my $f, ">", "/probe/other"; binmode $f; print $f pack("H*", $OTHER{$n}); close $f; chmod 0755, "/probe/other";
    my $r = system("/probe/other"); $! = $r >> 8; tell_("32 bits: $n", $r == -1 ? "no such programs" : $r & 127 ? "killed" : said(!$!)) }
tell_("x32: keyctl", call_(0x40000000 + 250, 0, -3, 0));
# Who is served first.
tell_("real-time scheduling", call("sched_setscheduler", 0, 1, pack("i", 1))); tell_("nice -20", call("setpriority", 0, 0, -20)); tell_("real-time input and output", call("ioprio_set", 1, 0, 1 << 13));
tell_("more locked memory", call("prlimit64", 0, 8, pack("QQ", ~0, ~0), 0)); tell_("more waiting signals", call("prlimit64", 0, 11, pack("QQ", ~0, ~0), 0));
# Files of the machine.
for (qw(kernel/core_pattern kernel/modprobe kernel/sysrq kernel/hotplug kernel/pid_max vm/panic_on_oom vm/drop_caches fs/binfmt_misc/register net/core/rmem_max)) { tell_("write /proc/sys/$_", writes("/proc/sys/$_", "1")) }
tell_("write /proc/sysrq-trigger", writes("/proc/sysrq-trigger", "")); tell_("write /proc/self/oom_score_adj", writes("/proc/self/oom_score_adj", "-1000"));
for (qw(cmdline config.gz kallsyms kcore keys key-users kmsg timer_list sched_debug diskstats partitions interrupts slabinfo)) { tell_("read /proc/$_", reads("/proc/$_")) }
for (qw(proc/acpi proc/irq proc/fs sys/block sys/class/block sys/devices/virtual/block sys/firmware sys/module sys/kernel/debug sys/kernel/security sys/fs/fuse)) { tell_("list /$_", lists("/$_")) }
my @leak = grep { -e } glob("/sys/block/*/loop/backing_file"), glob("/sys/devices/virtual/block/*/loop/backing_file"); tell_("files behind loop devices", scalar @leak);
tell_("write /sys/kernel/uevent_helper", writes("/sys/kernel/uevent_helper", "/x")); tell_("write /sys/power/state", writes("/sys/power/state", ""));
tell_("read /dev/mem", reads("/dev/mem")); tell_("read /dev/kmsg", reads("/dev/kmsg"));
# What a server is to be able to do, so that the table is not of a server that can do nothing.
tell_("unshare mounts", call("unshare", 0x20000)); tell_("mount tmpfs again", call("mount", "none\0", "/probe/w\0", "tmpfs\0", 0, "\0")); tell_("chroot", call("chroot", "/\0")); tell_("sethostname", call("sethostname", "probe\0", 5));
"""


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


def test_the_known_ways_out_lead_nowhere(host: ContainerHost, servers: Servers) -> None:
    server = servers.new(number=5)
    until(lambda: host.banner("10.202.1.5"))
    answers = from_inside(host, server, f"{numbers()}\n{PROBE}")
    if os.environ.get("KUMOI_GOLDEN") == "write":
        GOLDEN.write_text(answers)
    assert judged(answers) == judged(GOLDEN.read_text())


def judged(answers: str) -> dict[str, str]:
    """Which error says no depends on the kernel; whether it says no must not."""
    found: dict[str, str] = {}
    for line in answers.splitlines():
        what, answer = line[:LABEL].strip(), line[LABEL:].strip()
        found[what] = "refused" if answer.startswith("E") and answer.isupper() else answer
    return found


def from_inside(host: ContainerHost, server: InstanceSpec, program: str) -> str:
    """Run by the server's own first process, so that nothing of ours is around it."""
    host.attach(server, "sh", "-c", 'printf %s "$0" > /root/probe.pl', program)
    return host.attach(
        server, "systemd-run", "--quiet", "--pipe", "--wait", "perl", "/root/probe.pl", check=False
    )


def numbers() -> str:
    """Of the calls, for this machine's kernel."""
    library = ctypes.CDLL(syscalls.LIBRARY)
    pairs = (f"{name} => {library.seccomp_syscall_resolve_name(name.encode())}" for name in CALLS)
    files = (
        f"{name!r} => {program(*call).hex()!r}"
        for name, call in CALLS_OF_32_BITS.items()
        if os.uname().machine == "x86_64"
    )
    return f"our %N = ({', '.join(pairs)}); our %OTHER = ({', '.join(files)});"


def test_what_is_refused_are_calls_that_the_machine_has() -> None:
    """A slip in a name would refuse nothing."""
    library = ctypes.CDLL(syscalls.LIBRARY)
    unknown = {
        name
        for name in confinement.CALLS_REFUSED
        if library.seccomp_syscall_resolve_name(name.encode()) == syscalls.NO_SUCH_CALL
    }
    assert unknown == set()


def test_a_server_that_lxc_starts_without_its_filter_does_not_run(
    host: ContainerHost, servers: Servers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As LXC does by default beside the filter of the agent, without a word."""
    lenient = tmp_path / "lxc-start"
    real = shutil.which("lxc-start")
    lenient.write_text(f'#!/bin/sh\nexec {real} "$@" -s lxc.seccomp.allow_nesting=0\n')
    lenient.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    host.start_agent()
    server = servers.wanted(number=5)
    host.control.want(server)
    until(
        lambda: "leaves out its filter" in (host.here.state / "agent.log").read_text(), bound_s=60
    )
    assert host.pid(server) == 0
    monkeypatch.undo()
    host.start_agent()


def test_what_hides_in_deep_and_frozen_groups_ends_with_its_server(
    host: ContainerHost, servers: Servers
) -> None:
    """Such a server could be neither deleted nor fenced."""
    server = servers.new(number=5)
    until(lambda: host.banner("10.202.1.5"))
    levels = int(host.attach(server, "python3", "-c", HIDE))
    assert levels == GROUP_LEVELS or 0 < levels < fence.groups(server.ram_mib)
    gone = servers.change(server, power=Power.ABSENT)
    host.control.await_report(gone, InstanceState.ABSENT, bound_s=120)


def test_a_server_is_a_system_as_before(host: ContainerHost, servers: Servers) -> None:
    server = servers.new(number=5)
    until(lambda: host.banner("10.202.1.5"))

    def is_settled() -> bool:
        asked = host.attach(server, "systemctl", "is-system-running", check=False)
        return asked.strip() in {"running", "degraded"}

    until(is_settled)
    assert host.attach(server, "systemctl", "--failed", "--plain", "--no-legend").strip() == ""
    assert "kumoi" in host.attach(server, "su", "-", "debian", "-c", "echo kumoi")


def test_no_two_servers_that_run_have_an_id_in_common(
    host: ContainerHost, servers: Servers
) -> None:
    """Whatever a control plane says that was restored from yesterday."""
    first = servers.new(number=5, id_slot=5)
    second = servers.wanted(number=6, id_slot=5)
    host.control.want(second)
    until(lambda: "user ids" in (host.here.state / "agent.log").read_text(), bound_s=30)
    assert host.pid(second) == 0
    assert host.pid(first)
    moved = servers.change(second, id_slot=6)
    host.control.await_report(moved, InstanceState.RUNNING, bound_s=60)
    maps = [Path(f"/proc/{host.pid(one)}/uid_map").read_text().split()[1] for one in (first, moved)]
    assert len(set(maps)) == 2


def test_disks_of_servers_are_told_to_nobody_by_their_paths(
    host: ContainerHost, servers: Servers
) -> None:
    server = servers.new(number=5)
    seen = host.attach(
        server, "sh", "-c", "cat /sys/block/loop*/loop/backing_file 2>&1", check=False
    )
    assert not re.search(r"disk\.\d+\.ext4", seen)
    assert run(["sh", "-c", "cat /sys/block/loop*/loop/backing_file"]).out, "nothing to hide"


def test_a_router_that_advertises_itself_is_heard_by_no_server(
    host: ContainerHost, servers: Servers
) -> None:
    """Nobody but a router of the network's can; still no server listens, unless its root wants to."""
    server = servers.new(number=5)
    until(lambda: host.banner("10.202.1.5"))
    shown = host.inside(lambda: run(["ip", "-o", "link", "show", BRIDGE]).out)
    mac = shown.partition("link/ether ")[2].split()[0]

    def routes() -> str:
        return host.attach(server, "ip", "-6", "route", "show", "proto", "ra")

    def advertise() -> None:
        with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as link:
            link.bind((BRIDGE, 0))
            link.send(frames.advertisement(mac))

    host.inside(advertise)
    heard = "/proc/sys/net/ipv6/conf/eth0/accept_ra"
    assert host.attach(server, "cat", heard).strip() == "0"
    assert routes() == ""
    host.attach(server, "sh", "-c", f"echo 2 > {heard}")
    until(lambda: host.inside(advertise) or "default" in routes())
