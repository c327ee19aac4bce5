"""Choose a host for a server: a snapshot of hosts in, a decision and its reasons out. Reads nothing.

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
class DriverOffer:
    """The image formats that one driver of a host accepts, and its capabilities. `formats` of None
    is a host of a release that does not report them: any format is tried there. `servers_max` of None
    is no limit, or an unknown one.
    """

    formats: frozenset[str] | None = None
    capabilities: frozenset[str] = frozenset()
    servers_max: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A host as it is now. `*_free` is what no server has claimed yet, `servers` how many have."""

    id: str
    up: bool
    enabled: bool
    drivers: Mapping[str, DriverOffer]
    vcpus_free: int
    ram_free_mib: int
    disk_free_gib: int
    ready_images: frozenset[str] = frozenset()
    servers: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class HostRules:
    """Which hosts a server may have, by their ids, and which it had better have.

    `excluded` (anti-affinity) and `allowed` (affinity, a zone, aggregates, or a host that the user
    named; None is any) are strict. `preferred` (soft affinity) and `avoided` (soft anti-affinity: how many servers of
    the group each host has) only change the order.
    """

    excluded: frozenset[str] = frozenset()
    allowed: frozenset[str] | None = None
    preferred: frozenset[str] = frozenset()
    avoided: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestSpec:
    """What a server needs of its host, which must have a driver that accepts its image's format and
    has all `capabilities`.
    """

    image_format: str
    vcpus: int
    ram_mib: int
    disk_gib: int
    capabilities: frozenset[str] = frozenset()
    image_id: str | None = None
    hosts: HostRules = HostRules()


@dataclass(frozen=True, slots=True)
class Decision:
    """`host_id` is None when no host will do; `reasons` then say why, each with the number of hosts
    it rules out. `driver` is the name of the host's driver that is to run the server.
    """

    host_id: str | None
    driver: str = ""
    reasons: Reasons = ()


def choose(candidates: Sequence[Candidate], spec: RequestSpec) -> Decision:
    """The best host by weight; ties go to the lower id, so that the answer is always the same."""
    rejections: Counter[str] = Counter()
    fitting: list[Candidate] = []
    for candidate in candidates:
        rejection = _rejection(candidate, spec)
        if rejection is None:
            fitting.append(candidate)
        else:
            rejections[rejection] += 1
    if fitting:
        best = min(fitting, key=lambda candidate: _weight(candidate, spec))
        return Decision(best.id, _drivers_with_room(best, spec)[0])
    if not candidates:
        return Decision(None, reasons=("there are no hosts",))
    return Decision(
        None,
        reasons=tuple(
            f"{'1 host is' if count == 1 else f'{count} hosts are'} {rejection}"
            for rejection, count in sorted(rejections.items())
        ),
    )


def drivers(candidate: Candidate, spec: RequestSpec) -> list[str]:
    """Names of the host's drivers that accept the image and have all capabilities asked for."""
    return [
        name
        for name in _accepting_drivers(candidate, spec)
        if spec.capabilities <= candidate.drivers[name].capabilities
    ]


def _drivers_with_room(candidate: Candidate, spec: RequestSpec) -> list[str]:
    """Those that can have one server more."""
    most = {name: candidate.drivers[name].servers_max for name in drivers(candidate, spec)}
    return [name for name, count in most.items() if count is None or candidate.servers < count]


def _accepting_drivers(candidate: Candidate, spec: RequestSpec) -> list[str]:
    return sorted(
        name
        for name, offer in candidate.drivers.items()
        if offer.formats is None or spec.image_format in offer.formats
    )


def _rejection(candidate: Candidate, spec: RequestSpec) -> str | None:
    """Why this host will not do, as the end of a sentence; None when it will."""
    allowed = spec.hosts.allowed
    capabilities = " and ".join(sorted(spec.capabilities))
    checks = (
        (
            allowed is None or candidate.id in allowed,
            "not allowed by the affinity, zone or aggregate asked",
        ),
        (candidate.id not in spec.hosts.excluded, "ruled out by anti-affinity"),
        (candidate.up, "down"),
        (candidate.enabled, "disabled"),
        (
            bool(_accepting_drivers(candidate, spec)),
            f"without a driver for {spec.image_format} images",
        ),
        (bool(drivers(candidate, spec)), f"without {capabilities} for such images"),
        (
            bool(_drivers_with_room(candidate, spec)),
            "at the number of servers that it can have",
        ),
        (candidate.vcpus_free >= spec.vcpus, f"without {spec.vcpus} free vcpus"),
        (candidate.ram_free_mib >= spec.ram_mib, f"without {spec.ram_mib} MiB of free memory"),
        (candidate.disk_free_gib >= spec.disk_gib, f"without {spec.disk_gib} GiB of free disk"),
    )
    return next((rejection for holds, rejection in checks if not holds), None)


def _weight(candidate: Candidate, spec: RequestSpec) -> tuple[Any, ...]:
    """Least is best: soft affinity first, then a ready image, then free memory, then the id."""
    return (
        spec.hosts.avoided.get(candidate.id, 0),
        candidate.id not in spec.hosts.preferred,
        spec.image_id not in candidate.ready_images,
        -candidate.ram_free_mib,
        candidate.id,
    )
