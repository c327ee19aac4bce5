"""The shared address as one control host has it: whether it is here, and an end for connections that it left behind.

Linux keeps a connection whose own address is gone. Nothing that it sends leaves any more, so a client that waits for an
answer, here or elsewhere, would never hear that none comes.

And nobody is refused there. Where all processes of a host have ended, its kernel has the address until another host takes it, and refuses
whoever connects meanwhile; without that answer the client's kernel asks again after a second, and meets the next holder.
"""

from __future__ import annotations

import contextlib
import errno
import socket

from kumoi.base import process
from kumoi.base.process import ProcessFailed
from kumoi.config import CloudSettings

LOOPBACK = "lo"
RULES = """\
table ip {table}
delete table ip {table}
table ip {table} {{
  chain output {{
    type filter hook output priority filter; policy accept;
    ip saddr {address} tcp sport {{ {ports} }} tcp flags == rst | ack tcp sequence 0 drop
  }}
}}
"""
"""A segment that begins a connection to nobody is answered so, with the number 0, and no other one is (RFC 9293, 3.10.7.1)."""


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


def refuse_nobody(cloud: CloudSettings, *, namespace: str | None) -> None:
    """Of those who connect to a port of the cloud at the address, from or to that network namespace. It may be repeated."""
    ports = f"{cloud.api_port}, {cloud.pipeline_port}"
    rules = RULES.format(table=_table(cloud), address=cloud.shared_address, ports=ports)
    process.run(["nft", "-f", "-"], stdin=rules, namespace=namespace)


def forget_refusals(cloud: CloudSettings) -> None:
    """In the machine's own network namespace: others go with their rules."""
    table = f"table ip {_table(cloud)}\n"
    process.run(["nft", "-f", "-"], stdin=f"{table}delete {table}")


def _table(cloud: CloudSettings) -> str:
    return f"{cloud.name}-clients"


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
