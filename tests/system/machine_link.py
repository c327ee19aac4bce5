"""A link as a virtual machine has it, without a machine: what the machine would send is written into it."""

from __future__ import annotations

import contextlib
import fcntl
import os
import socket
import struct
from collections.abc import Iterator

from kumoi.cloud.drivers.network import veth

TAP, WITHOUT_HEAD, SET_KIND = 2, 0x1000, 0x400454CA


@contextlib.contextmanager
def machines_link(name: str) -> Iterator[int]:
    """Up."""
    tap = os.open("/dev/net/tun", os.O_RDWR)
    try:
        fcntl.ioctl(tap, SET_KIND, struct.pack("16sH22x", name.encode(), TAP | WITHOUT_HEAD))
        veth.set_up([name])
        yield tap
    finally:
        os.close(tap)


def heard(listener: socket.socket, frame: bytes) -> int:
    """How many of these frames came until it was quiet."""
    seen = 0
    with contextlib.suppress(TimeoutError):
        while True:
            seen += listener.recv(2_048) == frame
    return seen
