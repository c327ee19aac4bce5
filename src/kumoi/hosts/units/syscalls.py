"""A filter of system calls: from now on what stands here fails, for this process and what it starts.

Made by libseccomp, which Debian has wherever it has apt. Called by sandbox.py. What is refused gets
EPERM, as it would without the right to it, so that a program which can do without goes on.
"""

from __future__ import annotations

import ctypes
import errno
import stat
from collections.abc import Collection, Iterable

from kumoi.hosts.units.confinement import INET, INET6, NETLINK, PACKET, UNIX

LIBRARY = "libseccomp.so.2"
ALLOW = 0x7FFF0000
FAIL = 0x00050000  # With the error's number in the lower half.
NO_SUCH_CALL = -1
ATTRIBUTE_NO_NEW_PRIVS, ATTRIBUTE_OPTIMISE = 3, 8
BINARY_TREE = 2
EQUAL, GREATER, MASKED_EQUAL = 4, 6, 7
OTHER_ARCHITECTURES = {"x86_64": ("x86", "x32"), "aarch64": ("arm",)}

OF_THE_MACHINE = (
    # The kernel and its modules, the clock, swap, accounting.
    "kexec_load", "kexec_file_load", "init_module", "finit_module", "delete_module",
    "swapon", "swapoff", "acct", "settimeofday", "clock_settime", "stime",
    "iopl", "ioperm", "pciconfig_read", "pciconfig_write", "pciconfig_iobase",
    "syslog", "lookup_dcookie", "nfsservctl", "vhangup",
)  # fmt: skip
"""What nobody here asks of the kernel, root or not, nor a server, to whom it would be refused."""

OF_A_UNIT = (
    *OF_THE_MACHINE,
    # Mounts, namespaces, other roots.
    "mount", "umount", "umount2", "pivot_root", "chroot", "unshare", "setns", "fsopen", "fsconfig",
    "fsmount", "fspick", "move_mount", "open_tree", "open_tree_attr", "mount_setattr", "swapcontext",
    "name_to_handle_at", "open_by_handle_at", "fanotify_init", "quotactl", "quotactl_fd",
    # Other processes.
    "ptrace", "perf_event_open", "process_vm_readv", "process_vm_writev", "process_madvise", "kcmp", "pidfd_getfd",
    # Large parts of the kernel that nothing here needs, and that most holes were in.
    "bpf", "userfaultfd", "io_uring_setup", "io_uring_enter", "io_uring_register", "add_key",
    "keyctl", "request_key", "memfd_secret", "vm86", "vm86old", "modify_ldt", "uselib", "ustat",
    "sysfs", "_sysctl", "mbind", "migrate_pages", "move_pages", "set_mempolicy",
    "set_mempolicy_home_node", "personality", "adjtimex", "clock_adjtime", "reboot",
    "sethostname", "setdomainname",
)  # fmt: skip

NEW_NAMESPACES = (
    0x00020000, 0x02000000, 0x04000000, 0x08000000, 0x10000000, 0x20000000, 0x40000000,
)  # fmt: skip
"""Flags of clone(2): mount, control group, names, messages, user, process, network."""

FAMILY_NUMBERS = {UNIX: 1, INET: 2, INET6: 10, NETLINK: 16, PACKET: 17}
FAMILY_MAX = 64
OF_SOCKETS, OF_PACKETS, OF_XDP = 1, 263, 283
UNCOUNTED = {
    (
        OF_SOCKETS,
        32,
    ): errno.EPERM,  # Buffers beyond what the machine allows a socket, SO_SNDBUFFORCE
    (OF_SOCKETS, 33): errno.EPERM,  # and SO_RCVBUFFORCE.
    (OF_PACKETS, 5): errno.ENOPROTOOPT,  # Rings, PACKET_RX_RING
    (OF_PACKETS, 13): errno.ENOPROTOOPT,  # and PACKET_TX_RING.
    (0, 17): errno.ENOPROTOOPT,  # A socket's own policies of IPsec, IP_XFRM_POLICY
    (41, 35): errno.ENOPROTOOPT,  # and IPV6_XFRM_POLICY.
}
"""Levels and options of setsockopt(2) by which a socket takes memory of the machine that counts for no control
group, and the error by which who asks goes on without.
"""
OF_THE_HYPERVISOR_AND_MODULES = {
    "key": 15,
    "can": 29,
    "tipc": 30,
    "alg": 38,
    "vsock": 40,
    "kcm": 41,
    "smc": 43,
    "xdp": 44,
}
"""Address families of sockets, by number, that reach the machine's own hypervisor, load modules of the kernel, or take
memory that counts for nobody.
"""
NETLINK_OF_POLICIES = 6
"""NETLINK_XFRM: what is told of IPsec, as by family `key`, counts for no control group, and nothing bounds it."""
SOCKETCALL_SOCKET, SOCKETCALL_SOCKETPAIR, SOCKETCALL_SETSOCKOPT = 1, 8, 14
LOW_HALF = 0xFFFFFFFF  # Of a register: the kernel looks at no more of an int.
KIND_OF_FILE = 0o170000
TTY_INPUT = (0x5412, 0x541C)  # TIOCSTI and TIOCLINUX: typing into somebody's terminal.


class _Comparison(ctypes.Structure):
    _fields_ = (
        ("arg", ctypes.c_uint),
        ("op", ctypes.c_int),
        ("datum_a", ctypes.c_uint64),
        ("datum_b", ctypes.c_uint64),
    )


