"""The range of user and group ids that the servers of one host may have.

Several hosts, and several clouds, may run on one machine, and no two of their servers may share an id.
So each host claims a range in /etc/subuid and /etc/subgid, where newuidmap, which liblxc calls, looks
it up: a line for root, below a comment that names the owner, the directory of its driver.

    # kumoi /var/lib/kumoi/host/lxc
    root:1073741824:67108864

Claiming and releasing take one lock; the lines of others are copied as they are. The LXC driver claims
before each start of a server, for somebody may have edited the files; `down --purge` releases. idmap.py
divides the range among servers.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from kumoi.base import files
from kumoi.base.errors import Permanent
from kumoi.base.files import Promise

FIRST = 1 << 30  # Far above what people and distributions use.
END = 1 << 31  # The sign bit, beyond which old programs go wrong.
COUNT = 1 << 26
LOWER = 1 << 29  # Where the machine's hosts that find no range above begin.
BASES = (*range(FIRST, END, COUNT), *range(LOWER, FIRST, COUNT))
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

    def is_free(self, others_ranges: Iterable[range]) -> bool:
        end = self.base + COUNT
        return not any(other.start < end and self.base < other.stop for other in others_ranges)


def claim(owner: Path, places: Sequence[Path] = PLACES) -> Claim:
    """The owner's range, the same each time. Raises Permanent when all are taken."""
    with files.locked(places[0].parent):
        texts = [_lines(place) for place in places]
        found = [_find(lines, owner) for lines in texts]
        if found[0] is not None and all(claim == found[0] for claim in found):
            return found[0]
        others = [_without(lines, owner) for lines in texts]  # A kill came between the files.
        others_ranges = [range_ for lines in others for range_ in _ranges_of_others(lines)]
        claims = [*found, *map(Claim, BASES)]
        chosen = next((claim for claim in claims if claim and claim.is_free(others_ranges)), None)
        if chosen is None:
            raise Permanent(
                "every range of user ids for servers is taken in /etc/subuid and /etc/subgid"
            )
        for place, lines in zip(places, others, strict=True):
            _write(place, [*lines, _mark(owner), chosen.line])
        return chosen


def release(owner: Path, places: Sequence[Path] = PLACES, *, proc: Path = PROC) -> bool:
    """Give the owner's range back, unless a process still runs as one of its ids; whether it did."""
    with files.locked(places[0].parent):
        for place in places:
            lines = _lines(place)
            claim = _find(lines, owner)
            if claim is not None and _is_in_use(claim, proc):
                return False
            if claim is not None:
                _write(place, _without(lines, owner))
    return True


def _mark(owner: Path) -> str:
    return f"{MARK}{owner}"


def _lines(place: Path) -> list[str]:
    return place.read_text("utf-8", "surrogateescape").splitlines() if place.exists() else []


def _find(lines: list[str], owner: Path) -> Claim | None:
    """The claim below the owner's mark."""
    for mark, line in itertools.pairwise(lines):
        if mark == _mark(owner):
            for base in BASES:
                if line == Claim(base).line:
                    return Claim(base)
    return None


def _without(lines: list[str], owner: Path) -> list[str]:
    """All lines but the owner's mark and the claim below it."""
    claim, others, before = _find(lines, owner), list[str](), ""
    for line in lines:
        is_claim = before == _mark(owner) and claim is not None and line == claim.line
        if line != _mark(owner) and not is_claim:
            others.append(line)
        before = line
    return others


def _ranges_of_others(lines: list[str]) -> Iterator[range]:
    """The ranges of all users but root, and those that other hosts of ours have claimed. Root's other
    ranges may be used by anything on this machine that root starts, so also by us.
    """
    before = ""
    for line in lines:
        user, _, numbers = line.partition(":")
        start, _, count = numbers.partition(":")
        is_ours = user == "root" and before.startswith(MARK)
        if start.isdecimal() and count.isdecimal() and (user != "root" or is_ours):
            yield range(int(start), int(start) + int(count))
        before = line


def _write(place: Path, lines: list[str]) -> None:
    before = place.stat() if place.exists() else None
    files.replace(
        place,
        "".join(f"{line}\n" for line in lines).encode("utf-8", "surrogateescape"),
        promise=Promise.OLD_OR_NEW,
        mode=before.st_mode & 0o777 if before else files.OPEN,
        owner=(before.st_uid, before.st_gid) if before else None,
    )


def _is_in_use(claim: Claim, proc: Path) -> bool:
    for entry in proc.iterdir():
        with contextlib.suppress(OSError):  # The process ended meanwhile.
            if entry.name.isdigit() and claim.has(entry.stat().st_uid):
                return True
    return False
