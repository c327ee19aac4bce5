"""Memory of the machine that a server's sockets took and that counted for no control group: a server of 512 MiB had
2 GiB of rings within a second. The filter of the agent, which each of its servers inherits, by calls with a
descriptor that is none: what is not refused says so.
"""

from __future__ import annotations

import errno
import json
import os
import sys

import pytest

from kumoi.base import process
from kumoi.cloud.drivers.instance.lxc import confinement
from kumoi.hosts.units import syscalls

CHILD = """
import ctypes, json, sys
from kumoi.hosts.units import sandbox
from kumoi.hosts.units.confinement import Confinement
sandbox.apply(Confinement(user="root", group="root", is_bounded=False), sys.executable)
libc = ctypes.CDLL(None, use_errno=True)
found = []
for level, option in json.loads(sys.argv[1]):
    number = ctypes.c_long(int(sys.argv[2]))
    libc.syscall(number, ctypes.c_long(-1), ctypes.c_long(level), ctypes.c_long(option), b"1234", ctypes.c_long(4))
    found.append(ctypes.get_errno())
print(json.dumps(found))
"""
RING, SEND_RING, FORCED = (263, 5), (263, 13), (1, 33)
RINGS_OF_XDP = (283, 2)
POLICY, POLICY_OF_IPV6 = (0, 17), (41, 35)
VERSION, RECEIVE_BUFFER = (263, 10), (1, 8)  # Which programs need, and which count.
WIDE = 1 << 32


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="the number of setsockopt")
def test_a_server_takes_no_memory_by_sockets_that_counts_for_nobody() -> None:
    tried = [RING, SEND_RING, FORCED, RINGS_OF_XDP, VERSION, RECEIVE_BUFFER]
    tried += [POLICY, POLICY_OF_IPV6]
    tried += [(level + WIDE, option + WIDE) for level, option in (RING, FORCED)]
    done = process.run([sys.executable, "-c", CHILD, json.dumps(tried), "54"])
    answers = [errno.errorcode[number] for number in json.loads(done.out)]
    refused = ["ENOPROTOOPT", "ENOPROTOOPT", "EPERM", "ENOPROTOOPT"]
    policies = ["ENOPROTOOPT"] * 2
    assert answers == [*refused, "EBADF", "EBADF", *policies, "ENOPROTOOPT", "EPERM"]


SOCKETS = """
import json, socket, sys
from kumoi.hosts.units import sandbox
from kumoi.hosts.units.confinement import Confinement
sandbox.apply(Confinement(user="root", group="root", is_bounded=False), sys.executable)
found = []
for family, protocol in json.loads(sys.argv[1]):
    try:
        socket.socket(family, socket.SOCK_RAW, protocol).close()
        found.append(0)
    except OSError as refused:
        found.append(refused.errno)
print(json.dumps(found))
"""
LINKS, POLICIES, KEYS = (16, 0), (16, 6), (15, 2)


def test_a_server_tells_the_kernel_no_policies_of_ipsec() -> None:
    """930 bytes each, which counted for nobody."""
    tried = json.dumps([LINKS, POLICIES, KEYS])
    done = process.run([sys.executable, "-c", SOCKETS, tried])
    assert json.loads(done.out) == [0, errno.EPROTONOSUPPORT, errno.EAFNOSUPPORT]
    assert confinement.POLICIES_REFUSED in confinement.seccomp().splitlines()


def test_lxcs_own_filter_has_the_same() -> None:
    lines = confinement.seccomp().splitlines()
    for level, option in syscalls.UNCOUNTED:
        words = (f"[1,{level},SCMP_CMP_MASKED_EQ", f"[2,{option},SCMP_CMP_MASKED_EQ")
        assert any(
            line.startswith("setsockopt ") and all(word in line for word in words) for line in lines
        )
