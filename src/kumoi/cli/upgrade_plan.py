"""What `kumoi upgrade` sees before and between its steps: each host with what it runs, and what stands in the way.

Pure but for the processes and disks of this machine; upgrading.py asks the stores.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from kumoi.base.release import numbers, version_of
from kumoi.cli import choice, status
from kumoi.config import CloudSettings, HostSettings
from kumoi.hosts.cluster.succession import Succession

FREE_MIN_BYTES = 1 << 30  # For a release that cannot share its packages, and for logs.


@dataclass(frozen=True, slots=True)
class HostRelease:
    """A host and what it runs: `releases` are ids of releases where it is on this machine, else what it
    said last. `path` is its state directory, empty elsewhere. `seen` is when it was heard of last, in ISO 8601.
    `has_members` is whether members of the stores answer on a control host that is not heard of.
    """

    name: str
    is_control: bool
    is_up: bool
    releases: tuple[str, ...]
    path: str = ""
    seen: str = ""
    has_members: bool = False

    def is_of(self, release_id: str) -> bool:
        """Of another machine's host the version alone is known."""
        wanted = release_id if self.path else version_of(release_id)
        return self.releases == (wanted,)

    @property
    def is_off(self) -> bool:
        """On another machine, where nothing of it is heard of."""
        return not (self.path or self.is_up or self.has_members)


@dataclass(frozen=True, slots=True)
class Plan:
    """`target` is the release of this process. `hosts` are in the order in which they are upgraded."""

    target: str
    hosts: tuple[HostRelease, ...]
    doubts: tuple[str, ...]

    @property
    def to_do(self) -> list[HostRelease]:
        return [host for host in self.hosts if host.path and not host.is_of(self.target)]

    @property
    def elsewhere(self) -> list[HostRelease]:
        return [host for host in self.hosts if not host.path and not host.is_of(self.target)]

    @property
    def control_off(self) -> tuple[str, ...]:
        """Names of the control hosts that are off: the others are upgraded without them."""
        return tuple(host.name for host in self.hosts if host.is_control and host.is_off)

    @property
    def notices(self) -> list[str]:
        """What stops nothing, and is to be known before."""
        return [
            f"{name} is off: until it is back, writes wait while another control host starts anew, and no other one may "
            "be lost. After `finalize` its roles do not start before sudo ./kumoi up there"
            for name in self.control_off
        ]


def doubts(
    cloud: CloudSettings,
    first: HostSettings,
    hosts: Sequence[HostRelease],
    stores: Succession,
    target: str,
) -> tuple[str, ...]:
    """What is half broken before anything begins. `stores` are without members of hosts that are off."""
    return (
        *_of_stores(cloud, hosts, stores),
        *_here(cloud, first, hosts),
        *_elsewhere(hosts, target),
    )


def _of_stores(
    cloud: CloudSettings, hosts: Sequence[HostRelease], stores: Succession
) -> Iterator[str]:
    off = [host.name for host in hosts if host.is_control and host.is_off]
    if 2 * len(off) > len(cloud.control_hosts):
        yield f"{' and '.join(off)} are off, most of the control hosts: without one of them nothing can be changed"
    if stores.missing:
        yield f"the stores lack {'; '.join(stores.missing)}"


def _here(cloud: CloudSettings, first: HostSettings, hosts: Sequence[HostRelease]) -> Iterator[str]:
    for host in (first, *choice.others_here(cloud, first)):
        for row in status.processes(cloud, host):
            if not row.healthy:
                yield f"{row.name} of {host.name}: {row.why or row.state}"
    for each in hosts:
        if each.path:
            free = shutil.disk_usage(each.path).free
            if free < FREE_MIN_BYTES:
                yield f"{each.path} has {free >> 20} MiB free, and a release needs 1 GiB"
            if not each.releases:
                yield f"{each.name} is down"


def _elsewhere(hosts: Sequence[HostRelease], target: str) -> Iterator[str]:
    """Of hosts on other machines. One that is off blocks nothing; of one that is not heard of and whose members answer
    nobody knows what its other processes do.
    """
    for host in hosts:
        if host.path:
            continue
        if host.has_members and not host.is_up:
            yield (
                f"{host.name} is not heard of since {host.seen or 'ever'}, and its members of the stores answer: there "
                "sudo ./kumoi status"
            )
        for each in host.releases:
            if numbers(each) > numbers(version_of(target)):
                yield f"{host.name} is of {each} already, newer than this release"
