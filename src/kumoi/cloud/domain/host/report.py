"""What hosts say of their things, whatever their kind: each report is taken for itself.

One that is not understood, for its kind or a word of it, is logged and dropped; it harms no other.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

import msgspec
from sqlalchemy.engine import Connection

from kumoi.base import log
from kumoi.cloud.domain.host.thing import Kinds
from kumoi.cloud.hostapi.things import NotUnderstood, ThingReport


def read_all(host_id: str, raws: Iterable[msgspec.Raw]) -> list[ThingReport]:
    """Those that can be read."""
    reports = []
    for one in raws:
        try:
            reports.append(msgspec.json.decode(one, type=ThingReport))
        except msgspec.DecodeError as error:
            log.failure("report.not_understood", error, host=host_id)
    return reports


def take(
    connection: Connection, host_id: str, report: ThingReport, now: datetime, kinds: Kinds
) -> None:
    """Write what it says."""
    kinds[report.kind].take(connection, host_id, report, now)


def says_news(connection: Connection, host_id: str, report: ThingReport, kinds: Kinds) -> bool:
    """Whether `take` can take it and would change anything."""
    try:
        if report.kind not in kinds:
            raise NotUnderstood(f"there is no kind of thing called {report.kind}")
        return kinds[report.kind].says_news(connection, host_id, report)
    except NotUnderstood as error:
        log.failure("report.not_understood", error, host=host_id, thing=str(report.key))
        return False
