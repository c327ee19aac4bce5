"""The ids that a server's users have on this host.

Each server has 65,536 ids: those of its slot in the range that the host claimed (subids.py). On disk
the files of a server have the ids that its own users see; an idmapped mount translates them, so a disk
can move to another slot or another host.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from kumoi.base import process
from kumoi.base.errors import Permanent, Transient
from kumoi.cloud.drivers.instance.lxc import subids

RANGE = 65_536
SLOTS = subids.COUNT // RANGE - 1
"""For servers. The range after the last is for programs that read what tenants sent (reader.py)."""


@dataclass(frozen=True, slots=True)
class IdRange:
    """Users 0 to 65,535 of a server are users `base` and on of the host."""

    base: int
    count: int = RANGE


class IdOwners:
    """Whose range of ids is which, as this process saw it: by `base`. A server has one at a time, so with
    another one it gives the one before to whoever comes. Used by several threads.
    """

    def __init__(self, owners: Mapping[int, str]) -> None:
        self._owners = dict(owners)
        self._lock = threading.Lock()

    def take(self, ids: IdRange, server_id: str, is_up: Callable[[str], bool]) -> None:
        """Raises Transient while another one runs with them."""
        with self._lock:
            owner = self._owners.get(ids.base, server_id)
            if owner != server_id and is_up(owner):
                raise Transient("start a server: another one still runs with its user ids")
            for base in [base for base, one in self._owners.items() if one == server_id]:
                del self._owners[base]
            self._owners[ids.base] = server_id


def of_slot(claim: subids.Claim, slot: int) -> IdRange:
    if not 0 <= slot < SLOTS:
        raise Permanent(f"user id slot {slot} is not one of 0 to {SLOTS - 1}")
    return IdRange(claim.base + slot * RANGE)


def of_readers(claim: subids.Claim) -> IdRange:
    """No server's."""
    return IdRange(claim.base + SLOTS * RANGE)


def base_of(pid: int) -> int:
    """The first id of the host that a process's users have; -1 when it has ended."""
    try:
        return int(Path(f"/proc/{pid}/uid_map").read_text().split()[1])
    except (OSError, IndexError):
        return -1


def open_namespace(ids: IdRange) -> int:
    """A user namespace with this range, as a descriptor; the caller closes it."""
    with process.piped(["unshare", "--user", "cat"]) as child:
        child.input.write(b".")
        if child.output.read(1) != b".":  # It answers once it is in its namespace.
            raise Transient("make a user namespace")
        for kind in ("uid_map", "gid_map"):
            Path(f"/proc/{child.pid}/{kind}").write_text(f"0 {ids.base} {ids.count}\n")
        return os.open(f"/proc/{child.pid}/ns/user", os.O_RDONLY | os.O_CLOEXEC)
