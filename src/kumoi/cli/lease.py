"""What `status` tells of hosts' leases, and of who heals."""

from __future__ import annotations

from dataclasses import dataclass

from rich.text import Text

from kumoi.base.errors import KumoiError
from kumoi.cli.output import console
from kumoi.config import CloudSettings, HostSettings
from kumoi.hosts.cluster import leases

ETCD_AWAY = (
    "etcd does not answer: nothing is healed. A host that cannot renew its lease for 10 s stops its servers "
    "whose ha:policy is rebuild, unless most members say that nobody leads"
)


@dataclass(frozen=True, slots=True)
class ShownLeases:
    """`held` are the hosts that have one, None where that is not known, or there are none. `words` are what
    an operator must know; none where all is well.
    """

    held: tuple[str, ...] | None
    words: tuple[str, ...]


def look(cloud: CloudSettings, here: HostSettings) -> ShownLeases:
    try:
        book = leases.open_book(cloud, here)
        if book is None:
            return ShownLeases(None, ())
        view = book.look()
    except (KumoiError, OSError):
        return ShownLeases(None, (ETCD_AWAY,))
    words = [f"the servers of {host} are being moved" for host in sorted(view.healing)]
    words += [f"the healer {view.healer}"] if view.healer else []
    return ShownLeases(tuple(sorted(view.held)), tuple(words))


def show(found: ShownLeases, hosts: list[str]) -> None:
    """`hosts` are all of the cloud."""
    for words in found.words:
        console().print(Text(f"Healing: {words}", "red"))
    lost = [] if found.held is None else [name for name in hosts if name not in found.held]
    if lost:
        console().print(Text(f"Without a lease: {', '.join(lost)}", "red"))