class Filter:
    """Under construction; nothing is refused before `load`. Raises OSError at what cannot be."""

    def __init__(self) -> None:
        self._library = ctypes.CDLL(LIBRARY, use_errno=True)
        self._library.seccomp_init.restype = ctypes.c_void_p
        context = self._library.seccomp_init(ctypes.c_uint32(ALLOW))
        if not context:
            raise OSError(errno.ENOMEM, "make a filter of system calls")
        self._context = ctypes.c_void_p(context)
        # Where the library does not know it, a chain is made of the rules: slower, and the same.
        self._library.seccomp_attr_set(self._context, ATTRIBUTE_OPTIMISE, BINARY_TREE)

    def refuse(self, names: Iterable[str]) -> None:
        for name in names:
            self._add(name, errno.EPERM)

    def refuse_namespaces(self) -> None:
        """By clone3, whose flags lie where a filter does not see them, none is made at all: without
        it everybody takes clone.
        """
        self._add("clone3", errno.ENOSYS)
        for flag in NEW_NAMESPACES:
            self._add("clone", errno.EPERM, _Comparison(0, MASKED_EQUAL, flag, flag))

    def refuse_devices(self) -> None:
        """By mknod, which makes pipes as well."""
        for name, argument in (("mknod", 1), ("mknodat", 2)):
            for kind in (stat.S_IFCHR, stat.S_IFBLK):
                refused = _Comparison(argument, MASKED_EQUAL, KIND_OF_FILE, kind)
                self._add(name, errno.EPERM, refused)

    def refuse_families(self, but: Collection[str]) -> None:
        allowed = {FAMILY_NUMBERS[name] for name in but}
        for call in ("socket", "socketpair"):
            for number in range(FAMILY_MAX):
                if number not in allowed:
                    refused = _Comparison(0, EQUAL, number, 0)
                    self._add(call, errno.EAFNOSUPPORT, refused)
            self._add(call, errno.EAFNOSUPPORT, _Comparison(0, GREATER, FAMILY_MAX - 1, 0))

    def refuse_sockets_of_the_machine(self) -> None:
        """Where i386 makes them by its one call for all of sockets', whose arguments lie where a filter does not see
        them, it makes none.
        """
        for call in ("socket", "socketpair"):
            for number in OF_THE_HYPERVISOR_AND_MODULES.values():
                refused = _Comparison(0, MASKED_EQUAL, LOW_HALF, number)
                self._add(call, errno.EAFNOSUPPORT, refused)
        netlink = _Comparison(0, MASKED_EQUAL, LOW_HALF, FAMILY_NUMBERS[NETLINK])
        policies = _Comparison(2, MASKED_EQUAL, LOW_HALF, NETLINK_OF_POLICIES)
        self._add("socket", errno.EPROTONOSUPPORT, netlink, policies)
        for several in (SOCKETCALL_SOCKET, SOCKETCALL_SOCKETPAIR):
            refused = _Comparison(0, MASKED_EQUAL, LOW_HALF, several)
            self._add("socketcall", errno.EAFNOSUPPORT, refused)

    def refuse_uncounted_memory(self) -> None:
        for (level, option), error in UNCOUNTED.items():
            of_level = _Comparison(1, MASKED_EQUAL, LOW_HALF, level)
            self._add("setsockopt", error, of_level, _Comparison(2, MASKED_EQUAL, LOW_HALF, option))
        xdp = _Comparison(1, MASKED_EQUAL, LOW_HALF, OF_XDP)
        self._add("setsockopt", errno.ENOPROTOOPT, xdp)
        several = _Comparison(0, MASKED_EQUAL, LOW_HALF, SOCKETCALL_SETSOCKOPT)
        self._add("socketcall", errno.ENOSYS, several)

    def refuse_typing(self) -> None:
        for command in TTY_INPUT:
            refused = _Comparison(1, MASKED_EQUAL, LOW_HALF, command)
            self._add("ioctl", errno.EPERM, refused)

    def cover_other_architectures(self, machine: str) -> None:
        """Programs of these run as well, and are refused the same; otherwise they are killed."""
        for name in OTHER_ARCHITECTURES.get(machine, ()):
            token = self._library.seccomp_arch_resolve_name(name.encode())
            if token:
                self._check(self._library.seccomp_arch_add(self._context, ctypes.c_uint32(token)))

    def load(self, *, with_privileges: bool = False) -> None:
        """`with_privileges`: root goes on to gain new ones, as what starts servers has to."""
        if with_privileges:
            value = ctypes.c_uint32(0)
            set_to = self._library.seccomp_attr_set(self._context, ATTRIBUTE_NO_NEW_PRIVS, value)
            self._check(set_to)
        self._check(self._library.seccomp_load(self._context))
        self._library.seccomp_release(self._context)

    def _add(self, name: str, error: int, *compared: _Comparison) -> None:
        """A call that this machine's kernels do not have is refused by that."""
        number = self._library.seccomp_syscall_resolve_name(name.encode())
        if number == NO_SUCH_CALL:
            return
        array = (_Comparison * len(compared))(*compared)
        action, count = ctypes.c_uint32(FAIL | error), ctypes.c_uint(len(compared))
        self._check(
            self._library.seccomp_rule_add_array(self._context, action, number, count, array)
        )

    def _check(self, result: int) -> None:
        if result != 0:
            raise OSError(-result, "make a filter of system calls")
