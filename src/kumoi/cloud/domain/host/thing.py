"""What the control plane asks of a kind of thing: what hosts are told of it, what becomes of reports.

A kind is a value of four functions over the open transaction (kinds.py lists them all). The long
poll, the intake of reports and the feed know nothing else of it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.engine import Connection

from kumoi.cloud.hostapi.things import Thing, ThingReport
from kumoi.cloud.store.host import host as host_store


@dataclass(frozen=True, slots=True)
class ThingKind:
    """`on_host` gives all things of a host, `several` those of the ids that are its own, as wanted.
    `says_news` tells whether `take`, which writes what a report says, would change anything; both
    raise NotUnderstood before they have written anything.
    """

    name: str
    on_host: Callable[[Connection, str], list[Thing]]
    several: Callable[[Connection, str, Sequence[str]], list[Thing]]
    says_news: Callable[[Connection, str, ThingReport], bool]
    take: Callable[[Connection, str, ThingReport, datetime], None]


Kinds = Mapping[str, ThingKind]


def not_here(connection: Connection, host_id: str, report: ThingReport) -> None:
    """Of a thing that is not this host's: it is told to remove it, until it says that it is gone."""
    if report.absent:
        host_store.forget_thing(connection, host_id, report.kind, report.id)
    else:
        host_store.touch_thing(connection, host_id, report.kind, report.id)
