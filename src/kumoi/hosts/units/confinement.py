"""What a unit is held to: as whom it runs and what it may reach. units/rights.py fills it in."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass

LAUNCHER = "kumoi.hosts.units.launch"
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

    `reads_tenants` marks a helper that reads what a tenant sent: beside what stands here it reads programs
    only, without sockets it controls no device, and it ends with whoever started it. A helper without a
    `user` is as who starts it, which need not be root.

    One that `forks_readers` is itself small: where memory runs out it ends as soon as these, which have
    what it has and cannot change it.

    What it starts may outlive one that `is_followed`, and is ended by the next.

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
    reads_tenants: bool = False
    forks_readers: bool = False
    is_followed: bool = False
    is_bounded: bool = True


def launched(
    confined: Confinement,
    argv: Sequence[str],
    *,
    python: str = sys.executable,
    variables: Iterable[str] = (),
    namespace: str = "",
    users: str = "",
) -> tuple[str, ...]:
    """The command that becomes `argv`, held to `confined`; of the environment, `variables` go on to it,
    and it runs in the network namespace of that path, and as a user of the user namespace `users`. Its
    program is an absolute path.
    """
    arguments = {
        "confined": asdict(confined),
        "namespace": namespace,
        "users": users,
        "variables": list(variables),
    }
    return (python, "-I", "-m", LAUNCHER, json.dumps(arguments), *argv)
