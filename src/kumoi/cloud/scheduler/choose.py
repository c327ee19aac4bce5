"""Choose a host for a server: a snapshot in, a decision and its reasons out. Reads nothing.

Called by domain/compute/placement.py with the hosts that have most room; when none of those will
do, once more with all of them, so that the reasons are complete.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

Reasons = tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A host as it is now. `*_free` is what may still be promised."""

    id: str
    up: bool
    enabled: bool
    drivers: frozenset[str]
    vcpus_free: int
    ram_free_mib: int
    disk_free_gib: int
    ready_images: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """What a server needs. `near` are hosts it prefers (soft affinity), `far` those it would rather
    not share (soft anti-affinity), with how often; `but` and `only` are hard.
    """

    driver: str
    vcpus: int
    ram_mib: int
    disk_gib: int
    image_id: str | None = None
    but: frozenset[str] = frozenset()
    only: frozenset[str] | None = None
    near: frozenset[str] = frozenset()
    far: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Decision:
    """`host_id` is None when no host will do, and `reasons` then say why: one per kind of lack."""

    host_id: str | None
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
        return Decision(min(fit, key=lambda candidate: _weight(candidate, ask)).id)
    if not candidates:
        return Decision(None, ("there are no hosts",))
    reasons = tuple(f"{_hosts(count)} {lack}" for lack, count in sorted(lacks.items()))
    return Decision(None, reasons)


def _lack(candidate: Candidate, ask: Ask) -> str | None:
    """Why this host will not do, as the end of a sentence; None when it will."""
    checks = (
        (ask.only is None or candidate.id in ask.only, "not allowed by the affinity or zone asked"),
        (candidate.id not in ask.but, "ruled out by anti-affinity"),
        (candidate.up, "down"),
        (candidate.enabled, "disabled"),
        (ask.driver in candidate.drivers, f"without the {ask.driver} driver"),
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


def _hosts(count: int) -> str:
    return "1 host is" if count == 1 else f"{count} hosts are"
