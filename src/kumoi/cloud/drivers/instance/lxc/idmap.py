"""The ids that a server's users have on this host.

Each server has 65,536 of them, from 2^30 + slot x 65,536 up to 2^31: far above what people and
distributions use, and below the sign bit, where old programs go wrong. On disk a server's files
have the ids its own users see; a mount translates them, so a disk can move to another slot.

Several clouds on one machine share the range. liblxc asks newuidmap, so root must be given the
range in /etc/subuid and /etc/subgid: one line, written once, removed only when no process uses any
of these ids.
"""

from __future__ import annotations

import fcntl
import os
from dataclasses import dataclass
from pathlib import Path

from kumoi.base import process
from kumoi.base.errors import Permanent, Transient

BASE = 1 << 30
RANGE = 65_536
SLOTS = 16_384
LINE = f"root:{BASE}:{RANGE * SLOTS}\n"
GRANT_FILES = (Path("/etc/subuid"), Path("/etc/subgid"))


@dataclass(frozen=True, slots=True)
class IdRange:
    """Users 0 to 65,535 of a server are users `base` and on of the host."""

    base: int
    count: int = RANGE


def of_slot(slot: int) -> IdRange:
    if not 0 <= slot < SLOTS:
        raise Permanent(f"user id slot {slot} is not one of 0 to {SLOTS - 1}")
    return IdRange(BASE + slot * RANGE)


def open_namespace(ids: IdRange) -> int:
    """A user namespace with this range, as a descriptor; the caller closes it."""
    with process.piped(["unshare", "--user", "cat"]) as child:
        child.input.write(b".")
        if child.output.read(1) != b".":  # Its answer says that it is in its namespace by now.
            raise Transient("make a user namespace")
        for kind in ("uid_map", "gid_map"):
            Path(f"/proc/{child.pid}/{kind}").write_text(f"0 {ids.base} {ids.count}\n")
        return os.open(f"/proc/{child.pid}/ns/user", os.O_RDONLY | os.O_CLOEXEC)


def ensure_grant(files: tuple[Path, ...] = GRANT_FILES) -> None:
    """Give root the whole range, where it does not have it yet."""
    for path in files:
        with path.open("a+", encoding="ascii") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            file.seek(0)
            text = file.read()
            if LINE not in text.splitlines(keepends=True):
                file.write(LINE if not text or text.endswith("\n") else "\n" + LINE)


def remove_grant(files: tuple[Path, ...] = GRANT_FILES, *, proc: Path = Path("/proc")) -> bool:
    """Take the range back unless some process still runs as one of its ids; whether it did."""
    if _in_use(proc):
        return False
    for path in files:
        with path.open("r+", encoding="ascii") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            kept = [line for line in file.read().splitlines(keepends=True) if line != LINE]
            file.seek(0)
            file.truncate()
            file.write("".join(kept))
    return True


def is_one(uid: int) -> bool:
    """Whether some server's user has this id."""
    return BASE <= uid < BASE + RANGE * SLOTS


def _in_use(proc: Path) -> bool:
    for entry in proc.iterdir():
        if entry.name.isdigit():
            try:
                if is_one(entry.stat().st_uid):
                    return True
            except FileNotFoundError:
                continue  # It ended meanwhile.
    return False
