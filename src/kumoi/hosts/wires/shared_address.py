"""The shared address as one control host has it: whether it is here, and an end for connections that it left behind.

Linux keeps a connection whose own address is gone. Nothing that it sends leaves any more, so a client that waits for an
answer, here or elsewhere, would never hear that none comes.
"""

from __future__ import annotations

import contextlib
import errno
import socket

from kumoi.base import process
from kumoi.base.process import ProcessFailed

LOOPBACK = "lo"


def is_here(address: str) -> bool:
    """Whether a link of this network namespace has it."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind((address, 0))
        except OSError as error:
            if error.errno == errno.EADDRNOTAVAIL:
                return False
            raise
    return True


def end_connections(address: str) -> None:
    """Reset every TCP connection of this network namespace whose own end is the address, which is nowhere here. For
    the moment the loopback link has it: a reset leaves from no address but one that is here. Whoever here connects to the
    address in that moment reaches this host, and is reset afterwards: both ends are here. Whoever may do that has
    CAP_NET_ADMIN. Raises ProcessFailed.
    """
    process.run(["ip", "address", "replace", *_borrowed(address)])
    try:
        _kill_connections(address)
    finally:
        give_back(address)
    _kill_connections(address)


def give_back(address: str) -> None:
    """What `end_connections` borrowed, where it was killed meanwhile."""
    with contextlib.suppress(ProcessFailed):  # It is not there.
        process.run(["ip", "address", "delete", *_borrowed(address)])


def _kill_connections(address: str) -> None:
    process.run(["ss", "--no-header", "--numeric", "--tcp", "--kill", "src", address])


def _borrowed(address: str) -> list[str]:
    return [f"{address}/32", "dev", LOOPBACK]
