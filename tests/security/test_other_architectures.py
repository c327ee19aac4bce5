"""Calls by which programs for 32-bit x86 went around the filter of the agent, which each of its servers inherits: any user
of a server had a socket to the machine's own hypervisor. A program of 64 bits makes such calls as well.
"""

from __future__ import annotations

import errno
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from kumoi.base import process
from kumoi.base.process import ProcessFailed
from tests.i386 import program

CHILD = """
import json, subprocess, sys
from kumoi.hosts.units import sandbox
from kumoi.hosts.units.confinement import Confinement
sandbox.apply(Confinement(user="root", group="root", is_bounded=False), sys.executable)
print(json.dumps([subprocess.run([file], check=False).returncode for file in sys.argv[1:]]))
"""
UNIX, VSOCK, XDP = 1, 40, 44
STREAM, RAW = 1, 3
RING = (263, 5)
SOCKETCALL, SOCKET, SOCKETPAIR, SETSOCKOPT = 102, 359, 360, 366
Call = tuple[int | Sequence[int], ...]
CALLS: dict[str, tuple[Call, int]] = {
    "socket of the hypervisor": ((SOCKET, VSOCK, STREAM, 0), errno.EAFNOSUPPORT),
    "two of them": ((SOCKETPAIR, VSOCK, STREAM, 0, (0, 0)), errno.EAFNOSUPPORT),
    "by the call for all of sockets'": ((SOCKETCALL, 1, (VSOCK, STREAM, 0)), errno.EAFNOSUPPORT),
    "two by it": ((SOCKETCALL, 8, (VSOCK, STREAM, 0, 0)), errno.EAFNOSUPPORT),
    "memory of rings": ((SETSOCKOPT, -1, *RING, (4_096, 1, 2_048, 2), 16), errno.ENOPROTOOPT),
    "memory of rings by it": ((SOCKETCALL, 14, (-1, *RING, 0, 16)), errno.ENOSYS),
    "another socket of raw frames": ((SOCKET, XDP, RAW, 0), errno.EAFNOSUPPORT),
    "policies of IPsec": ((SOCKET, 16, RAW, 6), errno.EPROTONOSUPPORT),
    "policies by an older way": ((SOCKET, 15, RAW, 2), errno.EAFNOSUPPORT),
    "netlink of links": ((SOCKET, 16, RAW, 0), 0),
    "a module": ((128, 0, 0, 0), errno.EPERM),
    "the machine's log": ((103, 3, 0, 0), errno.EPERM),
    "a socket that servers need": ((SOCKET, UNIX, STREAM, 0), 0),
    "two that servers need": ((SOCKETPAIR, UNIX, STREAM, 0, (0, 0)), 0),
    "its own number": ((20,), 0),
}


def files(directory: Path) -> list[Path]:
    made = []
    for number, (call, _) in enumerate(CALLS.values()):
        file = directory / f"call-{number}"
        file.write_bytes(program(*call))
        file.chmod(0o755)
        made.append(file)
    return made


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="of another machine's calls")
def test_a_server_goes_around_no_filter_by_calls_of_32_bits(tmp_path: Path) -> None:
    made = files(tmp_path)
    try:
        process.run([str(made[-1])])
    except ProcessFailed:
        pytest.skip("this machine runs no programs of 32 bits")
    done = process.run([sys.executable, "-c", CHILD, *made])
    answers = dict(zip(CALLS, json.loads(done.out), strict=True))
    assert answers == {name: error for name, (_, error) in CALLS.items()}
