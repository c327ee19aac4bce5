"""What a unit is held to: as whom it runs and what it may reach. units/rights.py fills it in."""

from __future__ import annotations

from dataclasses import dataclass

ROOT = "root"
UNIX, INET, INET6, NETLINK, PACKET = "unix", "inet", "inet6", "netlink", "packet"
SHARED_UMASK = 0o007  # Whoever has the group of a unit works on the same files and sockets.


@dataclass(frozen=True, slots=True)
class Confinement:
    """As whom a unit runs, and all that it may reach.

    `groups` are further groups. `state` is its home: where what it keeps is, and drafts. `writes` are
    directories in which it may do as it likes, and devices; `reads` are files and directories; both
    beside what every program reads of the system. `capabilities` are names as in capabilities(7),
    `families` the address families of its sockets. With `starts_programs` it may execute the
    system's programs, without it none but its own.

    `is_bounded` is whether all that holds. What is not bounded is root and may reach every path: the
    agent only, since what it holds back would be held back from all servers.
    """

    user: str
    group: str
    groups: tuple[str, ...] = ()
    state: str = ""
    reads: tuple[str, ...] = ()
    writes: tuple[str, ...] = ()
    capabilities: tuple[str, ...] = ()
    families: tuple[str, ...] = (UNIX,)
    starts_programs: bool = False
    umask: int = SHARED_UMASK
    is_bounded: bool = True
