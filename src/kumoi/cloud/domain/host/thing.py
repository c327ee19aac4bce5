"""What a kind of thing is to the control plane: how its things are sent to hosts, and what a report
does to a row.

A kind is a value of four functions over the open transaction; kinds.py lists all kinds. The long
poll, the intake of reports and the feed know nothing else of a kind.
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
    """`on_host` gives all things of a host as they should be, `several` those with certain ids, without
    ids of other hosts' things. `take` writes what a report says, `says_news` is whether that would
    change anything; both raise NotUnderstood before they have written anything.
    """

    name: str
    on_host: Callable[[Connection, str], list[Thing]]
    several: Callable[[Connection, str, Sequence[str]], list[Thing]]
    says_news: Callable[[Connection, str, ThingReport], bool]
    take: Callable[[Connection, str, ThingReport, datetime], None]


Kinds = Mapping[str, ThingKind]


def not_here(connection: Connection, host_id: str, report: ThingReport) -> None:
    """After a report on a thing that is not this host's: the host is to remove it, until it reports
    that it has.
    """
    if report.absent:
        host_store.forget_thing(connection, host_id, report.kind, report.id)
    else:
        host_store.touch_thing(connection, host_id, report.kind, report.id)
