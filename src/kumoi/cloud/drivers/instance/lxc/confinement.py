"""What a server's processes may not do, whatever root inside tries: as text for LXC. Pure.

A server is a system: systemd, sshd, package managers and nested containers of a user's own run in it as
on a machine. So this is a list of what is refused. What stands here reaches parts of the kernel that
belong to the machine, or in which most ways out of a container were found, and that no ordinary
program of a server needs: those that try go on without.

The user namespace is the wall; this is the ditch before it. Masks hide what the kernel shows to
everybody. Where the kernel has no AppArmor, root of a server can take them away and read again what
they hide; nothing below them can be written.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from pathlib import Path

from kumoi.hosts.units import syscalls

CAPABILITIES_DROPPED = (
    "audit_control", "audit_read", "audit_write", "block_suspend", "bpf", "checkpoint_restore",
    "linux_immutable", "mac_admin", "mac_override", "mknod", "perfmon", "sys_module", "sys_pacct",
    "sys_rawio", "sys_time", "syslog", "wake_alarm",
)  # fmt: skip

CALLS_REFUSED = (
    # The kernel, its modules and its log; the clock; swap, accounting, ports of the processor.
    "kexec_load", "kexec_file_load", "init_module", "finit_module", "delete_module", "syslog",
    "settimeofday", "clock_settime", "clock_settime64", "stime", "adjtimex", "clock_adjtime", "clock_adjtime64", "swapon", "swapoff", "acct",
    "iopl", "ioperm", "modify_ldt", "vm86", "vm86old", "quotactl", "quotactl_fd", "lookup_dcookie",
    "nfsservctl", "uselib", "ustat", "sysfs", "_sysctl", "fanotify_init",
    # Files by numbers that hold on the whole file system.
    "open_by_handle_at",
    # Programs and requests that the kernel runs on a caller's behalf.
    "bpf", "perf_event_open", "userfaultfd", "io_uring_setup", "io_uring_enter", "io_uring_register",
    # Keys, which are kept by user id and not by namespace.
    "add_key", "request_key", "keyctl",
    # Memory and descriptors of other processes, and where memory lies.
    "pidfd_getfd", "kcmp", "move_pages", "migrate_pages", "memfd_secret",
)  # fmt: skip


def _is(argument: int, number: int) -> str:
    """In LXC's words: an int, of which the kernel looks at the low half of a register."""
    return f"[{argument},{number},SCMP_CMP_MASKED_EQ,{syscalls.LOW_HALF}]"


SOCKETS_REFUSED = tuple(
    f"{call} errno 97 {_is(0, number)}"
    for call in ("socket", "socketpair")
    for number in syscalls.OF_THE_HYPERVISOR_AND_MODULES.values()
)
POLICIES_REFUSED = f"socket errno 93 {_is(0, 16)} {_is(2, syscalls.NETLINK_OF_POLICIES)}"
"""IPsec of a server's own; errno as of a kernel without it."""
OPTIONS_REFUSED = tuple(
    f"setsockopt errno {error} {_is(1, level)} {_is(2, option)}"
    for (level, option), error in syscalls.UNCOUNTED.items()
)
"""The agent has all of these as well, and more (`Filter.refuse_uncounted_memory`, `refuse_sockets_of_the_machine`), and so has
every server of it: LXC leaves out, for programs of 32 bits, the calls that these machines also have in one with others.
"""

FILES_MASKED = (
    "proc/cmdline", "proc/config.gz", "proc/diskstats", "proc/interrupts", "proc/iomem",
    "proc/ioports", "proc/kallsyms", "proc/kcore", "proc/key-users", "proc/keys", "proc/kmsg",
    "proc/latency_stats", "proc/locks", "proc/mtrr", "proc/pagetypeinfo", "proc/partitions",
    "proc/sched_debug", "proc/slabinfo", "proc/softirqs", "proc/sysrq-trigger", "proc/timer_list",
    "proc/vmallocinfo", "proc/zoneinfo",
)  # fmt: skip
DIRECTORIES_MASKED = (
    "proc/acpi", "proc/asound", "proc/bus", "proc/driver", "proc/fs", "proc/irq", "proc/scsi",
    # Names of the host's disks, and of the files behind loop devices.
    "sys/block", "sys/class/block", "sys/dev/block", "sys/devices/virtual/block",
    "sys/firmware", "sys/fs/fuse", "sys/hypervisor", "sys/kernel/debug", "sys/kernel/security",
    "sys/kernel/tracing", "sys/module", "sys/power", "sys/devices/virtual/powercap",
)  # fmt: skip
_COMPARE = (
    """filters() { sed -n "s/^Seccomp_filters:[[:space:]]*//p" /proc/$1/status; }; """
    """[ "$(filters "$LXC_PID")" -gt "$(filters self)" ] || { echo >"$0"; false; }"""
)
TMPFS = "ro,nosuid,nodev,noexec,size=4k,mode=555,optional"


def seccomp() -> str:
    """LXC's profile: version 2, a list of what is refused, on every architecture of the machine."""
    return "\n".join(
        [
            "2",
            "denylist",
            "reject_force_umount",
            "[all]",
            *(f"{call} errno 1" for call in CALLS_REFUSED),
            *SOCKETS_REFUSED,
            POLICIES_REFUSED,
            *OPTIONS_REFUSED,
            "",
        ]
    )


def hook(unfiltered: Path) -> str:
    """The command for LXC's hook, which runs before the server's first process, when its filter is in force. It fails, and
    leaves the file, where there is none beside those that LXC has of the agent: LXC leaves its own out without a word
    where it finds another and was not told to go on. What fails here is not started.
    """
    return f"sh -c '{_COMPARE}' {shlex.quote(str(unfiltered))}"


def masks() -> Iterator[str]:
    """The entries of LXC's configuration. The first takes away those of the distribution's file, which
    shows all FUSE connections of the machine.
    """
    yield "lxc.mount.entry ="
    for path in FILES_MASKED:
        yield f"lxc.mount.entry = /dev/null {path} none bind,ro,optional 0 0"
    for path in DIRECTORIES_MASKED:
        yield f"lxc.mount.entry = tmpfs {path} tmpfs {TMPFS} 0 0"
