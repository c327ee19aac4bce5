"""Links of a host that are plugged into its switch, whoever has their other end.

All functions work in the network namespace of the calling thread. A link that is gone already is no
error. Checksum offload is turned off at both ends: the switch's user-space datapath forwards packets
as they are, and a checksum left to the hardware would never be filled in.
"""

from __future__ import annotations

import array
import contextlib
import errno
import fcntl
import socket
import struct
from collections.abc import Collection, Iterable, Iterator
from typing import Any

from kumoi.base.errors import Transient

_SIOCGIFFLAGS = 0x8913
_SIOCETHTOOL = 0x8946
_ETHTOOL_STXCSUM = 0x17
_IFF_UP = 1
_GONE = (errno.ENODEV, errno.ENOENT)


def delete(names: Iterable[str]) -> None:
    """Remove links by the name of the host's end, and with it the other end."""
    wanted = list(names)
    if not wanted:
        return
    with netlink("remove links") as route:
        for name in wanted:
            with ignoring_gone():
                route.link("del", ifname=name)


def exists(name: str) -> bool:
    """Whether there is a link of that name."""
    try:
        socket.if_nametoindex(name)
    except OSError:
        return False
    return True


def is_up(name: str) -> bool:
    """Whether there is a link of that name and it is up."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as opened:
        try:
            answer = fcntl.ioctl(opened, _SIOCGIFFLAGS, struct.pack("16s24x", name.encode()))
        except OSError:
            return False
    flags: int = struct.unpack_from("=H", answer, 16)[0]
    return bool(flags & _IFF_UP)


def set_up(names: Iterable[str]) -> None:
    """Bring up those of the links that are down."""
    down = [name for name in names if not is_up(name)]
    if not down:
        return
    with netlink("bring up links") as route:
        for name in down:
            with ignoring_gone():
                route.link("set", ifname=name, state="up")


def disable_offload(name: str) -> None:
    """Turn transmit checksum offload off; an end that is in its server already is left alone."""
    value = array.array("B", struct.pack("=II", _ETHTOOL_STXCSUM, 0))
    address, _ = value.buffer_info()
    request = struct.pack("16sP16x", name.encode(), address)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as opened:
        try:
            fcntl.ioctl(opened, _SIOCETHTOOL, request)
        except OSError as cause:
            if cause.errno not in _GONE:
                raise Transient(f"turn off checksum offload of {name}") from cause


@contextlib.contextmanager
def netlink(what: str) -> Any:
    """A way to the kernel. Imported when there is something to say: an agent without servers is a quarter smaller."""
    from pyroute2.iproute.linux import IPRoute  # noqa: PLC0415
    from pyroute2.netlink.exceptions import NetlinkError  # noqa: PLC0415

    try:
        with IPRoute() as route:
            yield route
    except (NetlinkError, OSError) as cause:
        raise Transient(what) from cause


def ignoring_gone() -> contextlib.AbstractContextManager[None]:
    """A link that is gone already is no error."""
    return ignoring(_GONE)


@contextlib.contextmanager
def ignoring(codes: Collection[int]) -> Iterator[None]:
    """Within `netlink`: these answers of the kernel are no errors."""
    from pyroute2.netlink.exceptions import NetlinkError  # noqa: PLC0415 - as there

    try:
        yield
    except NetlinkError as cause:
        if cause.code not in codes:
            raise
