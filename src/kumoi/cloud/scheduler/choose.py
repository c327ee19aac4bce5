"""Choose a host for a server: a snapshot in, a decision and its reasons out. Reads nothing.

Called by domain/compute/placement.py with the hosts that have most room; when none of those will
do, once more with all of them, so that the reasons are complete.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

Reasons = tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Runs:
    """What one driver of a host takes and can do. `formats` of None: it has not said, which a host
    of an older release does not; then it is tried.
    """

    formats: frozenset[str] | None = None
    capabilities: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A host as it is now. `*_free` is what may still be promised."""

    id: str
    up: bool
    enabled: bool
    drivers: Mapping[str, Runs]
    vcpus_free: int
    ram_free_mib: int
    disk_free_gib: int
    ready_images: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """What a server needs: a driver that takes its image's format and has all `capabilities`. `near`
    are hosts it prefers (soft affinity), `far` those it would rather
    not share (soft anti-affinity), with how often; `but` and `only` are hard.
    """

    image_format: str
    vcpus: int
    ram_mib: int
    disk_gib: int
    capabilities: frozenset[str] = frozenset()
    image_id: str | None = None
    but: frozenset[str] = frozenset()
    only: frozenset[str] | None = None
    near: frozenset[str] = frozenset()
    far: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Decision:
    """`host_id` is None when no host will do, and `reasons` then say why: one per kind of lack.
    `driver` is the one of that host that is to run the server.
    """

    host_id: str | None
    driver: str = ""
    reasons: Reasons = ()


def choose(candidates: Sequence[Candidate], ask: Ask) -> Decision:
    """The best host by weight; ties go to the lower id, so that the answer is always the same."""
    lacks: Counter[str] = Counter()
    fit: list[Candidate] = []
    for candidate in candidates:
        lack = _lack(candidate, ask)
        if lack is None:
            fit.append(candidate)
        else:
            lacks[lack] += 1
    if fit:
        best = min(fit, key=lambda candidate: _weight(candidate, ask))
        return Decision(best.id, drivers(best, ask)[0])
    if not candidates:
        return Decision(None, reasons=("there are no hosts",))
    reasons = tuple(f"{_hosts(count)} {lack}" for lack, count in sorted(lacks.items()))
    return Decision(None, reasons=reasons)


def drivers(candidate: Candidate, ask: Ask) -> list[str]:
    """Those of a host that take the image and can do all that is asked, by name."""
    return [
        name
        for name in _takers(candidate, ask)
        if ask.capabilities <= candidate.drivers[name].capabilities
    ]


def _takers(candidate: Candidate, ask: Ask) -> list[str]:
    return sorted(
        name
        for name, runs in candidate.drivers.items()
        if runs.formats is None or ask.image_format in runs.formats
    )


def _lack(candidate: Candidate, ask: Ask) -> str | None:
    """Why this host will not do, as the end of a sentence; None when it will."""
    checks = (
        (ask.only is None or candidate.id in ask.only, "not allowed by the affinity or zone asked"),
        (candidate.id not in ask.but, "ruled out by anti-affinity"),
        (candidate.up, "down"),
        (candidate.enabled, "disabled"),
        (bool(_takers(candidate, ask)), f"without a driver for {ask.image_format} images"),
        (bool(drivers(candidate, ask)), f"without {_words(ask.capabilities)} for such images"),
        (candidate.vcpus_free >= ask.vcpus, f"without {ask.vcpus} free vcpus"),
        (candidate.ram_free_mib >= ask.ram_mib, f"without {ask.ram_mib} MiB of free memory"),
        (candidate.disk_free_gib >= ask.disk_gib, f"without {ask.disk_gib} GiB of free disk"),
    )
    return next((lack for holds, lack in checks if not holds), None)


def _weight(candidate: Candidate, ask: Ask) -> tuple[Any, ...]:
    """Least is best: group wishes first, then a ready image, then free memory, then the name."""
    return (
        ask.far.get(candidate.id, 0),
        candidate.id not in ask.near,
        ask.image_id not in candidate.ready_images,
        -candidate.ram_free_mib,
        candidate.id,
    )


def _words(capabilities: frozenset[str]) -> str:
    return " and ".join(sorted(capabilities))


def _hosts(count: int) -> str:
    return "1 host is" if count == 1 else f"{count} hosts are"
