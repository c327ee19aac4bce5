"""The user and group ids that the servers of one host may have: a range of them, claimed here.

Several hosts, and several clouds, run on one machine, and no two of their servers may share an id.
So each host claims a range in /etc/subuid and /etc/subgid, where liblxc asks newuidmap for it: a
line for root, below a line that says whose it is, by the directory of its servers.

    # kumoi /var/lib/kumoi/host/lxc
    root:1073741824:67108864

A claim is taken and given back under one lock; the lines of others are copied as they are. The LXC
driver claims, before each start of a server as somebody may have edited the files; `down --purge`
releases. What ids within the range are for is idmap.py's to say.
"""

from __future__ import annotations

import contextlib
import fcntl
import itertools
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from kumoi.base import files
from kumoi.base.errors import Permanent
from kumoi.base.files import Promise

FIRST = 1 << 30  # Far above what people and distributions use.
END = 1 << 31  # The sign bit, beyond which old programs go wrong.
COUNT = 1 << 26
PLACES = (Path("/etc/subuid"), Path("/etc/subgid"))
PROC = Path("/proc")
MARK = "# kumoi "


@dataclass(frozen=True, slots=True)
class Claim:
    """Ids from `base` on, COUNT of them."""

    base: int

    @property
    def line(self) -> str:
        return f"root:{self.base}:{COUNT}"

    def has(self, uid: int) -> bool:
        return self.base <= uid < self.base + COUNT


def claim(owner: Path, places: Sequence[Path] = PLACES) -> Claim:
    """The owner's range, the same each time. Raises Permanent when all are taken."""
    with _alone(places):
        texts = [_lines(place) for place in places]
        held = [_find(lines, owner) for lines in texts]
        if held[0] is not None and all(one == held[0] for one in held):
            return held[0]
        others = [_without(lines, owner) for lines in texts]  # A kill came between the files.
        taken = [range_ for lines in others for range_ in _taken(lines)]
        chosen = next((one for one in held if one and _is_free(one, taken)), None) or _free(taken)
        for place, lines in zip(places, others, strict=True):
            _write(place, [*lines, _mark(owner), chosen.line])
        return chosen


def release(owner: Path, places: Sequence[Path] = PLACES, *, proc: Path = PROC) -> bool:
    """Give the owner's range back unless some process still runs as one of its ids; whether it is."""
    with _alone(places):
        for place in places:
            lines = _lines(place)
            held = _find(lines, owner)
            if held is not None and _is_in_use(held, proc):
                return False
            if held is not None:
                _write(place, _without(lines, owner))
    return True


@contextlib.contextmanager
def _alone(places: Sequence[Path]) -> Iterator[None]:
    """One of us at a time. The files are replaced, so their directory is what is locked."""
    handle = os.open(places[0].parent, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _mark(owner: Path) -> str:
    return f"{MARK}{owner}"


def _lines(place: Path) -> list[str]:
    return place.read_text("utf-8", "surrogateescape").splitlines() if place.exists() else []


def _find(lines: list[str], owner: Path) -> Claim | None:
    """What stands below the owner's mark."""
    for mark, line in itertools.pairwise(lines):
        if mark == _mark(owner):
            for base in range(FIRST, END, COUNT):
                if line == Claim(base).line:
                    return Claim(base)
    return None


def _without(lines: list[str], owner: Path) -> list[str]:
    """All lines but the owner's mark and the claim below it."""
    held, kept, before = _find(lines, owner), list[str](), ""
    for line in lines:
        is_claim = before == _mark(owner) and held is not None and line == held.line
        if line != _mark(owner) and not is_claim:
            kept.append(line)
        before = line
    return kept


def _taken(lines: list[str]) -> Iterator[range]:
    """The ranges of everybody but root, and what other hosts of ours claimed. What else root was
    given, it may divide as it likes.
    """
    before = ""
    for line in lines:
        user, _, numbers = line.partition(":")
        start, _, count = numbers.partition(":")
        is_ours = user == "root" and before.startswith(MARK)
        if start.isdecimal() and count.isdecimal() and (user != "root" or is_ours):
            yield range(int(start), int(start) + int(count))
        before = line


def _is_free(one: Claim, taken: list[range]) -> bool:
    end = one.base + COUNT
    return not any(other.start < end and one.base < other.stop for other in taken)


def _free(taken: list[range]) -> Claim:
    for base in range(FIRST, END, COUNT):
        if _is_free(Claim(base), taken):
            return Claim(base)
    raise Permanent("every range of user ids for servers is taken in /etc/subuid and /etc/subgid")


def _write(place: Path, lines: list[str]) -> None:
    there = place.stat() if place.exists() else None
    files.replace(
        place,
        "".join(f"{line}\n" for line in lines).encode("utf-8", "surrogateescape"),
        promise=Promise.OLD_OR_NEW,
        mode=there.st_mode & 0o777 if there else files.OPEN,
        owner=(there.st_uid, there.st_gid) if there else None,
    )


def _is_in_use(held: Claim, proc: Path) -> bool:
    for entry in proc.iterdir():
        with contextlib.suppress(OSError):  # It ended meanwhile.
            if entry.name.isdigit() and held.has(entry.stat().st_uid):
                return True
    return False
